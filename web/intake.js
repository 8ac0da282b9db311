/** Photos that are chosen, dropped on the page or pasted. */

/** @typedef {{hint: string, add: (files: Iterable<File>) => void}} Target hint: shown while files are dragged over the page */

/** Call `add` with the files that are chosen in a file input. */
export function onFiles(input, add) {
  input.addEventListener("change", () => {
    const files = [...input.files];
    input.value = ""; // otherwise choosing the same photo again would not be a change
    if (files.length) add(files);
  });
}

/** @returns {HTMLDialogElement[]} the topmost last: index.html has them in the order in which they cover each other */
export const openDialogs = () => [...document.querySelectorAll("dialog[open]")];

/**
 * @param {HTMLElement} overlay shown while files are dragged over the page
 * @param {() => Target | null} target takes the photos; null if nothing takes photos at the moment
 * @param {(sentence: string) => void} complain
 */
export function setUpDrop(overlay, target, complain) {
  let depth = 0; // of the element under the pointer: each nested element has its own enter and leave events
  const hasFiles = (event) => event.dataTransfer.types.includes("Files");

  function showOverlay() {
    const taker = target();
    overlay.hidden = !(depth > 0 && taker);
    if (overlay.hidden) return;
    overlay.firstElementChild.textContent = taker.hint;
    // A modal dialog covers everything outside of it.
    (openDialogs().at(-1) ?? document.body).append(overlay);
  }

  function move(event, step) {
    if (!hasFiles(event)) return;
    depth += step;
    showOverlay();
  }

  document.addEventListener("dragenter", (event) => move(event, 1));
  document.addEventListener("dragleave", (event) => move(event, -1));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    showOverlay();
    if (event.dataTransfer.files.length) target()?.add(event.dataTransfer.files);
    else complain("Only files can be dropped here. Save the photo first, or copy and paste it.");
  });
}

export function setUpPaste(target, complain) {
  document.addEventListener("paste", (event) => {
    const taker = target();
    if (!taker) return;
    if (event.clipboardData.files.length) taker.add(event.clipboardData.files);
    else if (!event.target.closest?.("input")) complain("There is no photo in the clipboard.");
  });
}
