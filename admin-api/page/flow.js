/** The way from strap to stream with live rates, the uplink in words, ledger and health. */
import { ageText, element, numberText, secondsSince } from './format.js';

/** Counts of some seconds ago, for rates. */
const past = [];
const RATE_MS = 10_000;

function rates(overview) {
  const now = performance.now();
  past.push({ now, heard: overview.readings_heard, accepted: overview.queue?.ledger.accepted ?? 0, shipped: overview.queue?.ledger.shipped ?? 0 });
  while (past.length > 2 && now - past[0].now > RATE_MS) past.shift();
  const [first, last] = [past[0], past.at(-1)];
  const seconds = (last.now - first.now) / 1000;
  const rate = (name) => (seconds < 1 ? '…' : `${((last[name] - first[name]) / seconds).toFixed(1)}/s`);
  return { heard: rate('heard'), accepted: rate('accepted'), shipped: rate('shipped') };
}

function step(kind, title, ...lines) {
  return element('li', { class: kind }, element('b', {}, title), ...lines.flatMap((line) => [element('span', {}, line), element('br')]));
}

const failing = (overview, name) => overview.health.checks.find((check) => check.name === name && check.status !== 'ok');

export function drawFlow(overview, devices) {
  const { queue, bridge, gateway } = overview;
  const rate = rates(overview);
  const streaming = devices.filter(({ state }) => state === 'streaming').length;
  const bridgeBad = bridge === null || bridge.stale;
  const queueBad = queue === null || queue.stale;
  const uplinkOk = queue?.uplink.state === 'ok';
  document.querySelector('#flow').replaceChildren(
    step(bridgeBad ? 'bad' : devices.some(({ state }) => state === 'lost' || state === 'silent') ? 'warn' : 'good', 'Straps', bridgeBad ? 'bridge is offline' : `${streaming} of ${devices.length} streaming`, rate.heard),
    step(overview.broker_connected ? 'good' : 'bad', 'Broker', overview.broker_connected ? `${gateway?.clients ?? '–'} clients` : 'no connection', overview.broker_connected ? 'connected' : 'away'),
    step(queueBad || failing(overview, 'queue') !== undefined ? 'bad' : queue.depth > 1000 ? 'warn' : 'good', 'Queue', queueBad ? 'forwarder is offline' : `${numberText(queue.depth)} waiting`, `accepted ${rate.accepted}`),
    step(queueBad ? 'bad' : uplinkOk ? 'good' : queue.uplink.state === 'throttled' ? 'warn' : 'bad', 'Stream', queue === null ? 'unknown' : `${queue.stream}, ${queue.target_name}`, queueBad ? 'last known' : uplinkOk ? `shipped ${rate.shipped}` : queue.uplink.state.replaceAll('_', ' ')),
  );
  const notice = document.querySelector('#uplink');
  notice.hidden = queue === null || uplinkOk;
  if (queue !== null && !uplinkOk) notice.replaceChildren(element('b', {}, `Nothing leaves since ${ageText(secondsSince(queue.uplink.since))}: ${queue.uplink.reason}`), element('br'), queue.uplink.hint, ' Readings wait in the queue.');
}

export function drawLedger({ queue }) {
  if (queue === null) return;
  const row = (name, words, causes) =>
    element('tr', {}, element('th', { scope: 'row' }, words, causes === undefined ? '' : element('small', {}, Object.entries(causes).filter(([, count]) => count > 0).map(([cause, count]) => `${cause.replaceAll('_', ' ')} ${numberText(count)}`).join(', '))), element('td', { 'data-ledger': name }, numberText(queue.ledger[name])));
  document.querySelector('#ledger').replaceChildren(
    row('accepted', 'accepted'), row('shipped', 'shipped'), row('queued', 'queued'), row('dead', 'dead', queue.causes.dead), row('evicted', 'evicted', queue.causes.evicted), row('missed', 'missed before acceptance', queue.causes.missed),
  );
  document.querySelector('#depth').textContent = numberText(queue.depth);
  document.querySelector('#oldest').textContent = queue.depth === 0 ? '–' : ageText(queue.oldest_age_seconds);
}

export function drawHealth({ health, version }) {
  const verdict = document.querySelector('#verdict');
  const bad = health.checks.filter(({ status }) => status !== 'ok');
  const words = bad.length === 0 ? 'all is well' : `${health.status}: ${bad[0].reason.split(':')[0].replaceAll('_', ' ')}`;
  verdict.className = `verdict ${health.status}`;
  if (verdict.textContent !== words) verdict.textContent = words;
  document.querySelector('#checks').replaceChildren(
    ...health.checks.map(({ name, status, since, reason, hint }) =>
      element('li', {}, element('span', { class: `state ${{ ok: 'good', warn: 'warn', fail: 'bad' }[status]}` }, status), ` ${name}`, reason === '' ? '' : ` since ${ageText(secondsSince(since))}: ${reason}`, hint === '' ? '' : element('span', { class: 'quiet' }, ` ${hint}`)),
    ),
  );
  document.querySelector('#version').textContent = `version ${version}`;
}
