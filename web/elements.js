/** Creates elements and formats numbers. Never parses HTML, so that no text can inject markup. */

/**
 * @param {string} tag
 * @param {Record<string, unknown>} properties set on the element; names with a dash are set as attributes
 * @param {...(Node | string)} children
 */
export function createElement(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-")) element.setAttribute(name, String(value));
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

export const createButton = (text, onclick, className = "") => createElement("button", { type: "button", className, onclick }, text);

export const buttonRow = (...buttons) => createElement("div", { className: "buttons" }, ...buttons);

const SVG = "http://www.w3.org/2000/svg";

export function createSvgElement(tag, attributes, className) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.setAttribute("class", className);
  return element;
}

/** @param {"" | "error-text" | "success-text"} [className] */
export function showStatus(element, text, className = "") {
  element.textContent = text;
  for (const name of ["error-text", "success-text"]) element.classList.toggle(name, name === className);
}

/**
 * Format as a percentage, rounded down so that only certainty is shown as 100 %.
 * @param {number} fraction
 */
export function percent(fraction) {
  return `${(Math.floor(fraction * 1000) / 10).toFixed(1)} %`;
}

/** @returns {string} such as "1 face" or "6,733 faces" */
const counted = (count, one, many) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

export const peopleCount = (count) => counted(count, "person", "people");
export const faceCount = (count) => counted(count, "face", "faces");
