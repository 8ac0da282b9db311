/** Sends the photos of a person in as few requests as possible. */

import { addFaces, createPerson } from "./api.js";
import { MAX_BYTES } from "./photo.js";

const MAX_PHOTOS = 20; // in a request

function batchesOf(photos) {
  const batches = [];
  let bytes = Infinity;
  for (const photo of photos) {
    bytes += photo.blob.size;
    if (bytes > MAX_BYTES || batches.at(-1).length === MAX_PHOTOS) {
      batches.push([]);
      bytes = photo.blob.size;
    }
    batches.at(-1).push(photo);
  }
  return batches;
}

/**
 * @param {Function} asAdministrator
 * @param {{id?: number, name: string, collection: string}} target the person, a new one without `id`. It is set here, so
 *   that a second try continues with this person.
 * @param {{blob: Blob, name: string}[]} photos with different names
 * @param {{onProgress: (fraction: number) => void, signal: AbortSignal}} options
 * @returns {Promise<{person: object, added: number, reasons: Map<string, string>}>} the last response, the number of faces
 *   added, and why photos were not used, by name. The latter is also in the Failure if none was.
 */
export async function enrol(asAdministrator, target, photos, options) {
  const reasons = new Map();
  const remember = (skipped) => skipped.forEach(({ file, reason }) => reasons.set(file, reason));
  let added = 0;
  let person = null;
  let refusal = null;
  for (const batch of batchesOf(photos)) {
    const call = (service) =>
      target.id === undefined
        ? createPerson(service, target.name, batch, options)
        : addFaces(service, target.id, batch, options);
    try {
      person = await asAdministrator(call, target.collection);
    } catch (failure) {
      if (!failure.skipped?.length) throw failure;
      refusal = failure; // none of these photos can be used, but some of the next ones may
      remember(failure.skipped);
      continue;
    }
    Object.assign(target, { id: person.id, collection: person.collection });
    if (person.added === false) remember(batch.map(({ name }) => ({ file: name, reason: "duplicate" })));
    else added += person.faces.length;
    remember(person.skipped);
  }
  if (!person) throw Object.assign(refusal, { reasons });
  return { person, added, reasons };
}
