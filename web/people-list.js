/** A list of people that can be searched. It reads the people page by page. */

import { createButton, createElement, faceCount, peopleCount } from "./elements.js";

const ROWS = 100; // added at a time: rendering 60,000 at once would block the browser for seconds

const COMBINING_MARKS = /\p{M}/gu;

/** Remove accents and case, so that "jose" matches "José". */
const normalize = (text) => text.normalize("NFD").replace(COMBINING_MARKS, "").toLowerCase();

/** @typedef {{id: number, name: string, external_id?: string, faces: number}} Person */

/** @param {string} query words, each of which must be the start of a word of the name, or an ID */
function matching(people, query) {
  const words = normalize(query).split(/\s+/).filter(Boolean);
  return people.filter((person) => words.every((word) => person.normalized.includes(` ${word}`) || String(person.id) === word));
}

export function personDetails({ id, external_id, faces }) {
  return [`ID ${id}`, external_id && `external ID ${external_id}`, faceCount(faces)].filter(Boolean).join(", ");
}

function row(person, onSelect) {
  const texts = [createElement("strong", {}, person.name), createElement("span", { className: "muted" }, personDetails(person))];
  if (!onSelect) return createElement("li", {}, createElement("div", { className: "person" }, ...texts));
  const button = createButton("", () => onSelect(person), "person");
  button.append(...texts);
  return createElement("li", {}, button);
}

/**
 * @param {HTMLElement} root
 * @param {(after?: number) => Promise<{people: Person[], count: number, next?: number}>} fetchPage
 * @returns {(options: {onSelect: ((person: Person) => void) | null, without?: number}) => void} loads the list anew.
 *   without: ID of a person who is not listed
 */
export function peopleList(root, fetchPage) {
  const search = root.querySelector("input");
  const status = root.querySelector(".status");
  const list = root.querySelector("ul");
  const more = root.querySelector(".more");
  const retry = root.querySelector(".retry");
  const { compare } = new Intl.Collator("en");
  const byName = (a, b) => compare(a.name, b.name);
  let options = { onSelect: null };
  let people = [];
  let matches = [];
  let count = 0; // of all people, also of those not read yet
  let next; // `after` of the next page, undefined if all pages are read
  let rows = ROWS; // at most in the list
  let reading = null; // identifies the load() whose pages are still wanted
  let busy = false;

  const query = () => search.value.trim();

  function showStatus() {
    const number = (value) => value.toLocaleString("en");
    if (!count) status.textContent = "Nobody is in this collection yet.";
    else if (query() && next !== undefined) status.textContent = `Searching … ${number(people.length)} of ${peopleCount(count)} read`;
    else if (query() && !matches.length) status.textContent = "No matching people";
    else {
      const total = query() ? `${number(matches.length)} of ${peopleCount(count)}` : peopleCount(count);
      status.textContent = more.hidden ? total : `${total}, showing the first ${number(list.childElementCount)}`;
    }
  }

  function showRows() {
    list.append(...matches.slice(list.childElementCount, rows).map((person) => row(person, options.onSelect)));
    more.hidden = matches.length <= rows && (next === undefined || Boolean(query()));
    showStatus();
  }

  function showMatches() {
    matches = query() ? matching(people, search.value).sort(byName) : people;
    if (list.contains(document.activeElement)) search.focus();
    list.replaceChildren();
    showRows();
  }

  function showError(error) {
    status.textContent = error.message;
    retry.hidden = false;
    more.hidden = true;
  }

  async function readPage(mine, after) {
    const page = await fetchPage(after);
    if (mine !== reading) return;
    // The space in front lets every word be matched with a space before it.
    const read = page.people.map((person) => ({ ...person, normalized: normalize(` ${person.name} ${person.external_id ?? ""}`) }));
    people.push(...read.filter(({ id }) => id !== options.without));
    count = page.count - (options.without === undefined ? 0 : 1);
    next = page.next;
  }

  /** Read pages until the list is full. A search reads all of them, because the service has no search by name. */
  async function fill() {
    showRows();
    if (busy) return;
    busy = true;
    const mine = reading;
    try {
      while (mine === reading && next !== undefined && (query() || people.length < rows)) {
        await readPage(mine, next);
        if (mine === reading && query()) showMatches();
      }
      if (mine === reading) showRows();
    } catch (error) {
      if (mine === reading) showError(error);
    } finally {
      busy = false;
      if (mine !== reading && people.length) fill();
    }
  }

  async function load() {
    const mine = (reading = {});
    people = [];
    next = undefined;
    rows = ROWS;
    more.hidden = retry.hidden = true;
    status.textContent = "Loading …";
    try {
      await readPage(mine);
      if (mine !== reading) return;
      if (next === undefined) people.sort(byName); // several pages arrive by ID
      showMatches();
      fill();
    } catch (error) {
      if (mine !== reading) return;
      list.replaceChildren();
      showError(error);
    }
  }

  search.addEventListener("input", () => {
    if (!people.length) return;
    rows = ROWS;
    list.scrollTop = 0;
    showMatches();
    fill();
  });
  more.addEventListener("click", () => {
    rows += ROWS;
    fill();
  });
  retry.addEventListener("click", load);
  return (wanted) => {
    options = wanted;
    load();
  };
}
