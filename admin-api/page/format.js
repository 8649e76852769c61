/** Times, numbers and codes as text, by the box's clock. */

/** Box clock minus this device's clock: a phone that is wrong must not make every reading look old. */
let clockAheadMs = 0;
let clockKnown = false;

/** Sets the box's time. Network delay only makes it late, so the largest difference is the most accurate. */
export function setBoxClock(text) {
  const ahead = Date.parse(text) - Date.now();
  if (!clockKnown || ahead > clockAheadMs || ahead < clockAheadMs - 5000) clockAheadMs = ahead;
  clockKnown = true;
}

export const boxNow = () => Date.now() + clockAheadMs;

export function ageText(seconds) {
  if (!Number.isFinite(seconds)) return 'never';
  if (seconds < 60) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

export const secondsSince = (text) =>
  text === null || text === undefined ? Number.POSITIVE_INFINITY : (boxNow() - Date.parse(text)) / 1000;

export const numberText = (value) => (Number.isFinite(value) ? value.toLocaleString('en-US') : '–');

export const wordsOf = (code) => code.replaceAll('_', ' ');

/**
 * The element of the page that a selector names; throws if there is none.
 * @param {string} selector
 * @returns {HTMLElement}
 */
export function find(selector) {
  const found = document.querySelector(selector);
  if (found instanceof HTMLElement) return found;
  throw new Error(`the page has no ${selector}`);
}

/**
 * The message of anything thrown.
 * @param {unknown} error
 * @returns {string}
 */
export const messageOf = (error) => (error instanceof Error ? error.message : String(error));

/** Makes an element with attributes and children; text is never parsed as HTML. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    if (value !== undefined && value !== false) made.setAttribute(name, value === true ? '' : value);
  made.append(...children.filter((child) => child !== undefined && child !== null && child !== ''));
  return made;
}

/** Sets a text only if it differs: unchanged text is neither read out nor laid out again. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setClass(node, name) {
  if (node.getAttribute('class') !== name) node.setAttribute('class', name);
}

/** Replaces a node's children if `key` differs from the last one. */
export function setChildren(node, key, make) {
  if (node.dataset.key === key) return;
  node.dataset.key = key;
  node.replaceChildren(...make());
}
