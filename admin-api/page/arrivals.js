/** What became of every message that arrived: outcomes by gateway, at the forwarder, and of other clients' messages at the broker. */
import { element, find, numberText, setChildren, wordsOf } from './format.js';

/**
 * Outcomes of one service as rows; `refused` is counted by code.
 * @param {string} place
 * @param {Record<string, number>} outcomes
 * @param {Record<string, number>} refused
 */
function rowsOf(place, outcomes, refused) {
  const counts = [
    ...Object.entries(outcomes).map(([outcome, count]) => ({ place, outcome: wordsOf(outcome), count })),
    ...Object.entries(refused).map(([code, count]) => ({ place, outcome: `refused: ${wordsOf(code)}`, count })),
  ];
  return counts.filter(({ count }) => count > 0);
}

/** @param {import('./api.js').Overview} overview */
function allRows({ queue, gateway }) {
  const forwarder = Object.entries(queue?.arrivals ?? {}).flatMap(([name, { refused, ...outcomes }]) =>
    rowsOf(`forwarder, from ${name}`, outcomes, refused),
  );
  const { adoption } = gateway ?? {};
  if (adoption === undefined) return forwarder;
  return [...forwarder, ...rowsOf('gateway, from other clients', adoption.outcomes, adoption.refused)];
}

/** @param {import('./api.js').Overview} overview */
export function drawArrivals(overview) {
  const rows = allRows(overview);
  setChildren(find('#arrivals-list'), JSON.stringify(rows), () =>
    rows.map(({ place, outcome, count }) =>
      element(
        'tr',
        {},
        element('th', { scope: 'row' }, outcome, element('small', {}, place)),
        element('td', {}, numberText(count)),
      ),
    ),
  );
}
