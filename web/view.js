/** What is seen: the shelf of photos, and one of them with its answer. Built of elements, never of text with tags in it. */

/**
 * An item of the visit: a photo on its way or answered.
 * @typedef {object} Item
 * @property {string} name of the file as it was given
 * @property {"waiting" | "preparing" | "sending" | "looking" | "done" | "failed"} state
 * @property {{blob: Blob, name: string, drawable: boolean} | null} photo once prepared
 * @property {string} url of the photo's picture, or "" where this browser cannot draw it
 * @property {number} sent share of the upload, 0 to 1
 * @property {boolean} slow whether the answer takes so long that somebody wonders
 * @property {object | null} answer openapi.yaml's Classification
 * @property {{code: string, message: string} | null} failure
 * @property {number} ms from sending to the answer
 */

/**
 * @param {string} tag
 * @param {Record<string, unknown>} properties set on the element; those with a dash as attributes
 * @param {...(Node | string)} children
 */
export function make(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-")) element.setAttribute(name, String(value));
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

const button = (text, onclick, className = "") => make("button", { type: "button", className, onclick }, text);

/**
 * Rounded down: less than certainty is never shown as 100 %.
 * @param {number} share
 */
export function percent(share) {
  return `${(Math.floor(share * 1000) / 10).toFixed(1)} %`;
}

/** @param {{classes: number}} model */
export const headcount = (model) => `${model.classes.toLocaleString("en")} people`;

/** @param {object} face openapi.yaml's NamedFace */
const nameOf = (face) => (face.known ? face.predicted_name : "Unknown person");

/** @returns {object[]} of an answer, largest first */
const facesOf = (answer) => answer.faces ?? [answer];

/**
 * @param {Item} item
 * @returns {string} in a few words, for the shelf and for screen readers
 */
export function summary(item) {
  if (item.state === "waiting") return "Waiting";
  if (item.state === "failed") {
    return { no_face: "No face", cancelled: "Cancelled" }[item.failure.code] ?? "Failed";
  }
  if (item.state !== "done") return "Working …";
  const faces = facesOf(item.answer);
  if (faces.length === 1) return nameOf(faces[0]);
  const known = faces.filter((face) => face.known).length;
  return `${faces.length} faces, ${known} known`;
}

/**
 * @param {HTMLOListElement} shelf
 * @param {Item[]} items
 * @param {Item | null} selected
 * @param {(item: Item) => void} select
 */
export function showShelf(shelf, items, selected, select) {
  const focused = [...shelf.children].findIndex((child) => child.contains(document.activeElement));
  shelf.replaceChildren(
    ...items.map((item) => {
      const picture = item.url ? make("img", { src: item.url, alt: "" }) : make("span", { className: "blank" }, "?");
      const text = make("span", { className: "text" }, make("span", { className: "file muted" }, item.name), summary(item));
      const each = button("", () => select(item), `thumb ${tone(item)}`);
      each.append(picture, text);
      each.setAttribute("aria-pressed", String(item === selected));
      return make("li", {}, each);
    }),
  );
  shelf.children[focused]?.firstElementChild.focus();
}

function tone(item) {
  if (item.state === "failed") return { no_face: "odd", cancelled: "busy" }[item.failure.code] ?? "bad";
  if (item.state !== "done") return "busy";
  return facesOf(item.answer).some((face) => face.known) ? "good" : "odd";
}

const SVG = "http://www.w3.org/2000/svg";

function shape(tag, attributes, className) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.setAttribute("class", className);
  return element;
}

/** Box and landmarks of a face, twice: a dark line below makes the light one visible on every photo. */
function outline({ face: { box, landmarks }, known }, unit) {
  const group = shape("g", {}, `face ${known ? "known" : "unknown"}`);
  const rectangle = { x: box.left, y: box.top, width: box.width, height: box.height, rx: unit * 2 };
  group.append(shape("rect", rectangle, "under"), shape("rect", rectangle, "over"));
  for (const [cx, cy] of Object.values(landmarks)) group.append(shape("circle", { cx, cy, r: unit }, "mark"));
  return group;
}

/** The name, or in a group the number, at the corner of the box. Inside the photo, wherever the box is. */
function tag(text, { face: { box } }, image) {
  const element = make("span", { className: "tag" }, text);
  const top = box.top / image.height;
  const above = top > 0.1;
  element.style.top = `${100 * (above ? top : Math.min(1, (box.top + box.height) / image.height))}%`;
  element.classList.toggle("above", above || box.top + box.height > 0.9 * image.height);
  const middle = (box.left + box.width / 2) / image.width;
  if (middle > 0.55) element.style.right = `${100 * Math.max(0, 1 - (box.left + box.width) / image.width)}%`;
  else element.style.left = `${100 * Math.max(0, box.left / image.width)}%`;
  return element;
}

/** The photo as large as it fits, and what lies on it. */
function picture(item) {
  const plate = make("div", { className: "plate" });
  if (item.url) plate.append(make("img", { src: item.url, alt: `The photo ${item.name}` }));
  else if (item.photo) plate.append(make("p", { className: "blank" }, "This browser cannot draw this photo."));
  const size = item.answer?.image;
  if (!size) return plate;
  plate.style.aspectRatio = `${size.width} / ${size.height}`;
  // At most 70 % of the window's height, and small photos not blown up to where only pixels are seen.
  plate.style.maxWidth = `min(calc(70vh * ${size.width / size.height}), ${Math.max(360, size.width * 2)}px)`;
  const unit = Math.max(size.width, size.height) / 180;
  const overlay = shape("svg", { viewBox: `0 0 ${size.width} ${size.height}`, "aria-hidden": "true" }, "overlay");
  const faces = facesOf(item.answer);
  faces.forEach((face, index) => {
    overlay.append(outline(face, unit));
    plate.append(tag(faces.length > 1 ? String(index + 1) : nameOf(face), face, size));
  });
  plate.append(overlay);
  return plate;
}

/** The face itself, cut out of the photo, beside its name. */
function cutOut(item, { face: { box } }) {
  const canvas = make("canvas", { width: 96, height: 96, className: "cut" });
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

function bars(face) {
  const rows = face.candidates.map(({ id, name, confidence }) => {
    const fill = make("span", { className: "fill" });
    fill.style.width = `${100 * confidence}%`;
    return make(
      "li",
      {},
      make("span", { className: "who" }, name, make("span", { className: "muted" }, ` ID ${id}`)),
      make("span", { className: "share" }, percent(confidence)),
      make("span", { className: "track", "aria-hidden": "true" }, fill),
    );
  });
  const list = make("ol", { "aria-label": "Candidates" }, ...rows);
  if (face.known) return make("div", { className: "bars" }, list);
  return make("div", { className: "bars" }, make("p", { className: "muted" }, "Who comes closest, but not close enough:"), list);
}

/** One entry of the list: who it is, and on demand who else it may be. */
function entry(item, face, index, several, light) {
  const detail = face.known
    ? `ID ${face.predicted_id}, ${percent(face.confidence)} sure`
    : `None of the ${headcount(item.answer.model)} it knows`;
  const words = make(
    "span",
    { className: "text" },
    make("strong", {}, several ? `${index + 1}. ${nameOf(face)}` : nameOf(face)),
    make("span", { className: "muted" }, detail),
  );
  const list = bars(face);
  const open = !several || index === 0;
  const head = button("", () => expand(head.getAttribute("aria-expanded") === "false"), "head");
  if (item.url) head.append(cutOut(item, face));
  head.append(words);

  function expand(wanted) {
    head.setAttribute("aria-expanded", String(wanted));
    list.hidden = !wanted;
  }

  expand(open);
  const element = make("li", { className: face.known ? "known" : "unknown" }, head, list);
  for (const [on, off] of [["mouseenter", "mouseleave"], ["focusin", "focusout"]]) {
    element.addEventListener(on, () => light(index, true));
    element.addEventListener(off, () => light(index, false));
  }
  return element;
}

function facts({ answer, ms }) {
  const [decode, detect, classify] = ["decode", "detect", "classify"].map((step) => Math.round(answer.timings_ms[step]));
  const pairs = {
    Time: `${(ms / 1000).toFixed(2)} s there and back: ${decode} ms to read the photo, ${detect} to find faces, ${classify} to name them`,
    Model: `${answer.model.version}, ${headcount(answer.model)}`,
    Photo: `${answer.image.width} × ${answer.image.height} pixels as sent`,
  };
  return make("dl", {}, ...Object.entries(pairs).flatMap(([term, text]) => [make("dt", {}, term), make("dd", {}, text)]));
}

/** Two texts to take along, each with a button that copies it. */
function takeAway(item, curl) {
  const texts = { JSON: JSON.stringify(item.answer, null, 2), curl };
  const details = make("details", {}, make("summary", {}, "JSON and curl"));
  const buttons = Object.entries(texts).map(([name, text]) => {
    const block = make("pre", { tabIndex: 0, "aria-label": name }, text);
    details.append(block);
    const copy = button(`Copy ${name}`, async () => {
      try {
        await navigator.clipboard.writeText(text);
        copy.textContent = "Copied";
      } catch {
        // Over plain http, or where it is forbidden: the text lies selected, ready for Ctrl+C.
        details.open = true;
        getSelection().selectAllChildren(block);
        copy.textContent = "Selected, press Ctrl+C";
      }
      setTimeout(() => (copy.textContent = `Copy ${name}`), 2500);
    });
    return copy;
  });
  return make("div", {}, make("div", { className: "ways" }, ...buttons), details);
}

function answered(item, curl, plate) {
  const faces = facesOf(item.answer);
  const outlines = [...plate.querySelectorAll(".face")];
  const tags = [...plate.querySelectorAll(".tag")];
  const several = faces.length > 1;
  const light = (index, on) => {
    outlines[index].classList.toggle("lit", on);
    tags[index].classList.toggle("lit", on);
    plate.classList.toggle("dim", several && on);
    if (several) tags[index].textContent = on ? `${index + 1} ${nameOf(faces[index])}` : String(index + 1);
  };
  const entries = faces.map((face, index) => entry(item, face, index, several, light));
  outlines.forEach((element, index) => {
    element.addEventListener("mouseenter", () => entries[index].classList.add("lit"));
    element.addEventListener("mouseleave", () => entries[index].classList.remove("lit"));
  });
  const title = several ? `${faces.length} faces` : faces[0].known ? "One face" : "Somebody it does not know";
  return [
    make("h2", {}, title),
    make("ol", { className: "faces" }, ...entries),
    takeAway(item, curl),
    facts(item),
  ];
}

function noFace() {
  return [
    make("h2", {}, "No face found"),
    make("p", {}, "There is no face in this photo, or none that could be seen well enough."),
    make(
      "ul",
      { className: "tips" },
      make("li", {}, "A face has to be 20 pixels wide, and a 25th of the photo’s longer side."),
      make("li", {}, "Faces from the front, in even light, are found best."),
      make("li", {}, "Of a wide photo, try the part with the person."),
    ),
  ];
}

function failed(item, again) {
  const { code, message } = item.failure;
  const title = { cancelled: "Cancelled", offline: "You are offline", silent: "The service cannot be reached" }[code];
  return [
    make("h2", {}, title ?? "That did not work"),
    make("p", { className: code === "cancelled" ? "muted" : "wrong" }, code === "cancelled" ? "The photo has not been looked at." : message),
    // Of a file that cannot be sent another try comes to the same.
    ...(code === "unsendable" ? [] : [make("div", { className: "ways" }, button("Try again", again, "primary"))]),
  ];
}

const STEPS = { waiting: "Waiting for its turn", preparing: "Making it ready", sending: "Sending", looking: "Looking for faces" };

function working(item, cancel) {
  const bar = make("progress", { max: 1, "aria-label": "Progress of the upload" });
  const step = make("h2", {});
  const slow = make(
    "p",
    { className: "muted" },
    "This takes longer than usual: a service that nobody has used for a while has slept, and takes some seconds to wake up. The next photo will be quick.",
  );
  const update = () => {
    const share = item.state === "sending" ? ` ${Math.round(item.sent * 100)} %` : "";
    step.textContent = `${STEPS[item.state]}${share} …`;
    if (item.state === "sending") bar.value = item.sent;
    else bar.removeAttribute("value");
    slow.hidden = !item.slow;
  };
  update();
  return { parts: [step, bar, slow, make("div", { className: "ways" }, button("Cancel", cancel))], update };
}

/**
 * Show one item, whatever has become of it.
 * @param {HTMLElement} result
 * @param {Item} item
 * @param {{curl: string, again: () => void, cancel: () => void}} more
 * @returns {() => void} to be called as it makes progress, until its state is another
 */
export function showItem(result, item, { curl, again, cancel }) {
  const held = result.contains(document.activeElement);
  const plate = picture(item);
  let update = () => {};
  let parts;
  if (item.state === "done") parts = answered(item, curl, plate);
  else if (item.state === "failed") parts = item.failure.code === "no_face" ? noFace() : failed(item, again);
  else ({ parts, update } = working(item, cancel));
  const panel = make("div", { className: `card panel ${tone(item)}` }, ...parts);
  // A file that could not be opened leaves nothing to be looked at.
  result.replaceChildren(...(item.state === "failed" && !item.url ? [panel] : [plate, panel]));
  // The button that was pressed may be gone, and with it the place of who goes by keyboard.
  if (held) result.focus();
  return update;
}
