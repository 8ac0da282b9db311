/** The page: queues photos, sends them one by one, and shows the results. */

import { Failure, classify, curlCommand, fetchHealth, fetchPeople } from "./api.js";
import { cameraDialog, hasCamera } from "./camera.js";
import { peopleDialog } from "./people.js";
import { prepare } from "./photo.js";
import { addressError, apiKey, endpoint, settingsDialog } from "./settings.js";
import { peopleCount, percent, renderHistory, renderItem, summary } from "./view.js";

const SLOW_AFTER = 2500; // ms after which the page explains why it takes so long

const find = (selector) => document.querySelector(selector);
const result = find("#result");
const emptyResult = result.firstElementChild;

/** @type {import("./view.js").Item[]} the photos of this visit, newest first; they are never stored */
let items = [];
let selected = null;
let updateProgress = () => {};
let processing = false;

const service = () => ({ endpoint: endpoint(), key: apiKey(endpoint()) });

/** Tell screen readers. */
function announce(text) {
  find("#announcement").textContent = text;
}

function showAlert(text) {
  const element = find("#alert");
  element.textContent = text;
  element.hidden = !text;
}

function showHistory() {
  find("#history").hidden = !items.length;
  renderHistory(find("#history-list"), items, selected, select);
}

function showResult() {
  if (!selected) {
    result.replaceChildren(emptyResult);
    return;
  }
  const item = selected;
  updateProgress = renderItem(result, item, {
    curl: item.photo ? curlCommand(service(), item.name) : "",
    retry: () => enqueue(item),
    cancel: () => cancel(item),
  });
}

function select(item) {
  selected = item;
  showHistory();
  showResult();
}

function setState(item, state) {
  item.state = state;
  if (!items.includes(item)) return; // the user has removed it
  showHistory();
  if (item === selected) showResult();
}

const newAttempt = () => ({ sent: 0, slow: false, failure: null, controller: new AbortController() });

function add(files) {
  showAlert("");
  const added = [...files].map((file) => ({
    file,
    name: file.name,
    state: "waiting",
    photo: null,
    url: "",
    response: null,
    elapsed: 0,
    ...newAttempt(),
  }));
  if (!added.length) return;
  items = [...added, ...items];
  select(added[0]);
  // On a phone the result is below the button that was tapped.
  if (matchMedia("(max-width: 46rem)").matches) result.scrollIntoView();
  processQueue();
}

function enqueue(item) {
  Object.assign(item, newAttempt());
  setState(item, "waiting");
  processQueue();
}

const cancelled = () => new Failure("cancelled", "Cancelled.");

function cancel(item) {
  item.controller.abort();
  if (item.state === "waiting") fail(item, cancelled());
}

function fail(item, failure) {
  item.failure = failure;
  setState(item, "failed");
}

/** Send one photo at a time, because a runtime processes one at a time. The newest comes first: the user is viewing it. */
async function processQueue() {
  if (processing) return;
  processing = true;
  for (let item; (item = items.find(({ state }) => state === "waiting")); ) await process(item);
  processing = false;
}

async function process(item) {
  try {
    setState(item, "preparing");
    if (!item.photo) {
      item.photo = await prepare(item.file);
      if (item.photo.drawable) item.url = URL.createObjectURL(item.photo.blob);
    }
    item.controller.signal.throwIfAborted();
    await send(item);
    setState(item, "done");
  } catch (error) {
    if (item.controller.signal.aborted) fail(item, cancelled());
    else if (error instanceof Failure) fail(item, error);
    else fail(item, new Failure("internal", `This page has an internal error (${error.message}).`));
  }
  if (items.includes(item)) announceResult(item);
}

async function send(item) {
  setState(item, "sending");
  const timer = setTimeout(() => {
    item.slow = true;
    if (item === selected) updateProgress();
  }, SLOW_AFTER);
  const started = performance.now();
  try {
    item.response = await classify(service(), item.photo.blob, item.photo.name, {
      signal: item.controller.signal,
      onProgress(fraction) {
        item.sent = fraction;
        if (fraction === 1) item.state = "classifying";
        if (item === selected) updateProgress();
      },
    });
    item.elapsed = performance.now() - started;
  } finally {
    clearTimeout(timer);
  }
}

function announceResult(item) {
  if (item.failure) {
    announce(`${item.name}: ${item.failure.message}`);
    return;
  }
  const { known, confidence } = item.response;
  announce(`${item.name}: ${summary(item)}${known ? `, ${percent(confidence)} confidence` : ""}.`);
}

function removeAll() {
  for (const item of items) {
    item.controller.abort();
    if (item.url) URL.revokeObjectURL(item.url);
  }
  items = [];
  select(null);
  announce("All photos removed.");
  find("#file-input").focus();
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
    const { model } = await fetchHealth(checked);
    show("ready", `Ready, ${peopleCount(model)}`);
  } catch (error) {
    show("unavailable", error.code === "offline" ? "Offline" : "Not reachable");
  } finally {
    clearTimeout(timer);
  }
}

async function testEndpoint(address, key) {
  const tested = { endpoint: address, key };
  const { model } = await fetchHealth(tested);
  // Checks the key, because /people requires it and /health does not.
  await fetchPeople(tested);
  return `Connected: model ${model.version}, ${peopleCount(model)}.`;
}

function setUpSamples() {
  for (const button of document.querySelectorAll("#samples button")) {
    const { src } = button.firstElementChild;
    button.addEventListener("click", async () => {
      try {
        const blob = await (await fetch(src)).blob();
        add([new File([blob], src.split("/").pop(), { type: blob.type })]);
      } catch {
        showAlert("The sample photo could not be loaded. Are you offline?");
      }
    });
  }
}

function setUpFileInputs() {
  for (const input of [find("#file-input"), find("#capture-input")]) {
    input.addEventListener("change", () => {
      add(input.files);
      input.value = ""; // otherwise choosing the same photo again would not be a change
    });
  }
}

function setUpDrop() {
  let depth = 0; // of the element under the pointer: each nested element has its own enter and leave events
  const hasFiles = (event) => event.dataTransfer.types.includes("Files");
  const showOverlay = (visible) => (find("#drop-overlay").hidden = !visible);
  document.addEventListener("dragenter", (event) => {
    if (hasFiles(event)) showOverlay(++depth > 0);
  });
  document.addEventListener("dragleave", (event) => {
    if (hasFiles(event)) showOverlay(--depth > 0);
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    showOverlay(false);
    if (event.dataTransfer.files.length) add(event.dataTransfer.files);
    else showAlert("Only files can be dropped here. Save the photo first, or copy and paste it.");
  });
}

function setUpPaste() {
  document.addEventListener("paste", (event) => {
    if (event.target.closest?.("input, dialog")) return;
    if (event.clipboardData.files.length) add(event.clipboardData.files);
    else showAlert("There is no photo in the clipboard.");
  });
}

function setUpDialogs() {
  for (const button of document.querySelectorAll("dialog .close")) {
    button.addEventListener("click", () => button.closest("dialog").close());
  }
  const camera = cameraDialog(find("#camera-dialog"), (photo) => add([photo]));
  find("#camera").hidden = !hasCamera();
  find("#camera").addEventListener("click", camera.open);
  const people = peopleDialog(find("#people-dialog"), () => fetchPeople(service()));
  find("#people").addEventListener("click", people.open);
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
  setUpFileInputs();
  setUpDrop();
  setUpPaste();
  setUpDialogs();
  find("#remove-all").addEventListener("click", removeAll);
  setUpOffline();
  const error = addressError(endpoint());
  if (error) showAlert(`${endpoint()}: ${error}`);
  checkHealth();
}

start();
