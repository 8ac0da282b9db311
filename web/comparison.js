/** The view that compares the faces of two photos. */

import { compare } from "./api.js";
import { buttonRow, createButton, createElement, percent } from "./elements.js";
import { onFiles } from "./intake.js";
import { photoWithFaces } from "./overlay.js";
import { MAX_BYTES, prepare } from "./photo.js";

const verdict = ({ same }) => (same ? "Same person" : "Different people");

/** Size of the photo in pixels. The faces are drawn only if it is known. */
async function sizeOf(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  return { width: image.naturalWidth, height: image.naturalHeight };
}

/**
 * @param {HTMLElement} view
 * @param {object} options functions that app.js connects
 * @returns {{add: (files: Iterable<File>) => void}} puts files into the slots
 */
export function comparison(view, { service, openCamera }) {
  const outcome = view.querySelector(".outcome");
  const slots = [...view.querySelectorAll(".slot")].map((root) => ({ root, photo: null, url: "", size: undefined }));
  let latest = null; // identifies the comparison that is still wanted

  function draw(slot, faces) {
    const place = slot.root.querySelector(".place");
    const alt = slot.root.querySelector("h3").textContent;
    place.replaceChildren(photoWithFaces(slot.url, alt, slot.size, faces));
  }

  function show(severity, title, text, ...more) {
    const sentence = createElement("p", { className: severity === "error" ? "error-text" : "" }, text);
    outcome.className = `outcome card panel ${severity}`;
    outcome.replaceChildren(createElement("h2", {}, title), sentence, ...more);
  }

  function showAnswer({ source, faces }) {
    const [best] = faces;
    const several = faces.length > 1;
    draw(slots[0], [{ ...source, known: best.same, text: several ? "Largest face" : verdict(best) }]);
    draw(slots[1], faces.map((face, index) => ({ ...face, known: face.same, text: several ? String(index + 1) : verdict(face) })));
    const rows = several
      ? faces.map((face, index) => createElement("p", {}, `${index + 1}. ${verdict(face)}: ${percent(face.confidence)}`))
      : [];
    const text = several
      ? "The faces of the second photo, most similar first, with the confidence that each is the person of the first photo:"
      : `${percent(best.confidence)} confidence that both photos show the same person.`;
    show(best.same ? "success" : "warning", verdict(best), text, ...rows);
  }

  async function compareSlots() {
    const mine = (latest = {});
    if (!slots.every(({ photo }) => photo)) return;
    show("pending", "Comparing …", "");
    try {
      const answer = await compare(service(), ...slots.map(({ photo }) => photo));
      if (mine === latest) showAnswer(answer);
    } catch (failure) {
      if (mine !== latest) return;
      if (failure.code === "no_face") {
        show("warning", "No face found", "One of the photos has no face that can be detected. Choose another one.");
        return;
      }
      const retry = buttonRow(createButton("Try again", compareSlots, "primary"));
      show("error", "The photos could not be compared", failure.message, retry);
    }
  }

  async function fill(slot, file) {
    latest = null;
    try {
      slot.photo = await prepare(file, MAX_BYTES / 2); // both go into one request
    } catch (failure) {
      show("error", "The photo could not be used", failure.message);
      return;
    }
    URL.revokeObjectURL(slot.url);
    slot.url = slot.photo.drawable ? URL.createObjectURL(slot.photo.blob) : "";
    slot.size = slot.url ? await sizeOf(slot.url) : undefined;
    for (const filled of slots.filter(({ photo }) => photo)) draw(filled);
    outcome.replaceChildren();
    outcome.className = "outcome";
    await compareSlots();
  }

  for (const slot of slots) {
    onFiles(slot.root.querySelector("input"), ([file]) => fill(slot, file));
    slot.root.querySelector(".camera").addEventListener("click", () => openCamera((photo) => fill(slot, photo)));
  }

  return {
    async add(files) {
      for (const file of [...files].slice(0, slots.length)) {
        await fill(slots.find(({ photo }) => !photo) ?? slots.at(-1), file);
      }
    },
  };
}
