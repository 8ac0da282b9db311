/** Photos that are about to be sent, each with a preview and a remark whether it is suitable. */

import { detect } from "./api.js";
import { createButton, createElement } from "./elements.js";
import { prepare } from "./photo.js";
import { qualityText } from "./words.js";

/**
 * @param {HTMLUListElement} list
 * @param {() => import("./http.js").Service} service
 */
export function photoTray(list, service) {
  let entries = [];
  // One photo after the other: decoding several at once takes much memory, and a runtime processes one at a time.
  let preparing = Promise.resolve();
  let checking = Promise.resolve();

  function mark(entry, text, severity) {
    entry.element.className = severity;
    entry.element.querySelector(".remark").textContent = text;
  }

  function remove(entry) {
    entries = entries.filter((other) => other !== entry);
    entry.element.remove();
    URL.revokeObjectURL(entry.url);
  }

  function createEntry(file) {
    const name = createElement("span", { className: "file-name muted" }, file.name);
    const text = createElement("span", { className: "text" }, name, createElement("span", { className: "remark" }));
    // The photo is null until it is prepared, and if it cannot be sent. `sent` tells that the service has judged it.
    const entry = { photo: null, url: "", sent: false };
    const button = createButton("✕", () => remove(entry), "quiet");
    button.setAttribute("aria-label", `Remove ${file.name}`);
    const placeholder = createElement("span", { className: "placeholder", "aria-hidden": "true" }, "?");
    entry.element = createElement("li", {}, placeholder, text, button);
    mark(entry, "Preparing …", "pending");
    return entry;
  }

  async function prepareEntry(entry, file) {
    try {
      entry.photo = await prepare(file);
      if (entry.photo.drawable && entries.includes(entry)) {
        entry.url = URL.createObjectURL(entry.photo.blob);
        entry.element.firstElementChild.replaceWith(createElement("img", { src: entry.url, alt: "" }));
      }
    } catch (failure) {
      mark(entry, failure.message, "error");
    }
  }

  async function check(entry) {
    if (!entry.photo || entry.sent || !entries.includes(entry)) return;
    mark(entry, "Checking …", "pending");
    let remark;
    try {
      remark = qualityText((await detect(service(), entry.photo)).faces);
    } catch (failure) {
      remark = { text: `Not checked: ${failure.message}`, severity: "warning" };
    }
    if (!entry.sent) mark(entry, remark.text, remark.severity);
  }

  return {
    /** @param {Iterable<File>} files */
    add(files) {
      for (const file of files) {
        const entry = createEntry(file);
        entries.push(entry);
        list.append(entry.element);
        const prepared = preparing.then(() => prepareEntry(entry, file));
        preparing = prepared;
        checking = Promise.all([checking, prepared]).then(() => check(entry));
      }
    },
    clear() {
      for (const entry of entries) remove(entry);
    },
    /** @returns {Promise<{photo: {blob: Blob}}[]>} the photos that can be sent and have not been, once all are prepared */
    async sendable() {
      await preparing;
      return entries.filter(({ photo, sent }) => photo && !sent);
    },
    /** Show what the service has done with a photo that was sendable(). */
    settle(entry, text, severity) {
      entry.sent = true;
      mark(entry, text, severity);
    },
  };
}
