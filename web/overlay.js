/** A photo with boxes, landmarks and labels over it. */

import { createElement, createSvgElement } from "./elements.js";

/** @typedef {{box: object, landmarks: object, known: boolean, text: string}} DrawnFace in pixels of the photo */

/** Box and landmarks of a face. A dark line under the light one keeps the box visible on every photo. */
function faceOutline({ box, landmarks, known }, unit) {
  const group = createSvgElement("g", {}, `face ${known ? "known" : "unknown"}`);
  const rectangle = { x: box.left, y: box.top, width: box.width, height: box.height, rx: unit * 2 };
  group.append(createSvgElement("rect", rectangle, "dark-line"), createSvgElement("rect", rectangle, "light-line"));
  for (const [cx, cy] of Object.values(landmarks)) {
    group.append(createSvgElement("circle", { cx, cy, r: unit }, "landmark"));
  }
  return group;
}

/** The name, or in a group the number, at a corner of the box. It stays inside the photo, wherever the box is. */
function faceLabel({ box, text }, image) {
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

/**
 * @param {string} url of the photo, or "" if this browser cannot display it
 * @param {string} alt
 * @param {{width: number, height: number}} [size] of the photo in pixels. Without it, no faces are drawn.
 * @param {DrawnFace[]} [faces]
 */
export function photoWithFaces(url, alt, size, faces = []) {
  const view = createElement("div", { className: "photo" });
  if (url) view.append(createElement("img", { src: url, alt }));
  else view.append(createElement("p", { className: "placeholder" }, "This browser cannot display this photo."));
  if (!size) return view;
  view.style.aspectRatio = `${size.width} / ${size.height}`;
  // At most 70 % of the window's height; small photos are not enlarged until they are blurred.
  view.style.maxWidth = `min(calc(70vh * ${size.width / size.height}), ${Math.max(360, size.width * 2)}px)`;
  const unit = Math.max(size.width, size.height) / 180;
  const overlay = createSvgElement("svg", { viewBox: `0 0 ${size.width} ${size.height}`, "aria-hidden": "true" }, "overlay");
  for (const face of faces) {
    overlay.append(faceOutline(face, unit));
    view.append(faceLabel(face, size));
  }
  view.append(overlay);
  return view;
}

/** The face, cropped from the photo, to show beside its name. */
export function faceCrop(url, box) {
  const canvas = createElement("canvas", { width: 96, height: 96, className: "crop" });
  canvas.setAttribute("aria-hidden", "true");
  const side = 1.25 * Math.max(box.width, box.height);
  const image = new Image();
  image.src = url;
  image.decode().then(
    () => {
      const [left, top] = [box.left + (box.width - side) / 2, box.top + (box.height - side) / 2];
      canvas.getContext("2d").drawImage(image, left, top, side, side, 0, 0, canvas.width, canvas.height);
    },
    () => canvas.remove(),
  );
  return canvas;
}
