/** Renders the history and the result. Creates elements and never parses HTML, so that no text can inject markup. */

/**
 * A photo of this visit.
 * @typedef {object} Item
 * @property {string} name of the file that the user chose
 * @property {"waiting" | "preparing" | "sending" | "classifying" | "done" | "failed"} state
 * @property {{blob: Blob, name: string, drawable: boolean} | null} photo null until it is prepared
 * @property {string} url of the prepared photo, or "" if this browser cannot display it
 * @property {number} sent fraction of the upload, 0 to 1
 * @property {boolean} slow true once the request takes longer than usual
 * @property {object | null} response openapi.yaml's Classification
 * @property {{code: string, message: string} | null} failure
 * @property {number} elapsed ms from sending the photo to receiving the response
 */

/**
 * @param {string} tag
 * @param {Record<string, unknown>} properties set on the element; names with a dash are set as attributes
 * @param {...(Node | string)} children
 */
export function createElement(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-")) element.setAttribute(name, String(value));
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

const createButton = (text, onclick, className = "") => createElement("button", { type: "button", className, onclick }, text);

/**
 * Format as a percentage, rounded down so that only certainty is shown as 100 %.
 * @param {number} fraction
 */
export function percent(fraction) {
  return `${(Math.floor(fraction * 1000) / 10).toFixed(1)} %`;
}

/** @param {{classes: number}} model */
export const peopleCount = (model) => `${model.classes.toLocaleString("en")} people`;

/** @param {object} face openapi.yaml's NamedFace */
const nameOf = (face) => (face.known ? face.predicted_name : "Unknown person");

/** @returns {object[]} openapi.yaml's NamedFaces, largest first */
const facesOf = (response) => response.faces ?? [response];

/**
 * @param {Item} item
 * @returns {string} its state or result in a few words, for the history and for screen readers
 */
export function summary(item) {
  if (item.state === "waiting") return "Waiting";
  if (item.state === "failed") {
    return { no_face: "No face", cancelled: "Cancelled" }[item.failure.code] ?? "Failed";
  }
  if (item.state !== "done") return "Working …";
  const faces = facesOf(item.response);
  if (faces.length === 1) return nameOf(faces[0]);
  const known = faces.filter((face) => face.known).length;
  return `${faces.length} faces, ${known} known`;
}

/**
 * @param {HTMLOListElement} list
 * @param {Item[]} items
 * @param {Item | null} selected
 * @param {(item: Item) => void} select
 */
export function renderHistory(list, items, selected, select) {
  const focused = [...list.children].findIndex((child) => child.contains(document.activeElement));
  list.replaceChildren(
    ...items.map((item) => {
      const thumbnail = item.url
        ? createElement("img", { src: item.url, alt: "" })
        : createElement("span", { className: "placeholder" }, "?");
      const fileName = createElement("span", { className: "file-name muted" }, item.name);
      const button = createButton("", () => select(item), `thumbnail ${severity(item)}`);
      button.append(thumbnail, createElement("span", { className: "text" }, fileName, summary(item)));
      button.setAttribute("aria-pressed", String(item === selected));
      return createElement("li", {}, button);
    }),
  );
  list.children[focused]?.firstElementChild.focus();
}

/** @returns {"success" | "warning" | "error" | "pending"} the class that gives an item its colour */
function severity(item) {
  if (item.state === "failed") return { no_face: "warning", cancelled: "pending" }[item.failure.code] ?? "error";
  if (item.state !== "done") return "pending";
  return facesOf(item.response).some((face) => face.known) ? "success" : "warning";
}

const SVG = "http://www.w3.org/2000/svg";

function createSvgElement(tag, attributes, className) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.setAttribute("class", className);
  return element;
}

/** Box and landmarks of a face. A dark line under the light one keeps the box visible on every photo. */
function faceOutline({ face: { box, landmarks }, known }, unit) {
  const group = createSvgElement("g", {}, `face ${known ? "known" : "unknown"}`);
  const rectangle = { x: box.left, y: box.top, width: box.width, height: box.height, rx: unit * 2 };
  group.append(createSvgElement("rect", rectangle, "dark-line"), createSvgElement("rect", rectangle, "light-line"));
  for (const [cx, cy] of Object.values(landmarks)) {
    group.append(createSvgElement("circle", { cx, cy, r: unit }, "landmark"));
  }
  return group;
}

/** The name, or in a group the number, at a corner of the box. It stays inside the photo, wherever the box is. */
function faceLabel(text, { face: { box } }, image) {
  const element = createElement("span", { className: "label" }, text);
  const top = box.top / image.height;
  const above = top > 0.1;
  element.style.top = `${100 * (above ? top : Math.min(1, (box.top + box.height) / image.height))}%`;
  element.classList.toggle("above", above || box.top + box.height > 0.9 * image.height);
  const middle = (box.left + box.width / 2) / image.width;
  if (middle > 0.55) element.style.right = `${100 * Math.max(0, 1 - (box.left + box.width) / image.width)}%`;
  else element.style.left = `${100 * Math.max(0, box.left / image.width)}%`;
  return element;
}

/** The photo, with boxes, landmarks and labels once there is a response. */
function photoView(item) {
  const view = createElement("div", { className: "photo" });
  if (item.url) view.append(createElement("img", { src: item.url, alt: `Photo ${item.name}` }));
  else if (item.photo) view.append(createElement("p", { className: "placeholder" }, "This browser cannot display this photo."));
  const size = item.response?.image;
  if (!size) return view;
  view.style.aspectRatio = `${size.width} / ${size.height}`;
  // At most 70 % of the window's height; small photos are not enlarged until they are blurred.
  view.style.maxWidth = `min(calc(70vh * ${size.width / size.height}), ${Math.max(360, size.width * 2)}px)`;
  const unit = Math.max(size.width, size.height) / 180;
  const overlay = createSvgElement("svg", { viewBox: `0 0 ${size.width} ${size.height}`, "aria-hidden": "true" }, "overlay");
  const faces = facesOf(item.response);
  faces.forEach((face, index) => {
    overlay.append(faceOutline(face, unit));
    view.append(faceLabel(faces.length > 1 ? String(index + 1) : nameOf(face), face, size));
  });
  view.append(overlay);
  return view;
}

/** The face, cropped from the photo, to show beside its name. */
function faceCrop(item, { face: { box } }) {
  const canvas = createElement("canvas", { width: 96, height: 96, className: "crop" });
  canvas.setAttribute("aria-hidden", "true");
  const side = 1.25 * Math.max(box.width, box.height);
  const image = new Image();
  image.src = item.url;
  image.decode().then(
    () => {
      const [left, top] = [box.left + (box.width - side) / 2, box.top + (box.height - side) / 2];
      canvas.getContext("2d").drawImage(image, left, top, side, side, 0, 0, canvas.width, canvas.height);
    },
    () => canvas.remove(),
  );
  return canvas;
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
  const list = createElement("ol", { "aria-label": "Candidates" }, ...face.candidates.map(candidateRow));
  if (face.known) return createElement("div", { className: "candidates" }, list);
  const note = createElement("p", { className: "muted" }, "The most similar people, but not similar enough:");
  return createElement("div", { className: "candidates" }, note, list);
}

/**
 * One entry of the list of faces: the name, and the candidates if it is expanded.
 * @param {(index: number, on: boolean) => void} highlight
 */
function faceEntry(item, face, index, several, highlight) {
  const detail = face.known
    ? `ID ${face.predicted_id}, ${percent(face.confidence)} confidence`
    : `None of the ${peopleCount(item.response.model)}`;
  const text = createElement(
    "span",
    { className: "text" },
    createElement("strong", {}, several ? `${index + 1}. ${nameOf(face)}` : nameOf(face)),
    createElement("span", { className: "muted" }, detail),
  );
  const candidates = candidateList(face);
  const toggle = createButton("", () => setExpanded(toggle.getAttribute("aria-expanded") === "false"), "toggle");
  if (item.url) toggle.append(faceCrop(item, face));
  toggle.append(text);

  function setExpanded(expanded) {
    toggle.setAttribute("aria-expanded", String(expanded));
    candidates.hidden = !expanded;
  }

  setExpanded(!several || index === 0);
  const entry = createElement("li", { className: face.known ? "known" : "unknown" }, toggle, candidates);
  for (const [start, end] of [["mouseenter", "mouseleave"], ["focusin", "focusout"]]) {
    entry.addEventListener(start, () => highlight(index, true));
    entry.addEventListener(end, () => highlight(index, false));
  }
  return entry;
}

function metadata({ response, elapsed }) {
  const [decode, detect, classify] = ["decode", "detect", "classify"].map((step) => Math.round(response.timings_ms[step]));
  const pairs = {
    Time: `${(elapsed / 1000).toFixed(2)} s round trip, including ${decode} ms decoding, ${detect} ms detection, ${classify} ms classification`,
    Model: `${response.model.version}, ${peopleCount(response.model)}`,
    Photo: `${response.image.width} × ${response.image.height} pixels as sent`,
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
  return createElement("div", {}, createElement("div", { className: "buttons" }, ...buttons), details);
}

function resultPanel(item, curl, photo) {
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
  const entries = faces.map((face, index) => faceEntry(item, face, index, several, highlight));
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
    ...(code === "unsendable" ? [] : [createElement("div", { className: "buttons" }, createButton("Try again", retry, "primary"))]),
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
  const buttons = createElement("div", { className: "buttons" }, createButton("Cancel", cancel));
  return { children: [step, bar, explanation, buttons], update };
}

/**
 * Render the selected item in its current state.
 * @param {HTMLElement} result
 * @param {Item} item
 * @param {{curl: string, retry: () => void, cancel: () => void}} options
 * @returns {() => void} shows the progress while the state is the same
 */
export function renderItem(result, item, { curl, retry, cancel }) {
  const hadFocus = result.contains(document.activeElement);
  const photo = photoView(item);
  let update = () => {};
  let children;
  if (item.state === "done") children = resultPanel(item, curl, photo);
  else if (item.state === "failed") children = item.failure.code === "no_face" ? noFacePanel() : failurePanel(item, retry);
  else ({ children, update } = progressPanel(item, cancel));
  const panel = createElement("div", { className: `card panel ${severity(item)}` }, ...children);
  // A failed item without a URL has no photo to show.
  result.replaceChildren(...(item.state === "failed" && !item.url ? [panel] : [photo, panel]));
  // The pressed button may be gone; without this, keyboard users would lose their place.
  if (hadFocus) result.focus();
  return update;
}
