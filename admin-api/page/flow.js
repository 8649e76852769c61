/** The path from strap to stream: each part's state, the rates between them, and why the uplink fails. */
import { find, numberText, setClass, setText, wordsOf } from './format.js';
import { bannersOf, knownQueue } from './reasons.js';
import { strapCounts } from './straps.js';

/** @param {number | null} rate */
const rateText = (rate) =>
  rate === null ? '–' : `${rate >= 100 ? Math.round(rate).toLocaleString('en-US') : rate.toFixed(1)}/s`;

/**
 * @param {string} name
 * @param {'good' | 'warn' | 'bad'} kind
 * @param {string} words
 */
function node(name, kind, words) {
  const part = find(`[data-node=${name}]`);
  setClass(part, `node ${kind}`);
  setText(find('.what', part), words);
}

/**
 * @param {string} name
 * @param {boolean} flows
 * @param {number | null} rate
 */
function link(name, flows, rate) {
  const part = find(`[data-link=${name}]`);
  const moving = (rate ?? 0) > 0 ? 'flows' : 'idle';
  setClass(part, `link ${flows ? moving : 'cut'}`);
  setText(find('.rate-text', part), flows ? rateText(rate) : 'cut');
}

/** Reason codes with which the queue rejects writes. */
const QUEUE_REJECTS = new Set(['queue_checking', 'queue_full', 'queue_busy', 'disk_low', 'disk_full', 'disk_error']);

/** @param {import('./api.js').Overview} overview */
const queueRejects = ({ health }) => health.checks.some(({ code }) => QUEUE_REJECTS.has(code));

/** @param {import('./api.js').Overview} overview */
function strapsNode(overview) {
  const { bridge, broker_connected: connected } = overview;
  if (!connected) return node('straps', 'bad', 'unknown');
  if (bridge === null) return node('straps', 'bad', 'unknown');
  if (bridge.stale) return node('straps', 'bad', 'bridge is offline');
  if (bannersOf(overview).some(({ kind }) => kind === 'radio')) return node('straps', 'bad', 'adapter does not work');
  const { all, streaming, bad } = strapCounts();
  if (all === 0) return node('straps', 'warn', 'none found yet');
  const some = bad > 0 ? 'warn' : 'good';
  node('straps', streaming === 0 ? 'bad' : some, `${streaming} of ${all} streaming`);
}

/** @param {import('./api.js').Overview} overview */
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

/** @param {import('./api.js').Overview} overview */
function queueNode(overview) {
  const { queue } = overview;
  if (!overview.broker_connected) return node('queue', 'bad', 'unknown');
  if (queue === null || queue.stale) return node('queue', 'bad', 'forwarder is offline');
  if (knownQueue(queue) === undefined) return node('queue', 'warn', 'being checked');
  if (queueRejects(overview)) return node('queue', 'bad', 'rejecting writes');
  node(
    'queue',
    queue.depth > 1000 || queue.dead_letters > 0 ? 'warn' : 'good',
    queue.depth === 0 ? 'empty' : `${numberText(queue.depth)} waiting`,
  );
}

/** @param {import('./api.js').QueueAnswer} queue */
function streamState({ uplink, stale }) {
  if (!stale && uplink.state === 'ok') return 'good';
  return stale || uplink.state === 'throttled' || uplink.state === 'key_refused' ? 'warn' : 'bad';
}

/** @param {number | undefined} bytes */
const kilobytes = (bytes = 0) => (bytes / 1000).toLocaleString('en-US', { maximumFractionDigits: 1 });

/**
 * What a metered line is used for; empty without a limit (UPLINK_MAX_BYTES_PER_SECOND).
 * @param {import('./api.js').QueueAnswer} queue
 */
function lineUse({ uplink }) {
  const { bytes_per_second: used, max_bytes_per_second: most } = uplink;
  return most === undefined ? '' : `, ${kilobytes(used)} of ${kilobytes(most)} kB/s`;
}

/** @param {import('./api.js').Overview} overview */
function streamNode({ queue }) {
  if (queue === null) return node('stream', 'bad', 'unknown');
  const where = queue.target === 'local' ? `${queue.stream}, local` : `${queue.stream}, ${queue.target_name}`;
  const words = queue.uplink.state === 'ok' ? where : wordsOf(queue.uplink.state);
  find('[data-node=stream]').title = `${queue.target_name}: ${kilobytes(queue.uplink.bytes_per_second)} kB/s`;
  node('stream', streamState(queue), queue.stale ? `${where} (last known)` : `${words}${lineUse(queue)}`);
}

/** @param {import('./api.js').Overview} overview */
function uplinkNotice({ queue }) {
  const notice = find('#uplink');
  notice.hidden = queue === null || queue.stale || queue.uplink.state === 'ok';
  if (notice.hidden || queue === null) return;
  const { state, since, reason, hint } = queue.uplink;
  setClass(notice, `notice ${state === 'throttled' ? 'warn' : 'bad'}`);
  // No age here: it changes every second, and a screen reader would read it out each time.
  setText(
    find('#uplink-what'),
    state === 'throttled'
      ? `The stream accepts fewer readings than arrive: ${reason}.`
      : `Nothing has been uploaded since ${new Date(since).toLocaleTimeString()}: ${wordsOf(state)}, ${reason}.`,
  );
  setText(find('#uplink-hint'), `${hint} ${numberText(queue.depth)} readings wait in the queue.`);
}

/** @param {import('./api.js').Overview} overview */
export function drawFlow(overview) {
  const { queue, rates, broker_connected: connected } = overview;
  strapsNode(overview);
  brokerNode(overview);
  queueNode(overview);
  streamNode(overview);
  const current = queue === null || queue.stale ? undefined : queue;
  link('heard', connected && overview.bridge !== null && !overview.bridge.stale, rates.heard);
  link('accepted', connected && current !== undefined && !queueRejects(overview), rates.accepted);
  link('shipped', current?.uplink.state === 'ok' || current?.uplink.state === 'throttled', rates.shipped);
  uplinkNotice(overview);
}
