/** The address of the service and the API key: how they are stored, and the dialog that changes them. */

const ENDPOINT = "endpoint";

/** @returns {Storage | null} null if the browser refuses storage; the page then works without remembering */
function storage(name) {
  try {
    return window[name];
  } catch {
    return null;
  }
}

const keyName = (endpoint) => `key of ${endpoint}`;
const normalize = (endpoint) => endpoint.trim().replace(/\/+$/, "");

/** @returns {string} the service's address without /classify: from the address bar, else stored, else from config.js */
export function endpoint() {
  const fromUrl = new URLSearchParams(location.search).get(ENDPOINT);
  return normalize(fromUrl || storage("localStorage")?.getItem(ENDPOINT) || window.ENDPOINT);
}

/**
 * @param {string} address
 * @returns {string} the key stored for this address only: a link with `?endpoint=` must not send it to another server
 */
export function apiKey(address) {
  return storage("sessionStorage")?.getItem(keyName(address)) ?? "";
}

/**
 * @param {string} address "" for the one of config.js
 * @param {string} key "" for none
 */
function save(address, key) {
  const normalized = normalize(address);
  if (normalized && normalized !== normalize(window.ENDPOINT)) storage("localStorage")?.setItem(ENDPOINT, normalized);
  else storage("localStorage")?.removeItem(ENDPOINT);
  const name = keyName(normalized || normalize(window.ENDPOINT));
  if (key) storage("sessionStorage")?.setItem(name, key);
  else storage("sessionStorage")?.removeItem(name);
  // Otherwise the address bar's endpoint would override the saved one after a reload.
  const url = new URL(location.href);
  url.searchParams.delete(ENDPOINT);
  history.replaceState(null, "", url);
}

/**
 * @param {string} address
 * @returns {string} a sentence that says why the address cannot be used, or ""
 */
export function addressError(address) {
  let url;
  try {
    url = new URL(normalize(address));
  } catch {
    return "This is not a valid address. Example: https://abc.execute-api.eu-central-1.amazonaws.com/dev";
  }
  if (url.protocol === "https:" || url.origin === location.origin) return "";
  if (url.protocol === "http:" && ["localhost", "127.0.0.1"].includes(url.hostname)) return "";
  return "The address must begin with https://, unless the service runs on this computer.";
}

/**
 * @param {HTMLDialogElement} dialog
 * @param {(address: string, key: string) => Promise<string>} test returns a sentence about the service; throws an error
 *   whose message is a sentence
 * @param {() => void} onSave
 */
export function settingsDialog(dialog, test, onSave) {
  const form = dialog.querySelector("form");
  const fields = form.elements;
  const status = form.querySelector(".status");

  function showStatus(text, className = "") {
    status.textContent = text;
    status.className = `status ${className}`;
  }

  function saveAndClose(address, key) {
    save(address, key);
    dialog.close();
    onSave();
  }

  form.querySelector(".reset").addEventListener("click", () => saveAndClose("", ""));
  form.querySelector(".test").addEventListener("click", async () => {
    const address = normalize(fields.endpoint.value);
    const error = addressError(address);
    if (error) {
      showStatus(error, "error-text");
      return;
    }
    showStatus("Connecting … A service that has been idle needs some seconds to wake up.");
    try {
      showStatus(await test(address, fields.key.value.trim()), "success-text");
    } catch (error) {
      showStatus(error.message, "error-text");
    }
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const error = addressError(fields.endpoint.value);
    if (error) showStatus(error, "error-text");
    else saveAndClose(fields.endpoint.value, fields.key.value.trim());
  });
  return {
    open() {
      fields.endpoint.value = endpoint();
      fields.key.value = apiKey(endpoint());
      showStatus("");
      dialog.showModal();
    },
  };
}
