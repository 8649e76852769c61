/** The verdict at the top, failing checks with cause and hint, and passing checks. */
import { ageText, element, find, secondsSince, setChildren, setClass, setText, wordsOf } from './format.js';

const VERDICTS = { ok: 'All is well', degraded: 'Degraded', down: 'Down' };

/**
 * Failing checks first.
 * @param {import('./api.js').Check} a
 * @param {import('./api.js').Check} b
 */
function bySeverity(a, b) {
  if (a.status === b.status) return 0;
  return a.status === 'fail' ? -1 : 1;
}

/** @param {import('./api.js').Overview} overview */
export function drawHealth({ health, version, gateway_name: gateway }) {
  const bad = health.checks.filter(({ status }) => status !== 'ok').sort(bySeverity);
  const [worst] = bad;
  const first = worst === undefined ? '' : `: ${[...new Set([worst.name, wordsOf(worst.code)])].join(', ')}`;
  const words = `${VERDICTS[health.status]}${first}${bad.length > 1 ? `, and ${bad.length - 1} more` : ''}`;
  const verdict = find('#verdict');
  setClass(verdict, `verdict ${health.status}`);
  setText(verdict, words);
  setText(find('#gateway'), gateway);
  setText(find('#version'), version);
  document.title = `${health.status === 'ok' ? '' : `${VERDICTS[health.status]} · `}${gateway} · hr-gateway`;
  setChildren(find('#troubles'), JSON.stringify(bad), () =>
    bad.map(({ name, status, since, code, reason, hint }) =>
      element(
        'li',
        { class: status, 'data-code': code },
        element('span', { class: `state ${status === 'fail' ? 'bad' : 'warn'}` }, status),
        element(
          'div',
          {},
          element('b', {}, name),
          ' ',
          element('span', { class: 'quiet', 'data-since': since }),
          element('br'),
          element('code', {}, code),
          ' ',
          reason,
          element('br'),
          element('span', { class: 'hint' }, hint),
        ),
      ),
    ),
  );
  for (const age of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('#troubles [data-since]')))
    setText(age, `since ${ageText(secondsSince(age.dataset.since))}`);
  const good = [...new Set(health.checks.filter(({ status }) => status === 'ok').map(({ name }) => name))];
  setChildren(find('#checks'), good.join('|'), () => good.map((name) => element('li', {}, name)));
}
