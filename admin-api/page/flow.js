/** The way from strap to stream: each part's state, the rates between them, and the uplink in words. */
import { ageText, numberText, secondsSince, setClass, setText, wordsOf } from './format.js';
import { strapCounts } from './straps.js';

const rateText = (rate) =>
  rate === null || rate === undefined ? '–' : `${rate >= 100 ? Math.round(rate).toLocaleString('en-US') : rate.toFixed(1)}/s`;

function node(name, kind, words) {
  const part = document.querySelector(`[data-node=${name}]`);
  setClass(part, `node ${kind}`);
  setText(part.querySelector('.what'), words);
}

function link(name, flows, rate) {
  const part = document.querySelector(`[data-link=${name}]`);
  setClass(part, `link ${flows ? (rate > 0 ? 'flows' : 'idle') : 'cut'}`);
  setText(part.querySelector('.rate-text'), flows ? rateText(rate) : 'cut');
}

const failing = (overview, name) => overview.health.checks.find((check) => check.name === name && check.status !== 'ok');

function strapsNode({ bridge }) {
  if (bridge === null || bridge.stale) return node('straps', 'bad', 'bridge is offline');
  const { all, streaming, bad } = strapCounts();
  if (all === 0) return node('straps', 'warn', 'none found yet');
  node('straps', streaming === 0 ? 'bad' : bad > 0 ? 'warn' : 'good', `${streaming} of ${all} streaming`);
}

function brokerNode({ broker_connected: connected, gateway }) {
  if (!connected) return node('broker', 'bad', 'away');
  // Its first word, before anybody came, is 0: this API alone is one.
  const clients = gateway === null || gateway.stale ? 0 : gateway.clients;
  node(
    'broker',
    gateway?.stale === true ? 'warn' : 'good',
    clients === 0 ? 'connected' : `${clients} client${clients === 1 ? '' : 's'}`,
  );
}

function queueNode(overview) {
  const { queue } = overview;
  if (queue === null || queue.stale) return node('queue', 'bad', 'forwarder is offline');
  const trouble = failing(overview, 'queue');
  if (trouble !== undefined) return node('queue', 'bad', 'takes no more');
  node(
    'queue',
    queue.depth > 1000 || queue.dead_letters > 0 ? 'warn' : 'good',
    queue.depth === 0 ? 'empty' : `${numberText(queue.depth)} waiting`,
  );
}

function streamNode({ queue }) {
  if (queue === null) return node('stream', 'bad', 'unknown');
  const where = queue.target === 'local' ? `${queue.stream}, local` : `${queue.stream}, ${queue.target_name}`;
  const ok = queue.uplink.state === 'ok';
  document.querySelector('[data-node=stream]').title = queue.target_name;
  node(
    'stream',
    queue.stale ? 'warn' : ok ? 'good' : queue.uplink.state === 'throttled' ? 'warn' : 'bad',
    queue.stale ? `${where} (last known)` : ok ? where : wordsOf(queue.uplink.state),
  );
}

function uplinkNotice({ queue }) {
  const notice = document.querySelector('#uplink');
  const cut = queue !== null && !queue.stale && queue.uplink.state !== 'ok';
  notice.hidden = !cut;
  if (!cut) return;
  const { state, since, reason, hint } = queue.uplink;
  setClass(notice, `notice ${state === 'throttled' ? 'warn' : 'bad'}`);
  // The age changes every second; only the words are for a screen reader.
  setText(
    document.querySelector('#uplink-what'),
    state === 'throttled'
      ? `The stream takes less than comes: ${reason}.`
      : `Nothing leaves this box since ${new Date(since).toLocaleTimeString()}: ${reason}.`,
  );
  setText(document.querySelector('#uplink-hint'), `${hint} ${numberText(queue.depth)} readings wait in the queue.`);
}

export function drawFlow(overview) {
  const { queue, rates, broker_connected: connected } = overview;
  strapsNode(overview);
  brokerNode(overview);
  queueNode(overview);
  streamNode(overview);
  const forwarderBad = queue === null || queue.stale;
  link('heard', connected && overview.bridge !== null && !overview.bridge.stale, rates.heard);
  link('accepted', connected && !forwarderBad && failing(overview, 'queue') === undefined, rates.accepted);
  link('shipped', !forwarderBad && (queue.uplink.state === 'ok' || queue.uplink.state === 'throttled'), rates.shipped);
  uplinkNotice(overview);
}

/** For the title of the page's tab and the verdict. */
export function sinceText(since) {
  return ageText(secondsSince(since));
}
