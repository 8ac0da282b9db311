/** Everything that the page remembers: the service's address in this browser, keys and the collection in this tab. */

const ENDPOINT = "endpoint";

/** @returns {Storage | null} null if the browser refuses storage; the page then works without remembering */
function storage(name) {
  try {
    return window[name];
  } catch {
    return null;
  }
}

function write(store, name, value) {
  if (value) store?.setItem(name, value);
  else store?.removeItem(name);
}

/** A text stored until this tab is closed and for one address only: a link with `?endpoint=` must not send a key elsewhere. */
function forAddress(content) {
  const name = (address) => `${content} of ${address}`;
  return {
    get: (address) => storage("sessionStorage")?.getItem(name(address)) ?? "",
    set: (address, value) => write(storage("sessionStorage"), name(address), value),
  };
}

export const apiKey = forAddress("key");
export const administratorKey = forAddress("administrator key");
export const chosenCollection = forAddress("collection");

export const normalize = (endpoint) => endpoint.trim().replace(/\/+$/, "");

/** @returns {string} the service's address without /classify: from the address bar, else stored, else from config.js */
export function endpoint() {
  const fromUrl = new URLSearchParams(location.search).get(ENDPOINT);
  return normalize(fromUrl || storage("localStorage")?.getItem(ENDPOINT) || window.ENDPOINT);
}

/** Remember the address, "" for the one of config.js, and its API key, "" for none. */
export function saveEndpoint(address, key) {
  const normalized = normalize(address) || normalize(window.ENDPOINT);
  write(storage("localStorage"), ENDPOINT, normalized === normalize(window.ENDPOINT) ? "" : normalized);
  apiKey.set(normalized, key);
  // Otherwise the address bar's endpoint would override the saved one after a reload.
  const url = new URL(location.href);
  url.searchParams.delete(ENDPOINT);
  history.replaceState(null, "", url);
}
