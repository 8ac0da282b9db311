/** Prepares a file for upload: upright, small enough, without metadata such as location and camera. */

import { Failure } from "./http.js";

const MAX_SIDE = 1600; // pixels of the longer side, of which a face needs 20 to be found: 1.25 %
export const MAX_BYTES = 4_400_000; // of the photos in a request; the service accepts 4.5 MB, including the form around them
const QUALITIES = [0.92, 0.8, 0.6]; // of the JPEG, tried in this order until it is small enough
const FORMATS = "JPEG, PNG, WebP, GIF, HEIC and AVIF";
const HEADER_BYTES = 512; // by which a format is recognized
// EXIF, XMP and Photoshop's metadata.
const METADATA = /exif|ns\.adobe\.com\/xap|photoshop 3/i;

const unsendable = (message) => new Failure("unsendable", message);

/** @typedef {{blob: Blob, name: string, drawable: boolean}} Photo */

/** @returns {"jpeg" | "png" | "gif" | "webp" | "heic" | ""} the format by the first bytes, with the service's rules */
function imageFormat(header) {
  if (header.startsWith("\xff\xd8\xff")) return "jpeg";
  if (header.startsWith("\x89PNG")) return "png";
  if (header.startsWith("GIF8")) return "gif";
  if (header.startsWith("RIFF") && header.startsWith("WEBP", 8)) return "webp";
  // By any brand of the first box; AVIF is the same container.
  if (/^....ftyp(....)*?(avi[fs]|MA1[AB]|hei[cmsx]|hev[cmsx]|mif[12]|msf1|miaf|MiH[ABE])/s.test(header)) return "heic";
  return "";
}

// TextDecoder's "latin1" is Windows-1252, which changes some of the bytes that imageFormat() compares.
const latin1 = (bytes) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");

async function hasMetadata(file) {
  return METADATA.test(new TextDecoder("latin1").decode(await file.arrayBuffer()));
}

/**
 * @param {CanvasImageSource} source
 * @returns {Promise<Blob>} a JPEG whose longer side has at most MAX_SIDE pixels
 */
export async function toJpeg(source, width, height, maxBytes = MAX_BYTES) {
  const scale = Math.min(1, MAX_SIDE / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = canvas.getContext("2d");
  // Transparent pixels become white, as in the service.
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  for (const quality of QUALITIES) {
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", quality));
    if (blob && blob.size <= maxBytes) return blob;
  }
  throw unsendable("The photo is too large, even after compression.");
}

/** Pass on a file that this browser cannot open, because the service may be able to. */
function unopenedPhoto(file, format, maxBytes) {
  if (!format && !file.type.startsWith("image/")) throw unsendable(`${file.name} is not a photo. Supported formats: ${FORMATS}.`);
  if (file.size > maxBytes) {
    const limit = `limit: ${maxBytes / 1e6} MB`;
    throw unsendable(
      format === "heic"
        ? `This browser cannot open HEIC photos, and this one is too large to send unchanged (${limit}). Save it as JPEG first.`
        : `This browser cannot open ${file.name}, and it is too large to send unchanged (${limit}).`,
    );
  }
  return { blob: file, name: file.name, drawable: false };
}

/**
 * @param {File} file
 * @param {number} [maxBytes] of the photo that is sent
 * @returns {Promise<Photo>} throws Failure
 */
export async function prepare(file, maxBytes = MAX_BYTES) {
  if (!file.size) throw unsendable(`${file.name} is empty.`);
  const format = imageFormat(latin1(new Uint8Array(await file.slice(0, HEADER_BYTES).arrayBuffer())));
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return unopenedPhoto(file, format, maxBytes);
  }
  try {
    const fits = Math.max(bitmap.width, bitmap.height) <= MAX_SIDE && file.size <= maxBytes;
    // Send the file unchanged if possible, because each JPEG compression loses some quality.
    if (fits && format && format !== "heic" && !(await hasMetadata(file))) {
      return { blob: file, name: file.name, drawable: true };
    }
    const blob = await toJpeg(bitmap, bitmap.width, bitmap.height, maxBytes);
    return { blob, name: `${file.name.replace(/\.[^.]*$/, "") || "photo"}.jpg`, drawable: true };
  } finally {
    bitmap.close();
  }
}
