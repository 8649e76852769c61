/** The ledger with causes, and the figures above the chart. */
import { ageText, element, find, numberText, setChildren, setText, wordsOf } from './format.js';
import { knownQueue } from './reasons.js';

/** @type {['accepted' | 'shipped' | 'queued' | 'dead' | 'evicted' | 'missed', string][]} */
const ROWS = [
  ['accepted', 'accepted'],
  ['shipped', 'shipped'],
  ['queued', 'queued'],
  ['dead', 'dead'],
  ['evicted', 'evicted'],
  ['missed', 'missed before acceptance'],
];

/** @param {Record<string, number>} causes */
const causesText = (causes) =>
  Object.entries(causes)
    .filter(([, count]) => count > 0)
    .map(([cause, count]) => `${wordsOf(cause)} ${numberText(count)}`)
    .join(', ');

/** @param {import('./api.js').QueueAnswer | undefined} queue */
function oldestText(queue) {
  if (queue === undefined) return 'unknown';
  return queue.depth === 0 ? '–' : ageText(queue.oldest_age_seconds);
}

/** @param {import('./api.js').Overview} overview */
export function drawLedger({ queue: reported, bridge }) {
  setText(find('#held'), bridge === null || bridge.stale ? 'unknown' : numberText(bridge.outbox.held));
  const queue = knownQueue(reported);
  setText(find('#depth'), queue === undefined ? 'unknown' : numberText(queue.depth));
  setText(find('#oldest'), oldestText(queue));
  const table = find('#ledger');
  setChildren(table, 'made', () =>
    ROWS.map(([name, words]) =>
      element(
        'tr',
        { 'data-row': name },
        element('th', { scope: 'row' }, words, element('small')),
        element('td', { 'data-ledger': name }),
      ),
    ),
  );
  for (const [name] of ROWS) {
    const row = find(`[data-row=${name}]`, table);
    const causes = queue !== undefined && (name === 'dead' || name === 'evicted' || name === 'missed') ? queue.causes[name] : {};
    const count = queue?.ledger[name];
    setText(find('small', row), causesText(causes));
    setText(find('td', row), count === undefined ? 'unknown' : numberText(count));
    row.className = ['dead', 'evicted', 'missed'].includes(name) && (count ?? 0) > 0 ? 'not-none' : '';
  }
}
