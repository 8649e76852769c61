/** The operator: whose token is taken once and becomes a cookie that no script can read. */
import { setText } from './format.js';

const listeners = new Set();
let operator = false;

export const isOperator = () => operator;

/** Told at every change, and once the box has said who we are. */
export function onOperator(listener) {
  listeners.add(listener);
}

/** Asks the API; throws the problem's own words. */
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

export function say(words) {
  setText(document.querySelector('#dead-answer'), words);
}

function sayLogin(words) {
  setText(document.querySelector('#login-answer'), words);
}

function set(is) {
  if (operator === is) return;
  operator = is;
  for (const listener of listeners) listener(is);
}

/** Where nothing can be read without the token, the form stands at the top. */
export function showLocked(locked) {
  const notice = document.querySelector('#locked');
  notice.hidden = !locked;
  (locked ? notice : document.querySelector('#dead-login')).append(document.querySelector('#login'));
  if (locked) document.querySelector('#login').hidden = false;
}

document.querySelector('#login').addEventListener('submit', (event) => {
  event.preventDefault();
  const field = document.querySelector('#token');
  ask('POST', '/login', { token: field.value.trim() }).then(
    () => {
      field.value = '';
      sayLogin('');
      set(true);
    },
    (error) => sayLogin(error.message),
  );
});
document.querySelector('#logout').addEventListener('click', () => {
  ask('POST', '/logout').then(
    () => set(false),
    (error) => say(error.message),
  );
});

/** Whether this browser still has the cookie. */
export async function readSession() {
  set((await ask('GET', '/session')).operator);
}
