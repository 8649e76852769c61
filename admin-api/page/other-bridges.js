/** The bridges of other boxes that deliver to this one: whether each is online, and what it holds. Hidden if there are none. */
import { element, find, numberText, setChildren } from './format.js';

/** @param {import('./api.js').Overview} overview */
export function drawOtherBridges({ other_bridges: bridges }) {
  find('#other-bridges').hidden = bridges.length === 0;
  setChildren(find('#other-bridges-list'), JSON.stringify(bridges), () =>
    bridges.map(({ gateway, state, held }) =>
      element(
        'tr',
        { 'data-gateway': gateway },
        element(
          'th',
          { scope: 'row' },
          gateway,
          ' ',
          element('span', { class: `state ${state === 'online' ? 'good' : 'bad'}` }, state),
        ),
        element('td', {}, numberText(held ?? undefined)),
      ),
    ),
  );
}
