/** From the file somebody gives to the photo that is sent: upright, small enough, without what it tells of place and time. */

import { Failure } from "./api.js";

const LONGEST = 1600; // pixels of the longer side; the detector does not see more
const MOST_BYTES = 4_400_000; // the service takes 4.5 MB, from which the form around it goes
const QUALITIES = [0.92, 0.8, 0.6];
const WHAT = "JPEG, PNG, WebP, GIF or HEIC";
// Where cameras and programs write what they know: EXIF, XMP, Photoshop's.
const METADATA = /exif|ns\.adobe\.com\/xap|photoshop 3/i;

/** @param {string} why a sentence */
const unsendable = (why) => new Failure("unsendable", why);

/** @typedef {{blob: Blob, name: string, drawable: boolean}} Photo */

/** @returns {"jpeg" | "png" | "gif" | "webp" | "heic" | ""} by the first bytes, as the service tells them apart */
function kind(head) {
  if (head.startsWith("\xff\xd8\xff")) return "jpeg";
  if (head.startsWith("\x89PNG")) return "png";
  if (head.startsWith("GIF8")) return "gif";
  if (head.startsWith("RIFF") && head.startsWith("WEBP", 8)) return "webp";
  if (/^....ftyp(hei[cmsx]|hev[cmsx]|mif1|msf1)/s.test(head)) return "heic";
  return "";
}

// TextDecoder's latin1 is Windows-1252, in which the first bytes would not be themselves.
const text = (bytes) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");

async function hasMetadata(file) {
  return METADATA.test(new TextDecoder("latin1").decode(await file.arrayBuffer()));
}

/**
 * @param {CanvasImageSource} source
 * @param {number} width
 * @param {number} height
 * @returns {Promise<Blob>} a JPEG of which the longer side has 1,600 pixels at most
 */
export async function draw(source, width, height) {
  const scale = Math.min(1, LONGEST / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const pen = canvas.getContext("2d");
  // What is transparent becomes white, as in the service.
  pen.fillStyle = "white";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(source, 0, 0, canvas.width, canvas.height);
  for (const quality of QUALITIES) {
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", quality));
    if (blob && blob.size <= MOST_BYTES) return blob;
  }
  throw unsendable("The photo stays too large however it is drawn.");
}

/** A file that this browser cannot open, but perhaps the service can. */
function unopened(file, is) {
  if (!is && !file.type.startsWith("image/")) throw unsendable(`${file.name} is not a photo: ${WHAT} are taken.`);
  if (file.size > MOST_BYTES) {
    throw unsendable(
      is === "heic"
        ? "This browser cannot open HEIC, and the photo is too large to be sent as it is: 4.4 MB at most. Save it as JPEG first."
        : `${file.name} cannot be opened here, and is too large to be sent as it is: 4.4 MB at most.`,
    );
  }
  return { blob: file, name: file.name, drawable: false };
}

/**
 * @param {File} file
 * @returns {Promise<Photo>} throws Failure
 */
export async function prepare(file) {
  if (!file.size) throw unsendable(`${file.name} is empty.`);
  const is = kind(text(new Uint8Array(await file.slice(0, 16).arrayBuffer())));
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return unopened(file, is);
  }
  try {
    const fits = Math.max(bitmap.width, bitmap.height) <= LONGEST && file.size <= MOST_BYTES;
    // As it is where nothing speaks against it: each time a JPEG is written it loses a little.
    if (fits && is && is !== "heic" && !(await hasMetadata(file))) return { blob: file, name: file.name, drawable: true };
    const blob = await draw(bitmap, bitmap.width, bitmap.height);
    return { blob, name: `${file.name.replace(/\.[^.]*$/, "") || "photo"}.jpg`, drawable: true };
  } finally {
    bitmap.close();
  }
}
