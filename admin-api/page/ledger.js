/** The ledger with causes, and the figures above the chart. */
import { ageText, element, find, numberText, setChildren, setText, wordsOf } from './format.js';

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
  setText(find('#held'), bridge === null || bridge.stale ? '–' : numberText(bridge.outbox.held));
  if (queue === null) return;
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
    const row = table.querySelector(`[data-row=${name}]`);
    setText(row.querySelector('small'), causesText(queue.causes[name]));
    setText(row.querySelector('td'), numberText(queue.ledger[name]));
    row.className = ['dead', 'evicted', 'missed'].includes(name) && queue.ledger[name] > 0 ? 'not-none' : '';
  }
  setText(find('#depth'), numberText(queue.depth));
  setText(find('#oldest'), queue.depth === 0 ? '–' : ageText(queue.oldest_age_seconds));
}
