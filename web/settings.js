/** Which service the page talks to, and with which key. */

const ENDPOINT = "endpoint";

/** A browser may refuse storage altogether; the page then works without remembering. */
function storage(name) {
  try {
    return window[name];
  } catch {
    return null;
  }
}

const keyOf = (endpoint) => `key of ${endpoint}`;
const tidy = (endpoint) => endpoint.trim().replace(/\/+$/, "");

/** @returns {string} what /classify comes after: of the address bar, else of this browser, else of config.js */
export function endpoint() {
  const asked = new URLSearchParams(location.search).get(ENDPOINT);
  return tidy(asked || storage("localStorage")?.getItem(ENDPOINT) || window.ENDPOINT);
}

/**
 * @param {string} address
 * @returns {string} the key for that endpoint and no other: a link with `?endpoint=` must not get hold of it
 */
export function key(address) {
  return storage("sessionStorage")?.getItem(keyOf(address)) ?? "";
}

/**
 * @param {string} address "" for the one of config.js
 * @param {string} secret "" for none
 */
function save(address, secret) {
  const chosen = tidy(address);
  if (chosen && chosen !== tidy(window.ENDPOINT)) storage("localStorage")?.setItem(ENDPOINT, chosen);
  else storage("localStorage")?.removeItem(ENDPOINT);
  const keyed = keyOf(chosen || tidy(window.ENDPOINT));
  if (secret) storage("sessionStorage")?.setItem(keyed, secret);
  else storage("sessionStorage")?.removeItem(keyed);
  // What was just chosen has to survive a reload, and the address bar would win.
  const url = new URL(location.href);
  url.searchParams.delete(ENDPOINT);
  history.replaceState(null, "", url);
}

/**
 * @param {string} address
 * @returns {string} what is wrong with it, or ""
 */
export function complaint(address) {
  let url;
  try {
    url = new URL(tidy(address));
  } catch {
    return "That is not an address: it has to look like https://abc.execute-api.eu-central-1.amazonaws.com/dev.";
  }
  if (url.protocol === "https:" || url.origin === location.origin) return "";
  if (url.protocol === "http:" && ["localhost", "127.0.0.1"].includes(url.hostname)) return "";
  return "The address has to begin with https://, unless the service runs on this computer.";
}

/**
 * The dialog in which both are changed.
 * @param {HTMLDialogElement} dialog
 * @param {(address: string, secret: string) => Promise<string>} test says what answers there; throws with a sentence
 * @param {() => void} changed is called after saving
 */
export function settingsDialog(dialog, test, changed) {
  const form = dialog.querySelector("form");
  const fields = form.elements;
  const outcome = form.querySelector(".outcome");

  function tell(text, kind = "") {
    outcome.textContent = text;
    outcome.className = `outcome ${kind}`;
  }

  function store(address, secret) {
    save(address, secret);
    dialog.close();
    changed();
  }

  form.querySelector(".reset").addEventListener("click", () => store("", ""));
  form.querySelector(".test").addEventListener("click", async () => {
    const address = tidy(fields.endpoint.value);
    const wrong = complaint(address);
    if (wrong) {
      tell(wrong, "wrong");
      return;
    }
    tell("Asking. A service that has slept takes some seconds to wake up.");
    try {
      tell(await test(address, fields.key.value.trim()), "right");
    } catch (error) {
      tell(error.message, "wrong");
    }
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const wrong = complaint(fields.endpoint.value);
    if (wrong) tell(wrong, "wrong");
    else store(fields.endpoint.value, fields.key.value.trim());
  });
  return {
    open() {
      fields.endpoint.value = endpoint();
      fields.key.value = key(endpoint());
      tell("");
      dialog.showModal();
    },
  };
}
