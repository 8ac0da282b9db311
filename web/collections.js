/** The collection that photos are recognized in and whose people are shown. */

import { fetchCollections } from "./api.js";
import { createElement, peopleCount } from "./elements.js";
import { chosenCollection, endpoint } from "./memory.js";

/**
 * @param {HTMLSelectElement} select hidden, with its label, until the collections are known
 * @param {() => import("./http.js").Service} service
 * @param {() => void} onChange called when another collection is chosen or the collections have changed
 */
export function collectionChoice(select, service, onChange) {
  /** @type {import("./api.js").Collection[]} */
  let collections = [];
  let address = ""; // of the service that has listed them

  const listed = () => (address === endpoint() ? collections : []);
  const named = (name) => listed().find((collection) => collection.name === name);

  const current = () => named(chosenCollection.get(endpoint())) ?? listed().find((collection) => collection.default);

  function show() {
    const option = ({ name, people }) => createElement("option", { value: name }, `${name} (${peopleCount(people)})`);
    select.replaceChildren(...listed().map(option));
    select.value = current()?.name ?? "";
    select.parentElement.hidden = !listed().length;
  }

  function changed() {
    show();
    onChange();
  }

  /**
   * Fetch the list again. If that fails, the list of the same service stays.
   * @param {string} [name] of the collection to choose, "" for the service's default
   */
  async function refresh(name) {
    if (name !== undefined) chosenCollection.set(endpoint(), name);
    const asked = service();
    try {
      const fetched = await fetchCollections(asked);
      if (asked.endpoint !== endpoint()) return; // the user has changed the endpoint meanwhile
      collections = fetched;
      address = asked.endpoint;
    } catch {
      // The page works without a choice, and other requests report why the service does not answer.
      if (address === endpoint()) return;
    }
    changed();
  }

  select.addEventListener("change", () => {
    chosenCollection.set(endpoint(), select.value);
    changed();
  });

  return {
    /** @returns {import("./api.js").Collection | undefined} undefined if the service has not listed its collections */
    current,
    refresh,
    name: () => current()?.name ?? "",
    /** @returns {boolean} true for the collection that is published with the model */
    isReadOnly: (name) => Boolean(named(name)?.read_only),
  };
}
