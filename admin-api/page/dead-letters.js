/** Dead letters: listed, retried and discarded by the operator, whose token is taken once and becomes a cookie. */
import { ageText, element, numberText, secondsSince } from './format.js';

let operator = false;
let shown = -1;

async function ask(method, path, body) {
  const answer = await fetch(path, { method, ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }) });
  const value = await answer.json();
  if (!answer.ok) throw new Error(`${value.detail}. ${value.hint}`);
  return value;
}

function say(words) {
  document.querySelector('#dead-answer').textContent = words;
}

async function act(path, body) {
  try {
    const { retried, left, discarded } = await ask('POST', path, body);
    say(discarded === undefined ? `${retried} put back into the queue${left > 0 ? `, ${left} are no readings and stay` : ''}.` : `${discarded} discarded.`);
    await list();
  } catch (error) {
    say(error.message);
  }
}

async function list() {
  const { dead_letters: letters } = await ask('GET', '/dead-letters?limit=50');
  const table = document.querySelector('#dead-list');
  table.hidden = letters.length === 0;
  table.tBodies[0].replaceChildren(
    ...letters.map(({ id, at, device, reason, detail, payload }) => {
      const retry = element('button', { type: 'button', 'aria-label': `Retry dead letter ${id}` }, 'Retry');
      const discard = element('button', { type: 'button', class: 'danger', 'aria-label': `Discard dead letter ${id}` }, 'Discard');
      retry.addEventListener('click', () => void act('/dead-letters/retry', { ids: [id] }));
      discard.addEventListener('click', () => void act('/dead-letters/discard', { ids: [id] }));
      return element('tr', { 'data-dead': id }, element('td', {}, `${ageText(secondsSince(at))} ago`), element('td', {}, device), element('td', {}, `${reason}: ${detail}`), element('td', {}, element('code', {}, payload.slice(0, 200))), element('td', {}, retry, ' ', discard));
    }),
  );
}

function showOperator(is) {
  operator = is;
  document.querySelector('#login').hidden = is;
  document.querySelector('#dead-actions').hidden = !is;
}

export function drawDeadLetters({ queue }) {
  const count = queue?.dead_letters ?? 0;
  document.querySelector('#dead-none').hidden = count > 0;
  document.querySelector('#dead-some').hidden = count === 0 && document.querySelector('#dead-answer').textContent === '';
  document.querySelector('#dead-count').textContent = numberText(count);
  if (count === shown) return;
  shown = count;
  if (operator) void list().catch((error) => say(error.message));
}

document.querySelector('#login').addEventListener('submit', (event) => {
  event.preventDefault();
  const field = document.querySelector('#token');
  void ask('POST', '/login', { token: field.value.trim() }).then(
    () => {
      field.value = '';
      showOperator(true);
      say('');
      return list();
    },
    (error) => say(error.message),
  );
});
document.querySelector('#retry-all').addEventListener('click', () => void act('/dead-letters/retry', { all: true }));
document.querySelector('#discard-all').addEventListener('click', () => {
  if (confirm('Discard all dead letters? They are counted as evicted and cannot be brought back.')) void act('/dead-letters/discard', { all: true });
});
void ask('GET', '/session').then(({ operator: is }) => showOperator(is), () => undefined);
