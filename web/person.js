/** The dialog of one person: photos, renaming, merging, deleting. */

import { deleteFace, deletePerson, fetchPeople, fetchPerson, mergePerson, renamePerson } from "./api.js";
import { createButton, createElement, faceCount, showStatus } from "./elements.js";
import { peopleList, personDetails } from "./people-list.js";

const time = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });

/**
 * @param {HTMLDialogElement} dialog
 * @param {HTMLDialogElement} mergeDialog chooses the person to merge with
 * @param {object} options functions that app.js connects. `onChange` is called after each change, with a sentence if this
 *   dialog is closed.
 */
export function personDialog(dialog, mergeDialog, { service, asAdministrator, confirm, askName, addPhotos, onChange, onClose }) {
  const find = (selector) => dialog.querySelector(selector);
  const status = find(".status");
  const loadOthers = peopleList(mergeDialog, (after) => fetchPeople(service(), after));
  let person = null;

  const change = (call) => asAdministrator(call, person.collection);

  function changed(text) {
    showStatus(status, text, "success-text");
    onChange();
  }

  /** Run a change and show the sentence of its failure. */
  async function attempt(action) {
    showStatus(status, "");
    try {
      await action();
    } catch (failure) {
      showStatus(status, failure.message, "error-text");
    }
  }

  function faceRow(face, index) {
    const text = createElement("span", {}, `Face ${index + 1}, added ${time.format(new Date(face.added))}`);
    const remove = createButton("Remove", () => attempt(() => removeFace(face)), "quiet");
    remove.setAttribute("aria-label", `Remove face ${index + 1}`);
    return createElement("li", {}, text, remove);
  }

  function show(shown) {
    person = shown;
    find("h2").textContent = person.name;
    find(".details").textContent = personDetails({ ...person, faces: person.faces.length });
    find("ul").replaceChildren(...person.faces.map(faceRow));
    find(".buttons").hidden = false;
  }

  const reload = async () => show(await fetchPerson({ ...service(), collection: person.collection }, person.id));

  async function removeFace(face) {
    const confirmed = await confirm({
      title: "Remove this face?",
      text: `${person.name} will be recognized by the other photos only. This cannot be undone.`,
      action: "Remove the face",
    });
    if (!confirmed) return;
    await change((administrator) => deleteFace(administrator, person.id, face.id));
    await reload();
    changed("The face was removed.");
    find(".add-photos").focus();
  }

  async function remove() {
    const { name, id, faces } = person;
    const confirmed = await confirm({
      title: `Delete ${name}?`,
      text: `The name and ${faceCount(faces.length)} will be deleted. This cannot be undone.`,
      action: "Delete the person",
    });
    if (!confirmed) return;
    await change((administrator) => deletePerson(administrator, id));
    dialog.close();
    onChange(`${name} was deleted.`);
  }

  const rename = () =>
    askName({
      title: `Rename ${person.name}`,
      label: "Name",
      action: "Rename",
      value: person.name,
      async submit(name) {
        show(await change((administrator) => renamePerson(administrator, person.id, name)));
        changed(`The name is now ${name}.`);
      },
    });

  /**
   * Merge a person into another one, who keeps name and ID.
   * @param {object} merged with id, name and collection
   * @param {{id: number, name: string}} other
   * @returns {Promise<object | null>} the other person; null if the user does not confirm
   */
  async function merge(merged, other) {
    const confirmed = await confirm({
      title: `Merge ${merged.name} into ${other.name}?`,
      text: `${other.name} (ID ${other.id}) gets the faces of ${merged.name} (ID ${merged.id}), who disappears from the list. This cannot be undone.`,
      action: "Merge",
    });
    if (!confirmed) return null;
    return asAdministrator((administrator) => mergePerson(administrator, merged.id, other.id), merged.collection);
  }

  async function mergeInto(other) {
    const { name } = person;
    try {
      const merged = await merge(person, other);
      if (!merged) return;
      show(merged);
    } catch (failure) {
      mergeDialog.close(); // the sentence is in the dialog below
      throw failure;
    }
    mergeDialog.close();
    changed(`${name} was merged into ${person.name}.`);
  }

  function chooseOther() {
    showStatus(status, "");
    mergeDialog.querySelector("h2").textContent = `Merge ${person.name} into …`;
    mergeDialog.querySelector("input").value = "";
    mergeDialog.showModal();
    loadOthers({ onSelect: (other) => attempt(() => mergeInto(other)), without: person.id });
  }

  dialog.addEventListener("close", onClose);
  find(".add-photos").addEventListener("click", () => addPhotos(person, () => attempt(reload)));
  find(".rename").addEventListener("click", rename);
  find(".merge").addEventListener("click", chooseOther);
  find(".remove").addEventListener("click", () => attempt(remove));
  return {
    /** @param {import("./people-list.js").Person} listed */
    open(listed) {
      person = { ...listed, collection: service().collection };
      find("h2").textContent = person.name;
      find(".details").textContent = personDetails(person);
      find("ul").replaceChildren();
      find(".buttons").hidden = true; // until it is known whether the person still exists
      dialog.showModal();
      attempt(reload);
    },
    merge,
  };
}
