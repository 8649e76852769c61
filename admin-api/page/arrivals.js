/** What became of every message that arrived: outcomes by gateway, at the forwarder, and of other clients' messages at the broker. */
import { element, find, numberText, setChildren, wordsOf } from './format.js';

/** Outcomes of one service as rows; `refused` is counted by code. */
function rowsOf(place, { refused, ...outcomes }) {
  const named = Object.entries(refused ?? {}).map(([code, count]) => [`refused: ${wordsOf(code)}`, count]);
  return [...Object.entries(outcomes).map(([outcome, count]) => [wordsOf(outcome), count]), ...named]
    .filter(([, count]) => count > 0)
    .map(([outcome, count]) => ({ place, outcome, count }));
}

function allRows({ queue, gateway }) {
  const forwarder = Object.entries(queue?.arrivals ?? {}).flatMap(([name, counts]) => rowsOf(`forwarder, from ${name}`, counts));
  const { adoption } = gateway ?? {};
  if (adoption === undefined) return forwarder;
  return [...forwarder, ...rowsOf('gateway, from other clients', { ...adoption.outcomes, refused: adoption.refused })];
}

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
