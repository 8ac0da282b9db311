/** Recognition: queues photos, sends them one by one, and shows the results. */

import { classify, curlCommand } from "./api.js";
import { percent } from "./elements.js";
import { renderHistory, summary } from "./history.js";
import { Failure } from "./http.js";
import { prepare } from "./photo.js";
import { renderItem } from "./view.js";

/** @typedef {import("./history.js").Item} Item */

export const SLOW_AFTER = 2500; // ms after which the page explains why it takes so long

const cancelled = () => new Failure("cancelled", "Cancelled.");
const newAttempt = () => ({ sent: 0, slow: false, response: null, failure: null, controller: new AbortController() });

/**
 * @param {HTMLElement} view
 * @param {object} options functions that app.js connects. `announce` tells screen readers, `faceActions` returns the
 *   buttons below a face of an item.
 */
export function recognition(view, { service, announce, faceActions }) {
  const find = (selector) => view.querySelector(selector);
  const result = find("#result");
  const emptyResult = result.firstElementChild;
  /** @type {Item[]} the photos of this visit, newest first; they are never stored */
  let items = [];
  let selected = null;
  let updateProgress = () => {};
  let processing = false;

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
      faceActions: (face) => faceActions(item, face),
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

  function add(files) {
    const added = [...files].map((file) => ({
      file,
      name: file.name,
      state: "waiting",
      photo: null,
      url: "",
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

  /** Send a photo again. */
  function enqueue(item) {
    Object.assign(item, newAttempt());
    setState(item, "waiting");
    processQueue();
  }

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
      item.response = await classify(service(), item.photo, {
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

  find("#remove-all").addEventListener("click", () => {
    for (const item of items) {
      item.controller.abort();
      if (item.url) URL.revokeObjectURL(item.url);
    }
    items = [];
    select(null);
    announce("All photos removed.");
    find("#file-input").focus();
  });

  return { add, enqueue };
}
