/** Faults at the top of the page: radio, broker, queue and disk, each with its reason and what to do. */
import { element, find, setChildren } from './format.js';
import { isOperator, onOperator } from './operator.js';
import { bannersOf } from './reasons.js';

/** @type {import('./api.js').Overview | undefined} */
let last;
/** @type {() => void} */
let acknowledge = () => undefined;

/**
 * What the button beside the report of a damaged queue does.
 * @param {() => void} does
 */
export function onAcknowledge(does) {
  acknowledge = does;
}

/** @param {string} kind */
function actionsOf(kind) {
  if (kind !== 'damage') return [];
  if (!isOperator()) return [element('p', {}, 'Log in as the operator, below, to acknowledge it.')];
  const button = element('button', { type: 'button', id: 'acknowledge' }, 'Acknowledge the damage');
  button.addEventListener('click', () => acknowledge());
  return [button];
}

/** @param {import('./api.js').Overview} overview */
export function drawBanners(overview) {
  last = overview;
  const banners = bannersOf(overview);
  const key = JSON.stringify([isOperator(), banners.map(({ kind, checks }) => [kind, checks.map((check) => check.reason)])]);
  setChildren(find('#banners'), key, () =>
    banners.map(({ kind, what, checks }) =>
      element(
        'div',
        { class: `notice ${checks.some(({ status }) => status === 'fail') ? 'bad' : 'warn'}`, 'data-banner': kind },
        element('b', {}, `${what}.`),
        ...checks.flatMap(({ reason, hint }) => [element('p', {}, `${reason}. `, element('span', { class: 'hint' }, hint))]),
        ...actionsOf(kind),
      ),
    ),
  );
}

onOperator(() => {
  if (last !== undefined) drawBanners(last);
});
