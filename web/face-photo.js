/** The part of a group photo that shows one person, for adding this person. */

import { facesOf } from "./history.js";
import { toJpeg } from "./photo.js";

const SIDES = [2.4, 2, 1.7, 1.4]; // of the part, relative to the longer side of the face's box; the first that fits

/** The square around a face, cut at the edges of the photo. */
function partAround({ left, top, width, height }, side, image) {
  const half = (side * Math.max(width, height)) / 2;
  const [x, y] = [left + width / 2, top + height / 2];
  return [Math.max(0, x - half), Math.max(0, y - half), Math.min(image.width, x + half), Math.min(image.height, y + half)];
}

/** @returns {boolean} true if the middle of the box lies in the part */
function shows([x1, y1, x2, y2], { left, top, width, height }) {
  const [x, y] = [left + width / 2, top + height / 2];
  return x > x1 && x < x2 && y > y1 && y < y2;
}

/**
 * @param {import("./history.js").Item} item with a response
 * @param {object} face of the response
 * @returns {Promise<File>} the photo, or the part around the face if the photo shows several people
 */
export async function facePhoto({ name, photo, response }, face) {
  const others = facesOf(response).filter((other) => other !== face);
  if (!others.length || !photo.drawable) return new File([photo.blob], name, { type: photo.blob.type });
  const parts = SIDES.map((side) => partAround(face.face.box, side, response.image).map(Math.round));
  const alone = parts.find((part) => !others.some((other) => shows(part, other.face.box)));
  const [x1, y1, x2, y2] = alone ?? parts.at(-1);
  const bitmap = await createImageBitmap(photo.blob, x1, y1, x2 - x1, y2 - y1);
  const blob = await toJpeg(bitmap, bitmap.width, bitmap.height);
  bitmap.close();
  return new File([blob], name, { type: blob.type });
}
