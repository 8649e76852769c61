/** The path from strap to stream: each part's state, the rates between them, and why the uplink fails. */
import { ageText, find, numberText, secondsSince, setClass, setText, wordsOf } from './format.js';
import { strapCounts } from './straps.js';

const rateText = (rate) =>
  rate === null || rate === undefined ? '–' : `${rate >= 100 ? Math.round(rate).toLocaleString('en-US') : rate.toFixed(1)}/s`;

function node(name, kind, words) {
  const part = find(`[data-node=${name}]`);
  setClass(part, `node ${kind}`);
  setText(part.querySelector('.what'), words);
}

function link(name, flows, rate) {
  const part = find(`[data-link=${name}]`);
  setClass(part, `link ${flows ? (rate > 0 ? 'flows' : 'idle') : 'cut'}`);
  setText(part.querySelector('.rate-text'), flows ? rateText(rate) : 'cut');
}

/** Reason codes with which the queue rejects writes. */
const QUEUE_REJECTS = new Set(['queue_checking', 'queue_full', 'disk_low', 'disk_full', 'disk_error']);

const queueRejects = ({ health }) => health.checks.some(({ code }) => QUEUE_REJECTS.has(code));

function strapsNode({ bridge }) {
  if (bridge === null || bridge.stale) return node('straps', 'bad', 'bridge is offline');
  const { all, streaming, bad } = strapCounts();
  if (all === 0) return node('straps', 'warn', 'none found yet');
  node('straps', streaming === 0 ? 'bad' : bad > 0 ? 'warn' : 'good', `${streaming} of ${all} streaming`);
}

function brokerNode({ broker_connected: connected, gateway }) {
  if (!connected) return node('broker', 'bad', 'away');
  // Its first status, before any client connected, has 0; but this API is a client.
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
  if (queueRejects(overview)) return node('queue', 'bad', 'rejecting writes');
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
  find('[data-node=stream]').title = queue.target_name;
  node(
    'stream',
    queue.stale ? 'warn' : ok ? 'good' : queue.uplink.state === 'throttled' ? 'warn' : 'bad',
    queue.stale ? `${where} (last known)` : ok ? where : wordsOf(queue.uplink.state),
  );
}

function uplinkNotice({ queue }) {
  const notice = find('#uplink');
  const cut = queue !== null && !queue.stale && queue.uplink.state !== 'ok';
  notice.hidden = !cut;
  if (!cut) return;
  const { state, since, reason, hint } = queue.uplink;
  setClass(notice, `notice ${state === 'throttled' ? 'warn' : 'bad'}`);
  // No age here: it changes every second, and a screen reader would read it out each time.
  setText(
    find('#uplink-what'),
    state === 'throttled'
      ? `The stream takes fewer readings than arrive: ${reason}.`
      : `Nothing has been uploaded since ${new Date(since).toLocaleTimeString()}: ${wordsOf(state)}, ${reason}.`,
  );
  setText(find('#uplink-hint'), `${hint} ${numberText(queue.depth)} readings wait in the queue.`);
}

export function drawFlow(overview) {
  const { queue, rates, broker_connected: connected } = overview;
  strapsNode(overview);
  brokerNode(overview);
  queueNode(overview);
  streamNode(overview);
  const forwarderBad = queue === null || queue.stale;
  link('heard', connected && overview.bridge !== null && !overview.bridge.stale, rates.heard);
  link('accepted', connected && !forwarderBad && !queueRejects(overview), rates.accepted);
  link('shipped', !forwarderBad && (queue.uplink.state === 'ok' || queue.uplink.state === 'throttled'), rates.shipped);
  uplinkNotice(overview);
}

/** For the title of the page's tab and the verdict. */
export function sinceText(since) {
  return ageText(secondsSince(since));
}
