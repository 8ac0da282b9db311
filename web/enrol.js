/** The dialog that adds a person, or photos to a person. */

import { createButton, createElement, faceCount, percent, showStatus } from "./elements.js";
import { enrol } from "./enrolment.js";
import { onFiles } from "./intake.js";
import { photoTray } from "./tray.js";
import { skippedText } from "./words.js";

/**
 * @param {HTMLDialogElement} dialog
 * @param {object} options functions that app.js connects. `onChange` is called after each change, with the person.
 */
export function enrolDialog(dialog, { service, asAdministrator, openCamera, merge, onChange }) {
  const find = (selector) => dialog.querySelector(selector);
  const form = find("form");
  const { name: nameField } = form.elements;
  const files = find("input[type=file]");
  const status = find(".status");
  const notes = find(".notes");
  const tray = photoTray(find(".tray"), service);
  let target = null; // see enrol()
  let controller = null;
  let changed = false;
  let onDone = () => {};

  /** Show the form, for a new person or for more photos. */
  function showForm() {
    const isNew = target.id === undefined;
    tray.clear();
    notes.replaceChildren();
    showStatus(status, "");
    find("h2").textContent = isNew ? "Add a person" : `Add photos of ${target.name}`;
    find(".name").hidden = !isNew;
    setDone(false);
  }

  function setDone(done) {
    find(".form").hidden = find(".send").hidden = done;
    find(".done").hidden = find(".more").hidden = !done;
    dialog.classList.toggle("sent", done);
  }

  const note = (text, ...buttons) => createElement("li", {}, createElement("span", {}, text), ...buttons);

  function mergeButton(person, other) {
    return createButton("It is the same person", async () => {
      try {
        const merged = await merge(person, other);
        if (!merged) return;
        Object.assign(target, { id: merged.id, name: merged.name });
        notes.replaceChildren();
        showStatus(status, `Merged into ${merged.name}, who now has ${faceCount(merged.faces.length)}.`, "success-text");
        find(".done").focus();
        await onChange(merged);
      } catch (failure) {
        showStatus(status, failure.message, "error-text");
      }
    });
  }

  function showResult({ person, added }, created) {
    const text = created ? `${person.name} was added with ${faceCount(added)}.` : `${faceCount(added)} added to ${person.name}.`;
    showStatus(status, added ? text : "These photos were stored already.", "success-text");
    const alike = person.look_alikes.map((other) =>
      note(`Looks like ${other.name} (ID ${other.id}, ${percent(other.confidence)}).`, mergeButton(person, other)),
    );
    const listed = new Set(person.look_alikes.map(({ id }) => id));
    const same = person.same_name
      .filter((id) => !listed.has(id))
      .map((id) => note(`Somebody else has the same name (ID ${id}).`, mergeButton(person, { id, name: person.name })));
    notes.replaceChildren(...alike, ...same, ...(person.advice ? [note(person.advice)] : []));
    setDone(true);
    find(".done").focus();
  }

  /** Show at each photo whether it was used. */
  function settle(named, reasons, someUsed) {
    for (const [name, entry] of named) {
      if (reasons.has(name)) tray.settle(entry, skippedText(reasons.get(name)), "warning");
      else if (someUsed) tray.settle(entry, "Added", "success");
    }
  }

  async function send() {
    const person = target;
    const created = person.id === undefined;
    if (created) person.name = nameField.value.trim();
    if (!person.name) throw Object.assign(new Error("Enter a name."), { field: nameField });
    const entries = await tray.sendable();
    if (!entries.length) throw Object.assign(new Error("Add at least one photo that can be used."), { field: files });
    // Names of files can be the same, and they are nobody's business.
    const named = new Map(entries.map((entry, index) => [`photo-${index + 1}`, entry]));
    const photos = [...named].map(([name, { photo }]) => ({ name, blob: photo.blob }));
    const { signal } = (controller = new AbortController());
    const onProgress = (fraction) =>
      showStatus(status, fraction === 1 ? "Looking for faces …" : `Sending ${Math.round(fraction * 100)} % …`);
    let result;
    try {
      result = await enrol(asAdministrator, person, photos, { signal, onProgress });
    } catch (failure) {
      settle(named, failure.reasons ?? new Map(), false);
      throw failure;
    } finally {
      if (person.id !== undefined) {
        changed = true;
        await onChange(person);
      }
    }
    if (target !== person) return; // the dialog has been closed and opened again meanwhile
    settle(named, result.reasons, true);
    showResult(result, created);
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    find(".send").disabled = true;
    showStatus(status, "Preparing …");
    try {
      await send();
    } catch (failure) {
      if (controller?.signal.aborted) return; // the user has closed the dialog
      showStatus(status, failure.message, "error-text");
      failure.field?.focus();
    } finally {
      find(".send").disabled = false;
    }
  });
  onFiles(files, tray.add);
  find(".camera").addEventListener("click", () => openCamera((photo) => tray.add([photo])));
  find(".more").addEventListener("click", () => {
    showForm();
    files.focus();
  });
  find(".done").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    controller?.abort();
    tray.clear();
    if (changed) onDone();
  });

  return {
    /**
     * @param {object} options
     * @param {{id?: number, name?: string, collection: string}} options.person without `id` for a new one
     * @param {string} [options.hint] a sentence about the collection
     * @param {File[]} [options.photos] to begin with
     * @param {() => void} [options.onDone] called when the dialog is closed after a change
     */
    open({ person: { id, name, collection }, hint = "", photos = [], onDone: callback = () => {} }) {
      target = { id, name, collection };
      controller = null;
      changed = false;
      onDone = callback;
      nameField.value = "";
      find(".target").textContent = hint;
      showForm();
      find(".send").disabled = false;
      tray.add(photos);
      dialog.showModal();
    },
    add: (photos) => {
      if (!find(".form").hidden) tray.add(photos);
    },
  };
}
