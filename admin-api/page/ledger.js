/** The ledger with causes, and the figures above the chart. */
import { ageText, element, find, numberText, setChildren, setText, wordsOf } from './format.js';

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

/** @param {import('./api.js').Overview} overview */
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
    const row = find(`[data-row=${name}]`, table);
    const causes = name === 'dead' || name === 'evicted' || name === 'missed' ? queue.causes[name] : {};
    setText(find('small', row), causesText(causes));
    setText(find('td', row), numberText(queue.ledger[name]));
    row.className = ['dead', 'evicted', 'missed'].includes(name) && queue.ledger[name] > 0 ? 'not-none' : '';
  }
  setText(find('#depth'), numberText(queue.depth));
  setText(find('#oldest'), queue.depth === 0 ? '–' : ageText(queue.oldest_age_seconds));
}
