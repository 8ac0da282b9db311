/** The dialog that lists and searches the known people. */

import { createElement } from "./view.js";

const PAGE_SIZE = 100; // rows added at a time: rendering 60,000 at once would block the browser for seconds

const COMBINING_MARKS = /\p{M}/gu;

/** Remove accents and case, so that "jose" matches "José". */
const normalize = (text) => text.normalize("NFD").replace(COMBINING_MARKS, "").toLowerCase();

/**
 * @param {{id: number, name: string, normalized: string}[]} people
 * @param {string} query words, each of which must be the start of a word of the name, or the ID
 */
function matching(people, query) {
  const words = normalize(query).split(/\s+/).filter(Boolean);
  return people.filter((person) =>
    words.every((word) => person.normalized.includes(` ${word}`) || String(person.id) === word),
  );
}

const row = ({ id, name }) => createElement("li", {}, name, createElement("span", { className: "muted" }, `ID ${id}`));

/**
 * @param {HTMLDialogElement} dialog
 * @param {() => Promise<{id: number, name: string}[]>} fetchPeople throws an error whose message is a sentence
 */
export function peopleDialog(dialog, fetchPeople) {
  const search = dialog.querySelector("input");
  const status = dialog.querySelector(".status");
  const list = dialog.querySelector("ul");
  const more = dialog.querySelector(".more");
  const retry = dialog.querySelector(".retry");
  let people = [];
  let matches = [];

  function showMore() {
    const shown = list.childElementCount;
    list.append(...matches.slice(shown, shown + PAGE_SIZE).map(row));
    more.hidden = list.childElementCount >= matches.length;
    const total = `${matches.length.toLocaleString("en")} of ${people.length.toLocaleString("en")}`;
    status.textContent = more.hidden ? total : `${total}, showing the first ${list.childElementCount.toLocaleString("en")}`;
    if (!matches.length && people.length) status.textContent = "No matching people";
  }

  function applyFilter() {
    matches = search.value.trim() ? matching(people, search.value) : people;
    list.replaceChildren();
    list.scrollTop = 0;
    showMore();
  }

  async function load() {
    people = matches = [];
    list.replaceChildren();
    more.hidden = retry.hidden = true;
    status.textContent = "Loading …";
    try {
      const compare = new Intl.Collator("en").compare;
      // The space in front lets every word of the name be matched with a space before it.
      people = (await fetchPeople()).map((person) => ({ ...person, normalized: ` ${normalize(person.name)}` }));
      people.sort((a, b) => compare(a.name, b.name));
      applyFilter();
    } catch (error) {
      status.textContent = error.message;
      retry.hidden = false;
    }
  }

  search.addEventListener("input", applyFilter);
  more.addEventListener("click", showMore);
  retry.addEventListener("click", load);
  return {
    open() {
      search.value = "";
      dialog.showModal();
      search.focus();
      load();
    },
  };
}
