/** Renders the selected photo with its progress or result. */

import { buttonRow, createButton, createElement, peopleCount, percent } from "./elements.js";
import { facesOf, nameOf, severity } from "./history.js";
import { faceCrop, photoWithFaces } from "./overlay.js";

/** @typedef {import("./history.js").Item} Item */
/** @typedef {{text: string, run: () => void}} Action a button below a face */

function photoView(item) {
  const { url, response } = item;
  // Nothing is shown of a photo that is not prepared yet.
  if (!item.photo) return createElement("div", { className: "photo" });
  const faces = response ? facesOf(response) : [];
  const drawn = faces.map((face, index) => ({
    ...face.face,
    known: face.known,
    text: faces.length > 1 ? String(index + 1) : nameOf(face),
  }));
  return photoWithFaces(url, `Photo ${item.name}`, response?.image, drawn);
}

function candidateRow({ id, name, confidence }) {
  const fill = createElement("span", { className: "fill" });
  fill.style.width = `${100 * confidence}%`;
  return createElement(
    "li",
    {},
    createElement("span", {}, name, createElement("span", { className: "muted" }, ` ID ${id}`)),
    createElement("span", { className: "confidence" }, percent(confidence)),
    createElement("span", { className: "track", "aria-hidden": "true" }, fill),
  );
}

/** The most similar people, each with a bar for the confidence. */
function candidateList(face) {
  if (!face.candidates.length) return [];
  const list = createElement("ol", { "aria-label": "Candidates" }, ...face.candidates.map(candidateRow));
  if (face.known) return [list];
  return [createElement("p", { className: "muted" }, "The most similar people, but not similar enough:"), list];
}

/** Say that a face is not among the people of the collection. */
function strangerText(people) {
  if (!people) return "Nobody is in this collection yet";
  return people === 1 ? "Not the one person in this collection" : `None of the ${peopleCount(people)}`;
}

/**
 * One entry of the list of faces: the name, and the candidates and actions if it is expanded.
 * @param {Action[]} actions
 * @param {(index: number, on: boolean) => void} highlight
 */
function faceEntry(item, face, index, several, actions, highlight) {
  const detail = face.known
    ? `ID ${face.predicted_id}, ${percent(face.confidence)} confidence`
    : strangerText(item.response.model.classes);
  const text = createElement(
    "span",
    { className: "text" },
    createElement("strong", {}, several ? `${index + 1}. ${nameOf(face)}` : nameOf(face)),
    createElement("span", { className: "muted" }, detail),
  );
  const buttons = actions.map((action) => createButton(action.text, action.run));
  const details = createElement("div", { className: "candidates" }, ...candidateList(face));
  details.append(buttonRow(...buttons));
  const toggle = createButton("", () => setExpanded(toggle.getAttribute("aria-expanded") === "false"), "toggle");
  if (item.url) toggle.append(faceCrop(item.url, face.face.box));
  toggle.append(text);

  function setExpanded(expanded) {
    toggle.setAttribute("aria-expanded", String(expanded));
    details.hidden = !expanded;
  }

  setExpanded(!several || index === 0);
  const entry = createElement("li", { className: face.known ? "known" : "unknown" }, toggle, details);
  for (const [start, end] of [["mouseenter", "mouseleave"], ["focusin", "focusout"]]) {
    entry.addEventListener(start, () => highlight(index, true));
    entry.addEventListener(end, () => highlight(index, false));
  }
  return entry;
}

function metadata({ response: { gallery, image, model, timings_ms }, elapsed }) {
  const [decode, detect, classify] = ["decode", "detect", "classify"].map((step) => Math.round(timings_ms[step]));
  const stale = gallery?.stale ? "; the latest changes could not be read" : "";
  const pairs = {
    ...(gallery && { Collection: `${gallery.collection}, ${peopleCount(gallery.people)}${stale}` }),
    Time: `${(elapsed / 1000).toFixed(2)} s round trip, including ${decode} ms decoding, ${detect} ms detection, ${classify} ms classification`,
    Model: model.version,
    Photo: `${image.width} × ${image.height} pixels as sent`,
  };
  return createElement(
    "dl",
    {},
    ...Object.entries(pairs).flatMap(([term, text]) => [createElement("dt", {}, term), createElement("dd", {}, text)]),
  );
}

/** The response as JSON and the request as a curl command, each with a button that copies it. */
function copyableTexts(item, curl) {
  const texts = { JSON: JSON.stringify(item.response, null, 2), curl };
  const details = createElement("details", {}, createElement("summary", {}, "JSON and curl"));
  const buttons = Object.entries(texts).map(([name, text]) => {
    const block = createElement("pre", { tabIndex: 0, "aria-label": name }, text);
    details.append(block);
    const button = createButton(`Copy ${name}`, async () => {
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        // No access to the clipboard, as over plain http: select the text instead.
        details.open = true;
        getSelection().selectAllChildren(block);
        button.textContent = "Selected, press Ctrl+C";
      }
      setTimeout(() => (button.textContent = `Copy ${name}`), 2500);
    });
    return button;
  });
  return createElement("div", {}, buttonRow(...buttons), details);
}

function resultPanel(item, photo, { curl, faceActions }) {
  const faces = facesOf(item.response);
  const outlines = [...photo.querySelectorAll(".face")];
  const labels = [...photo.querySelectorAll(".label")];
  const several = faces.length > 1;
  const highlight = (index, on) => {
    outlines[index].classList.toggle("highlighted", on);
    labels[index].classList.toggle("highlighted", on);
    photo.classList.toggle("dimmed", several && on);
    if (several) labels[index].textContent = on ? `${index + 1} ${nameOf(faces[index])}` : String(index + 1);
  };
  const entries = faces.map((face, index) => faceEntry(item, face, index, several, faceActions(face), highlight));
  outlines.forEach((outline, index) => {
    outline.addEventListener("mouseenter", () => entries[index].classList.add("highlighted"));
    outline.addEventListener("mouseleave", () => entries[index].classList.remove("highlighted"));
  });
  const title = several ? `${faces.length} faces` : faces[0].known ? "One face" : "No known person";
  return [
    createElement("h2", {}, title),
    createElement("ol", { className: "faces" }, ...entries),
    copyableTexts(item, curl),
    metadata(item),
  ];
}

function noFacePanel() {
  return [
    createElement("h2", {}, "No face found"),
    createElement("p", {}, "There is no face in this photo, or it is not clear enough to be detected."),
    createElement(
      "ul",
      { className: "tips" },
      createElement("li", {}, "A face must be at least 20 pixels wide, and at least 1/25 of the photo’s longer side."),
      createElement("li", {}, "Frontal faces in even light are detected best."),
      createElement("li", {}, "Crop a wide photo to the part that shows the person."),
    ),
  ];
}

function failurePanel(item, retry) {
  const { code, message } = item.failure;
  const cancelled = code === "cancelled";
  const title = { cancelled: "Cancelled", offline: "You are offline", unreachable: "The service cannot be reached" }[code];
  return [
    createElement("h2", {}, title ?? "The photo could not be processed"),
    createElement("p", { className: cancelled ? "muted" : "error-text" }, cancelled ? "The photo was not processed." : message),
    // Retrying cannot help if the file itself is the problem.
    ...(code === "unsendable" ? [] : [buttonRow(createButton("Try again", retry, "primary"))]),
  ];
}

const STEPS = {
  waiting: "Waiting for the other photos",
  preparing: "Preparing the photo",
  sending: "Sending",
  classifying: "Looking for faces",
};

function progressPanel(item, cancel) {
  const bar = createElement("progress", { max: 1, "aria-label": "Upload progress" });
  const step = createElement("h2", {});
  const explanation = createElement(
    "p",
    { className: "muted" },
    "This takes longer than usual. A service that has not been used for a while needs some seconds to wake up. The next photo will be faster.",
  );
  const update = () => {
    const sent = item.state === "sending" ? ` ${Math.round(item.sent * 100)} %` : "";
    step.textContent = `${STEPS[item.state]}${sent} …`;
    if (item.state === "sending") bar.value = item.sent;
    else bar.removeAttribute("value");
    explanation.hidden = !item.slow;
  };
  update();
  return { children: [step, bar, explanation, buttonRow(createButton("Cancel", cancel))], update };
}

/**
 * Render the selected item in its current state.
 * @param {HTMLElement} result
 * @param {Item} item
 * @param {{curl: string, retry: () => void, cancel: () => void, faceActions: (face: object) => Action[]}} options
 * @returns {() => void} shows the progress while the state is the same
 */
export function renderItem(result, item, options) {
  const hadFocus = result.contains(document.activeElement);
  const photo = photoView(item);
  let update = () => {};
  let children;
  if (item.state === "done") children = resultPanel(item, photo, options);
  else if (item.state === "failed") children = item.failure.code === "no_face" ? noFacePanel() : failurePanel(item, options.retry);
  else ({ children, update } = progressPanel(item, options.cancel));
  const panel = createElement("div", { className: `card panel ${severity(item)}` }, ...children);
  // A failed item without a URL has no photo to show.
  result.replaceChildren(...(item.state === "failed" && !item.url ? [panel] : [photo, panel]));
  // The pressed button may be gone; without this, keyboard users would lose their place.
  if (hadFocus) result.focus();
  return update;
}
