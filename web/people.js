/** Everybody the model knows, to be searched. */

import { make } from "./view.js";

const STEP = 100; // shown at once: 60,000 rows would take the browser seconds, and nobody reads them

const MARKS = /\p{M}/gu;

/** So that "jose" finds José. */
const plain = (text) => text.normalize("NFD").replace(MARKS, "").toLowerCase();

/**
 * @param {{id: number, name: string, plain: string}[]} all
 * @param {string} query words that have to begin somewhere in the name, or an ID
 */
function matching(all, query) {
  const words = plain(query).split(/\s+/).filter(Boolean);
  return all.filter((person) => words.every((word) => person.plain.includes(` ${word}`) || String(person.id) === word));
}

/**
 * @param {HTMLDialogElement} dialog
 * @param {() => Promise<{id: number, name: string}[]>} fetchPeople throws with a sentence
 */
export function peopleDialog(dialog, fetchPeople) {
  const search = dialog.querySelector("input");
  const count = dialog.querySelector(".count");
  const list = dialog.querySelector("ul");
  const more = dialog.querySelector(".more");
  const again = dialog.querySelector(".again");
  let all = [];
  let found = [];

  function grow() {
    const shown = list.childElementCount;
    list.append(...found.slice(shown, shown + STEP).map(({ id, name }) => make("li", {}, name, make("span", { className: "muted" }, `ID ${id}`))));
    more.hidden = list.childElementCount >= found.length;
    const total = `${found.length.toLocaleString("en")} of ${all.length.toLocaleString("en")}`;
    count.textContent = more.hidden ? total : `${total}, the first ${list.childElementCount.toLocaleString("en")} are shown`;
    if (!found.length && all.length) count.textContent = "Nobody of that name";
  }

  function narrow() {
    found = search.value.trim() ? matching(all, search.value) : all;
    list.replaceChildren();
    list.scrollTop = 0;
    grow();
  }

  async function load() {
    all = found = [];
    list.replaceChildren();
    more.hidden = again.hidden = true;
    count.textContent = "Asking the service …";
    try {
      const order = new Intl.Collator("en").compare;
      all = (await fetchPeople()).map((person) => ({ ...person, plain: ` ${plain(person.name)}` }));
      all.sort((a, b) => order(a.name, b.name));
      narrow();
    } catch (error) {
      count.textContent = error.message;
      again.hidden = false;
    }
  }

  search.addEventListener("input", narrow);
  more.addEventListener("click", grow);
  again.addEventListener("click", load);
  return {
    open() {
      search.value = "";
      dialog.showModal();
      search.focus();
      load();
    },
  };
}
