/** The page: photos come in, wait their turn, are sent one by one, and what came of them is shown. */

import { Failure, classify, curl, health, people } from "./api.js";
import { cameraDialog, hasCamera } from "./camera.js";
import { peopleDialog } from "./people.js";
import { prepare } from "./photo.js";
import { complaint, endpoint, key, settingsDialog } from "./settings.js";
import { headcount, percent, showItem, showShelf, summary } from "./view.js";

const PATIENCE = 2500; // ms after which a wait is explained

const find = (selector) => document.querySelector(selector);
const result = find("#result");
const empty = result.firstElementChild;
const trouble = find("#trouble");

/** @type {import("./view.js").Item[]} what this visit has seen; nothing of it is stored */
let items = [];
let selected = null;
let update = () => {};
let busy = false;

const service = () => ({ endpoint: endpoint(), key: key(endpoint()) });

function say(text) {
  find("#say").textContent = text;
}

function complain(text) {
  trouble.textContent = text;
  trouble.hidden = !text;
}

function list() {
  find("#visit").hidden = !items.length;
  showShelf(find("#shelf"), items, selected, select);
}

function show() {
  if (!selected) {
    result.replaceChildren(empty);
    return;
  }
  const item = selected;
  update = showItem(result, item, {
    curl: item.photo ? curl(service(), item.name) : "",
    again: () => enqueue(item),
    cancel: () => cancel(item),
  });
}

function select(item) {
  selected = item;
  list();
  show();
}

function change(item, state) {
  item.state = state;
  if (!items.includes(item)) return; // forgotten meanwhile
  list();
  if (item === selected) show();
}

const attempt = () => ({ sent: 0, slow: false, failure: null, stop: new AbortController() });

function add(files) {
  complain("");
  const added = [...files].map((file) => ({
    file,
    name: file.name,
    state: "waiting",
    photo: null,
    url: "",
    answer: null,
    ms: 0,
    ...attempt(),
  }));
  if (!added.length) return;
  items = [...added, ...items];
  select(added[0]);
  // On a phone the answer lies below what was just tapped.
  if (matchMedia("(max-width: 46rem)").matches) result.scrollIntoView();
  work();
}

function enqueue(item) {
  Object.assign(item, attempt());
  change(item, "waiting");
  work();
}

const cancelled = () => new Failure("cancelled", "Cancelled.");

function cancel(item) {
  item.stop.abort();
  if (item.state === "waiting") fail(item, cancelled());
}

function fail(item, failure) {
  item.failure = failure;
  change(item, "failed");
}

/** One at a time, as one runtime answers them; those given last come first, because they are being looked at. */
async function work() {
  if (busy) return;
  busy = true;
  for (let item; (item = items.find(({ state }) => state === "waiting")); ) await send(item);
  busy = false;
}

async function send(item) {
  let patience;
  try {
    change(item, "preparing");
    if (!item.photo) {
      item.photo = await prepare(item.file);
      if (item.photo.drawable) item.url = URL.createObjectURL(item.photo.blob);
    }
    item.stop.signal.throwIfAborted();
    change(item, "sending");
    patience = setTimeout(() => {
      item.slow = true;
      if (item === selected) update();
    }, PATIENCE);
    const started = performance.now();
    item.answer = await classify(service(), item.photo.blob, item.photo.name, {
      signal: item.stop.signal,
      onSent(share) {
        item.sent = share;
        if (share === 1) item.state = "looking";
        if (item === selected) update();
      },
    });
    item.ms = performance.now() - started;
    change(item, "done");
  } catch (error) {
    if (item.stop.signal.aborted) fail(item, cancelled());
    else if (error instanceof Failure) fail(item, error);
    else fail(item, new Failure("page", `The page has a mistake (${error.message}).`));
  } finally {
    clearTimeout(patience);
  }
  if (!items.includes(item)) return;
  if (item.failure) say(`${item.name}: ${item.failure.message}`);
  else say(`${item.name}: ${summary(item)}${item.answer.known ? `, ${percent(item.answer.confidence)} sure` : ""}.`);
}

function forget() {
  for (const item of items) {
    item.stop.abort();
    if (item.url) URL.revokeObjectURL(item.url);
  }
  items = [];
  select(null);
  say("The photos are forgotten.");
  find("#choose").focus();
}

/** Ask how it is, which also wakes it before the first photo is there. */
async function greet() {
  const asked = service();
  const dot = find("#settings");
  const tell = (state, text) => {
    if (asked.endpoint !== endpoint()) return;
    dot.dataset.state = state;
    find("#health").textContent = text;
  };
  tell("asking", "Connecting …");
  const patience = setTimeout(() => tell("asking", "Waking up …"), PATIENCE);
  try {
    const { model } = await health(asked);
    tell("up", `Ready, ${headcount(model)}`);
  } catch (error) {
    tell("down", error.code === "offline" ? "Offline" : "Not reachable");
  } finally {
    clearTimeout(patience);
  }
}

async function test(address, secret) {
  const asked = { endpoint: address, key: secret };
  const { model } = await health(asked);
  // /health needs no key, /people does.
  await people(asked);
  return `It answers: model ${model.version}, ${headcount(model)}.`;
}

function offerSamples() {
  for (const button of document.querySelectorAll("#samples button")) {
    const { src } = button.firstElementChild;
    button.addEventListener("click", async () => {
      try {
        const blob = await (await fetch(src)).blob();
        add([new File([blob], src.split("/").pop(), { type: blob.type })]);
      } catch {
        complain("The sample photo cannot be fetched. Are you offline?");
      }
    });
  }
}

function takeFiles() {
  for (const input of [find("#choose"), find("#capture")]) {
    input.addEventListener("change", () => {
      add(input.files);
      input.value = ""; // the same photo once more is a change, too
    });
  }

  let depth = 0; // each element that is entered tells of it, and each that is left
  const hasFiles = (event) => event.dataTransfer.types.includes("Files");
  const overlay = (on) => (find("#drop").hidden = !on);
  document.addEventListener("dragenter", (event) => {
    if (hasFiles(event)) overlay(++depth > 0);
  });
  document.addEventListener("dragleave", (event) => {
    if (hasFiles(event)) overlay(--depth > 0);
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    overlay(false);
    if (event.dataTransfer.files.length) add(event.dataTransfer.files);
    else complain("Only files can be dropped here. Save the picture first, or copy it and paste it.");
  });

  document.addEventListener("paste", (event) => {
    if (event.target.closest?.("input, dialog")) return;
    if (event.clipboardData.files.length) add(event.clipboardData.files);
    else complain("There is no picture in the clipboard.");
  });
}

function start() {
  offerSamples();
  takeFiles();
  for (const close of document.querySelectorAll("dialog .close")) {
    close.addEventListener("click", () => close.closest("dialog").close());
  }
  const camera = cameraDialog(find("#camera-dialog"), (photo) => add([photo]));
  find("#camera").hidden = !hasCamera();
  find("#camera").addEventListener("click", camera.open);
  const everybody = peopleDialog(find("#people-dialog"), () => people(service()));
  find("#people").addEventListener("click", everybody.open);
  const settings = settingsDialog(find("#settings-dialog"), test, () => {
    complain("");
    greet();
  });
  find("#settings").addEventListener("click", settings.open);
  find("#forget").addEventListener("click", forget);
  addEventListener("offline", () => {
    complain("You are offline. What is here stays; photos can be sent when you are back.");
    greet();
  });
  addEventListener("online", () => {
    complain("");
    greet();
  });
  const wrong = complaint(endpoint());
  if (wrong) complain(`${endpoint()}: ${wrong}`);
  greet();
}

start();
