/** The photos of this visit: their list, and each one's state or result in a few words. */

import { createButton, createElement } from "./elements.js";

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

/** @param {object} face openapi.yaml's NamedFace */
export const nameOf = (face) => (face.known ? face.predicted_name : "Unknown person");

/** @returns {object[]} openapi.yaml's NamedFaces, largest first */
export const facesOf = (response) => response.faces ?? [response];

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
export function severity(item) {
  if (item.state === "failed") return { no_face: "warning", cancelled: "pending" }[item.failure.code] ?? "error";
  if (item.state !== "done") return "pending";
  return facesOf(item.response).some((face) => face.known) ? "success" : "warning";
}
