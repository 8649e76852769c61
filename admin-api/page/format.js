/** Times, numbers and codes as text, by the box's clock. */

/** Box clock minus this device's clock: a phone that is wrong must not make every reading look old. */
let clockAheadMs = 0;
let clockKnown = false;

/**
 * Sets the box's time. Network delay only makes it late, so the largest difference is the most accurate.
 * @param {string} text
 */
export function setBoxClock(text) {
  const ahead = Date.parse(text) - Date.now();
  if (!clockKnown || ahead > clockAheadMs || ahead < clockAheadMs - 5000) clockAheadMs = ahead;
  clockKnown = true;
}

export const boxNow = () => Date.now() + clockAheadMs;

/** @param {number} seconds */
export function ageText(seconds) {
  if (!Number.isFinite(seconds)) return 'never';
  if (seconds < 60) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

/** @param {string | null | undefined} text */
export const secondsSince = (text) =>
  text === null || text === undefined ? Number.POSITIVE_INFINITY : (boxNow() - Date.parse(text)) / 1000;

/** @param {number | undefined} value */
export const numberText = (value) => (value !== undefined && Number.isFinite(value) ? value.toLocaleString('en-US') : '–');

/** @param {string} code */
export const wordsOf = (code) => code.replaceAll('_', ' ');

/**
 * The element that a selector names, in the page or in a part of it; throws if there is none.
 * @param {string} selector
 * @param {ParentNode} [parent]
 * @returns {HTMLElement}
 */
export function find(selector, parent = document) {
  const found = parent.querySelector(selector);
  if (found instanceof HTMLElement) return found;
  throw new Error(`the page has no ${selector}`);
}

/**
 * Like `find`, for a drawing.
 * @param {string} selector
 * @param {ParentNode} parent
 * @returns {SVGElement}
 */
export function findDrawing(selector, parent) {
  const found = parent.querySelector(selector);
  if (found instanceof SVGElement) return found;
  throw new Error(`the page has no ${selector}`);
}

/**
 * The message of anything thrown.
 * @param {unknown} error
 * @returns {string}
 */
export const messageOf = (error) => (error instanceof Error ? error.message : String(error));

/**
 * Makes an element with attributes and children; text is never parsed as HTML.
 * @param {string} tag
 * @param {Record<string, string>} [attributes]
 * @param {(Node | string)[]} children
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== ''));
  return made;
}

/**
 * Sets a text only if it differs: unchanged text is neither read out nor laid out again.
 * @param {Node} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * @param {Element} node
 * @param {string} name
 */
export function setClass(node, name) {
  if (node.getAttribute('class') !== name) node.setAttribute('class', name);
}

/**
 * Replaces a node's children if `key` differs from the last one.
 * @param {HTMLElement} node
 * @param {string} key
 * @param {() => Node[]} make
 */
export function setChildren(node, key, make) {
  if (node.dataset.key === key) return;
  node.dataset.key = key;
  node.replaceChildren(...make());
}
