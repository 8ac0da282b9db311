/** The service's routes. Each takes a Service, and options of request(); rejected promises carry a Failure. */

import { request, unexpectedResponse } from "./http.js";

/** @typedef {import("./http.js").Service} Service */
/** @typedef {{blob: Blob, name: string}} Photo */

const PAGE_SIZE = 1000; // people in a response, the most that the service sends

/** @returns {Promise<object>} the response's JSON */
const send = async (...parameters) => (await request(...parameters)).body;

/** Append parameters and, if one is chosen, the collection. */
function withQuery(service, path, parameters = {}) {
  const query = new URLSearchParams(parameters);
  if (service.collection) query.set("collection", service.collection);
  return String(query) ? `${path}?${query}` : path;
}

/** @param {...[string, Photo | string]} parts name and value of each */
function formOf(...parts) {
  const form = new FormData();
  for (const [name, value] of parts) {
    if (typeof value === "string") form.append(name, value);
    else form.append(name, value.blob, value.name);
  }
  return form;
}

const classifyPath = (service) => withQuery(service, "/classify", { faces: "all" });

/** @returns {Promise<object>} openapi.yaml's Classification */
export const classify = (service, photo, options) =>
  send(service, "POST", classifyPath(service), { form: formOf(["file", photo]), ...options });

/** @returns {Promise<{status: string, model: {version: string, classes: number}}>} */
export async function fetchHealth(service) {
  const response = await send(service, "GET", "/health");
  if (!response.model) throw unexpectedResponse(200, null);
  return response;
}

/** @returns {Promise<{faces: {quality: {good: boolean, reasons: string[]}}[]}>} largest first */
export const detect = (service, photo) => send(service, "POST", "/detect", { form: formOf(["file", photo]) });

/** @returns {Promise<object>} the largest face of `source` and, most similar first, the faces of `target` */
export const compare = (service, source, target) =>
  send(service, "POST", "/compare", { form: formOf(["source", source], ["target", target]) });

/** @typedef {{name: string, people: number, faces: number, read_only: boolean, default: boolean}} Collection */

/** @returns {Promise<Collection[]>} */
export async function fetchCollections(service) {
  const { collections } = await send(service, "GET", "/collections");
  if (!Array.isArray(collections)) throw unexpectedResponse(200, null);
  return collections;
}

const collectionPath = (name) => `/collections/${encodeURIComponent(name)}`;

export const createCollection = (service, name) => send(service, "PUT", collectionPath(name));

export const deleteCollection = (service, name) => send(service, "DELETE", collectionPath(name));

/** @returns {Promise<{people: import("./people-list.js").Person[], count: number, next?: number}>} by ID, those after `after` */
export async function fetchPeople(service, after) {
  const parameters = { limit: PAGE_SIZE, ...(after !== undefined && { after }) };
  const response = await send(service, "GET", withQuery(service, "/people", parameters));
  if (!Array.isArray(response.people)) throw unexpectedResponse(200, null);
  return response;
}

const personPath = (service, id, rest = "") => withQuery(service, `/people/${id}${rest}`);

/** @returns {Promise<object>} the person with `faces` */
export const fetchPerson = (service, id) => send(service, "GET", personPath(service, id));

const photoParts = (photos) => photos.map((photo) => ["file", photo]);

/** @returns {Promise<object>} the person with their new `faces`, `skipped`, `look_alikes`, `same_name` and `advice` */
export const createPerson = (service, name, photos, options) =>
  send(service, "POST", withQuery(service, "/people"), { form: formOf(["name", name], ...photoParts(photos)), ...options });

/** @returns {Promise<object>} as createPerson(), and `added` is false if the photos were there already */
export async function addFaces(service, id, photos, options) {
  const form = formOf(...photoParts(photos));
  const { status, body } = await request(service, "POST", personPath(service, id, "/faces"), { form, ...options });
  return { ...body, added: status === 201 };
}

export const renamePerson = (service, id, name) => send(service, "PATCH", personPath(service, id), { json: { name } });

/** @returns {Promise<object>} the other person, who now has the faces of both */
export const mergePerson = (service, id, into) => send(service, "PATCH", personPath(service, id), { json: { into } });

export const deletePerson = (service, id) => send(service, "DELETE", personPath(service, id));

export const deleteFace = (service, id, face) => send(service, "DELETE", personPath(service, id, `/faces/${face}`));

const shellQuote = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/**
 * The classify request as a shell command. It names the variable $API_KEY instead of the key, because other programs can
 * read the clipboard.
 */
export function curlCommand(service, name) {
  const key = service.key ? ' -H "x-api-key: $API_KEY"' : "";
  const file = name.replace(/["\\]/g, "\\$&");
  return `curl${key} -F ${shellQuote(`file=@"${file}"`)} ${shellQuote(service.endpoint + classifyPath(service))}`;
}
