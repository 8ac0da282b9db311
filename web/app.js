/** The page: connects the views, the dialogs and the service. */

import { administrator } from "./administrator.js";
import { fetchCollections, fetchHealth } from "./api.js";
import { cameraDialog, hasCamera } from "./camera.js";
import { collectionChoice } from "./collections.js";
import { comparison } from "./comparison.js";
import { askDialog } from "./dialogs.js";
import { enrolDialog } from "./enrol.js";
import { facePhoto } from "./face-photo.js";
import { onFiles, openDialogs, setUpDrop, setUpPaste } from "./intake.js";
import { apiKey, endpoint } from "./memory.js";
import { peopleView } from "./people.js";
import { personDialog } from "./person.js";
import { SLOW_AFTER, recognition } from "./recognition.js";
import { addressError, settingsDialog } from "./settings.js";

const find = (selector) => document.querySelector(selector);

/** Tell screen readers. */
const announce = (text) => (find("#announcement").textContent = text);

function showAlert(text) {
  const element = find("#alert");
  element.textContent = text;
  element.hidden = !text;
}

const collections = collectionChoice(find("#collection"), () => service(), () => people.show());
const service = () => ({ endpoint: endpoint(), key: apiKey.get(endpoint()), collection: collections.name() });

const shared = {
  service,
  openCamera: cameraDialog(find("#camera-dialog")),
  confirm: askDialog(find("#confirm-dialog")),
  askName: askDialog(find("#name-dialog")),
  asAdministrator: administrator(askDialog(find("#key-dialog"))),
};

const enrolment = enrolDialog(find("#enrol-dialog"), {
  ...shared,
  merge: (...people) => person.merge(...people),
  onChange: ({ collection }) => collections.refresh(collection),
});

const person = personDialog(find("#person-dialog"), find("#merge-dialog"), {
  ...shared,
  addPhotos: (shown, onDone) => enrolment.open({ person: shown, onDone }),
  onChange(text = "") {
    people.report(text, "success-text");
    collections.refresh();
  },
  onClose: () => people.focus(),
});

const people = peopleView(find("#people-view"), { ...shared, collections, addPerson: () => addPerson(), openPerson: person.open });
const photos = recognition(find("#recognize-view"), { ...shared, announce, faceActions });
const compared = comparison(find("#compare-view"), shared);

/** Open the form for a new person of the chosen collection or, if that is read-only, of the default one. */
function addPerson(options = {}) {
  const chosen = collections.name();
  const readOnly = collections.isReadOnly(chosen);
  const hint = readOnly
    ? `The collection ${chosen} is read-only. This person is added to the collection of your own people.`
    : chosen && `This person is added to the collection ${chosen}.`;
  enrolment.open({ person: { collection: readOnly ? "" : chosen }, hint, ...options });
}

/** The buttons below a recognized face. */
function faceActions(item, face) {
  const open = async (show) => show({ photos: [await facePhoto(item, face)], onDone: () => photos.enqueue(item) });
  const actions = [{ text: "Add this person", run: () => open(addPerson) }];
  const collection = item.response.gallery?.collection;
  if (face.known && collection && !collections.isReadOnly(collection)) {
    const known = { id: face.predicted_id, name: face.predicted_name, collection };
    actions.unshift({
      text: `Add this photo to ${known.name}`,
      run: () => open((options) => enrolment.open({ person: known, ...options })),
    });
  }
  return actions;
}

const VIEWS = {
  "": { id: "recognize-view", title: "Who is this?", target: { hint: "Drop to see who it is", add: addPhotos } },
  "#people": { id: "people-view", title: "People", target: { hint: "Drop to add a person", add: (files) => addPerson({ photos: files }) } },
  "#compare": { id: "compare-view", title: "Compare", target: { hint: "Drop to compare", add: (files) => compared.add(files) } },
};

const currentView = () => VIEWS[location.hash] ?? VIEWS[""];

function addPhotos(files) {
  showAlert("");
  photos.add(files);
}

function showView() {
  const shown = currentView();
  for (const { id } of Object.values(VIEWS)) find(`#${id}`).hidden = id !== shown.id;
  for (const link of document.querySelectorAll("nav a")) {
    if (VIEWS[link.hash] === shown) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${shown.title} – Face recognition`;
  people.show();
}

/** @returns {import("./intake.js").Target | null} the view or, if it is topmost, the form for a person; no other dialog */
function intakeTarget() {
  const dialog = openDialogs().at(-1);
  if (!dialog) return currentView().target;
  return dialog.id === "enrol-dialog" ? { hint: "Drop to add the photos", add: enrolment.add } : null;
}

/** Check the service's health. This also starts it, before the first photo is sent. */
async function checkHealth() {
  const checked = service();
  const button = find("#settings");
  const show = (state, text) => {
    if (checked.endpoint !== endpoint()) return; // the user has changed the endpoint meanwhile
    button.dataset.state = state;
    find("#health").textContent = text;
  };
  show("connecting", "Connecting …");
  const timer = setTimeout(() => show("connecting", "Waking up …"), SLOW_AFTER);
  try {
    await fetchHealth(checked);
    show("ready", "Ready");
  } catch (error) {
    show("unavailable", error.code === "offline" ? "Offline" : "Not reachable");
  } finally {
    clearTimeout(timer);
  }
  collections.refresh();
}

async function testEndpoint(address, key) {
  const tested = { endpoint: address, key };
  const { model } = await fetchHealth(tested);
  // Checks the key, because /collections requires it and /health does not.
  await fetchCollections(tested);
  return `Connected: model ${model.version}.`;
}

function setUpSamples() {
  for (const button of document.querySelectorAll("#samples button")) {
    const { src } = button.firstElementChild;
    button.addEventListener("click", async () => {
      try {
        const blob = await (await fetch(src)).blob();
        addPhotos([new File([blob], src.split("/").pop(), { type: blob.type })]);
      } catch {
        showAlert("The sample photo could not be loaded. Are you offline?");
      }
    });
  }
}

function setUpDialogs() {
  for (const button of document.querySelectorAll("dialog .close")) {
    button.addEventListener("click", () => button.closest("dialog").close());
  }
  for (const button of document.querySelectorAll(".camera")) button.hidden = !hasCamera();
  find("#camera").addEventListener("click", () => shared.openCamera((photo) => addPhotos([photo])));
  const settings = settingsDialog(find("#settings-dialog"), testEndpoint, () => {
    showAlert("");
    checkHealth();
  });
  find("#settings").addEventListener("click", settings.open);
}

function setUpOffline() {
  addEventListener("offline", () => {
    showAlert("You are offline. The results stay here. Photos can be sent again once you are online.");
    checkHealth();
  });
  addEventListener("online", () => {
    showAlert("");
    checkHealth();
  });
}

function start() {
  setUpSamples();
  for (const input of [find("#file-input"), find("#capture-input")]) onFiles(input, addPhotos);
  setUpDrop(find("#drop-overlay"), intakeTarget, showAlert);
  setUpPaste(intakeTarget, showAlert);
  setUpDialogs();
  setUpOffline();
  addEventListener("hashchange", showView);
  showView();
  const error = addressError(endpoint());
  if (error) showAlert(`${endpoint()}: ${error}`);
  checkHealth();
}

start();
