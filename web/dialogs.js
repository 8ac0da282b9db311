/** Dialogs that ask for a text or, if they have no field, for a confirmation. */

import { showStatus } from "./elements.js";

const CLASSES = { title: "title", text: "text", label: "label-text", action: "submit" };

/**
 * @param {HTMLDialogElement} dialog
 * @returns {(question: object) => Promise<string | boolean>} resolves to the text or true, and to false if the user cancels.
 *   The question has `title`, `text`, `label` and `action` if they differ from the dialog's, the initial `value`, an
 *   `error` to show, and `submit`, which is called with the text. While it fails, the dialog stays open with the message.
 */
export function askDialog(dialog) {
  const find = (selector) => dialog.querySelector(selector);
  const [input, button, status] = [find("input"), find(".submit"), find(".status")];

  async function attempt(submit) {
    const answer = input ? input.value.trim() : true;
    if (!answer) throw new Error("Enter a text first.");
    await submit?.(answer);
    return answer;
  }

  return ({ value = "", error = "", submit, ...texts }) =>
    new Promise((resolve) => {
      let answer = false;
      for (const [name, text] of Object.entries(texts)) find(`.${CLASSES[name]}`).textContent = text;
      if (input) input.value = value;
      showStatus(status, error, "error-text");
      find("form").onsubmit = async (event) => {
        event.preventDefault();
        button.disabled = true;
        try {
          answer = await attempt(submit);
          dialog.close();
        } catch (failure) {
          showStatus(status, failure.message, "error-text");
        }
        button.disabled = false;
      };
      dialog.onclose = () => resolve(answer);
      dialog.showModal();
      input?.select();
    });
}
