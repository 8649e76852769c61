/** The ledger with causes, and the figures above the chart. */
import { ageText, element, numberText, setChildren, setText, wordsOf } from './format.js';

const ROWS = [
  ['accepted', 'accepted'],
  ['shipped', 'shipped'],
  ['queued', 'queued'],
  ['dead', 'dead'],
  ['evicted', 'evicted'],
  ['missed', 'missed before acceptance'],
];

const causesText = (causes) =>
  Object.entries(causes ?? {})
    .filter(([, count]) => count > 0)
    .map(([cause, count]) => `${wordsOf(cause)} ${numberText(count)}`)
    .join(', ');

export function drawLedger({ queue, bridge }) {
  setText(document.querySelector('#held'), bridge === null || bridge.stale ? '–' : numberText(bridge.outbox.held));
  if (queue === null) return;
  const table = document.querySelector('#ledger');
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
    const row = table.querySelector(`[data-row=${name}]`);
    setText(row.querySelector('small'), causesText(queue.causes[name]));
    setText(row.querySelector('td'), numberText(queue.ledger[name]));
    row.className = ['dead', 'evicted', 'missed'].includes(name) && queue.ledger[name] > 0 ? 'not-none' : '';
  }
  setText(document.querySelector('#depth'), numberText(queue.depth));
  setText(document.querySelector('#oldest'), queue.depth === 0 ? '–' : ageText(queue.oldest_age_seconds));
}
