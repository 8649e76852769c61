/** Dead letters: listed, retried and discarded by the operator. */
import { ageText, element, find, messageOf, numberText, secondsSince, setText, wordsOf } from './format.js';
import { ask, isOperator, onOperator, say } from './operator.js';
import { knownQueue } from './reasons.js';

let shown = -1;

/** @param {{retried: number, left: number}} result */
function retriedText({ retried, left }) {
  return `${retried} put back into the queue${left > 0 ? `; ${left} cannot be retried: no whole reading` : ''}.`;
}

/**
 * Retries or discards dead letters, and reports what was done.
 * @param {string} path
 * @param {{ids: number[]} | {all: true}} body
 */
async function act(path, body) {
  try {
    /** @type {{retried: number, left: number} | {discarded: number}} */
    const result = await ask('POST', path, body);
    say('discarded' in result ? `${result.discarded} discarded.` : retriedText(result));
    await list();
    // The pressed button is gone: keep the focus at the heading instead of the top of the page.
    if (document.activeElement === document.body) find('#dead-title').focus();
  } catch (error) {
    say(messageOf(error));
  }
}

/** @param {import('./api.js').DeadLetter} letter */
function row({ id, at, device, reason, detail, payload }) {
  const retry = element('button', { type: 'button', 'aria-label': `Retry dead letter ${id}` }, 'Retry');
  const discard = element('button', { type: 'button', class: 'danger', 'aria-label': `Discard dead letter ${id}` }, 'Discard');
  retry.addEventListener('click', () => void act('/dead-letters/retry', { ids: [id] }));
  discard.addEventListener('click', () => {
    if (confirm(`Discard dead letter ${id}? It is counted as evicted and cannot be brought back.`))
      void act('/dead-letters/discard', { ids: [id] });
  });
  return element(
    'tr',
    { 'data-dead': String(id) },
    element('td', {}, `${ageText(secondsSince(at))} ago`),
    element('td', {}, device),
    element('td', {}, element('b', {}, wordsOf(reason)), detail === '' ? '' : ` ${detail}`),
    element('td', {}, element('code', {}, payload.slice(0, 300))),
    element('td', { class: 'do' }, retry, ' ', discard),
  );
}

async function list() {
  /** @type {import('./api.js').DeadLetters} */
  const { dead_letters: letters } = await ask('GET', '/dead-letters?limit=50');
  const table = /** @type {HTMLTableElement} */ (find('#dead-list'));
  table.hidden = letters.length === 0;
  table.tBodies[0]?.replaceChildren(...letters.map(row));
}

function refresh() {
  if (isOperator()) list().catch((error) => say(messageOf(error)));
}

/** @param {import('./api.js').Overview} overview */
export function drawDeadLetters({ queue }) {
  const known = knownQueue(queue)?.dead_letters;
  const count = known ?? 0;
  const none = find('#dead-none');
  none.hidden = count > 0;
  setText(none, known === undefined ? 'Unknown: the forwarder has not reported its queue.' : 'No reading was refused.');
  find('#dead-some').hidden = count === 0;
  const badge = find('#dead-count');
  setText(badge, numberText(known));
  badge.classList.toggle('not-none', count > 0);
  if (count === shown) return;
  shown = count;
  refresh();
}

onOperator((is) => {
  find('#login').hidden = is;
  find('#dead-login').hidden = is;
  find('#dead-actions').hidden = !is;
  if (!is) find('#dead-list').hidden = true;
  refresh();
});
find('#retry-all').addEventListener('click', () => void act('/dead-letters/retry', { all: true }));
find('#discard-all').addEventListener('click', () => {
  if (confirm('Discard all dead letters? They are counted as evicted and cannot be brought back.'))
    void act('/dead-letters/discard', { all: true });
});
