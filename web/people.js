/** The view that lists the people of a collection, and creates and deletes collections. */

import { createCollection, deleteCollection, fetchPeople } from "./api.js";
import { faceCount, peopleCount, showStatus } from "./elements.js";
import { peopleList } from "./people-list.js";

/**
 * @param {HTMLElement} view
 * @param {object} options functions, and the collectionChoice(), that app.js connects
 */
export function peopleView(view, { service, collections, asAdministrator, confirm, askName, addPerson, openPerson }) {
  const find = (selector) => view.querySelector(selector);
  const load = peopleList(find(".people"), (after) => fetchPeople(service(), after));
  const report = (text, className) => showStatus(find(".changes"), text, className);
  let shown = "";

  function show() {
    const collection = collections.current();
    if (shown !== collections.name()) report("");
    shown = collections.name();
    find("h2").textContent = shown ? `Collection ${shown}` : "People";
    find(".note").hidden = !collection?.read_only;
    find(".delete-collection").hidden = !collection || collection.read_only;
    if (!view.hidden) load({ onSelect: collection?.read_only ? null : openPerson });
  }

  function create() {
    return askName({
      title: "New collection",
      label: "Name: letters, digits, dot, hyphen and underscore",
      action: "Create",
      async submit(name) {
        if (!collections.isReadOnly(name)) await asAdministrator((administrator) => createCollection(administrator, name));
        await collections.refresh(name);
        report(`${name} is selected.`, "success-text");
      },
    });
  }

  async function remove() {
    const { name, people, faces } = collections.current();
    const confirmed = await confirm({
      title: `Delete the collection ${name}?`,
      text: `${peopleCount(people)} and ${faceCount(faces)} will be deleted. This cannot be undone.`,
      action: "Delete the collection",
    });
    if (!confirmed) return;
    try {
      const deleted = await asAdministrator((administrator) => deleteCollection(administrator, name));
      await collections.refresh("");
      report(`${name} was deleted, with ${peopleCount(deleted.deleted_people)}.`, "success-text");
    } catch (failure) {
      report(failure.message, "error-text");
    }
  }

  find(".add-person").addEventListener("click", addPerson);
  find(".create-collection").addEventListener("click", create);
  find(".delete-collection").addEventListener("click", remove);
  return {
    /** Show the people of the chosen collection, if the view is visible. */
    show,
    report,
    /** Move the focus into the view, unless it is there. The button that had it may be gone. */
    focus() {
      if (!view.contains(document.activeElement)) find("input").focus();
    },
  };
}
