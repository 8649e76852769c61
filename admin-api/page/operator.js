/** The operator's session: the token is entered once and exchanged for a cookie that no script can read. */
import { find, messageOf, setText } from './format.js';

/** @type {Set<(is: boolean) => void>} */
const listeners = new Set();
let operator = false;

export const isOperator = () => operator;

/**
 * Calls `listener` at every login and logout, and once the session is known.
 * @param {(is: boolean) => void} listener
 */
export function onOperator(listener) {
  listeners.add(listener);
}

/**
 * Calls the API; throws the problem's detail and hint.
 * @param {'GET' | 'POST' | 'DELETE'} method
 * @param {string} path
 * @param {object} [body]
 */
export async function ask(method, path, body) {
  const answer = await fetch(path, {
    method,
    ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  });
  const value = await answer.json();
  if (answer.ok) return value;
  if (answer.status === 401) set(false);
  throw new Error(`${value.detail}. ${value.hint}`);
}

/** @param {string} words */
export function say(words) {
  setText(find('#dead-answer'), words);
}

/** @param {string} words */
function sayLogin(words) {
  setText(find('#login-answer'), words);
}

/** @param {boolean} is */
function set(is) {
  if (operator === is) return;
  operator = is;
  for (const listener of listeners) listener(is);
}

/**
 * If nothing can be read without the token, the form is shown at the top.
 * @param {boolean} locked
 */
export function showLocked(locked) {
  const notice = find('#locked');
  notice.hidden = !locked;
  (locked ? notice : find('#operate-login')).append(find('#login'));
  if (locked) find('#login').hidden = false;
}

find('#login').addEventListener('submit', (event) => {
  event.preventDefault();
  const field = /** @type {HTMLInputElement} */ (find('#token'));
  ask('POST', '/login', { token: field.value.trim() }).then(
    () => {
      field.value = '';
      sayLogin('');
      set(true);
    },
    (error) => sayLogin(messageOf(error)),
  );
});
find('#logout').addEventListener('click', () => {
  ask('POST', '/logout').then(
    () => set(false),
    (error) => say(messageOf(error)),
  );
});

/** Whether this browser still has the cookie. */
export async function readSession() {
  set((await ask('GET', '/session')).operator);
}
