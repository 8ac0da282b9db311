/** The dialog that changes the address of the service and the API key. */

import { showStatus } from "./elements.js";
import { administratorKey, apiKey, endpoint, normalize, saveEndpoint } from "./memory.js";

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

  const show = (text, className) => showStatus(status, text, className);

  function saveAndClose(address, key) {
    saveEndpoint(address, key);
    dialog.close();
    onSave();
  }

  form.querySelector(".reset").addEventListener("click", () => {
    administratorKey.set(endpoint(), "");
    saveAndClose("", "");
  });
  form.querySelector(".test").addEventListener("click", async () => {
    const address = normalize(fields.endpoint.value);
    const error = addressError(address);
    if (error) {
      show(error, "error-text");
      return;
    }
    show("Connecting … A service that has been idle needs some seconds to wake up.");
    try {
      show(await test(address, fields.key.value.trim()), "success-text");
    } catch (error) {
      show(error.message, "error-text");
    }
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const error = addressError(fields.endpoint.value);
    if (error) show(error, "error-text");
    else saveAndClose(fields.endpoint.value, fields.key.value.trim());
  });
  return {
    open() {
      fields.endpoint.value = endpoint();
      fields.key.value = apiKey.get(endpoint());
      show("");
      dialog.showModal();
    },
  };
}
