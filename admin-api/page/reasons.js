/** What the box knows of itself, in words: why no strap is shown, and which faults stand at the top. Pure functions of the overview. */

/** @typedef {import('./api.js').Overview} Overview */
/** @typedef {import('./api.js').Check} Check */
/** @typedef {{ kind: string, what: string, checks: Check[] }} Banner */

/** What stands at the top, by the reason codes of failing checks. */
const BANNERS = [
  { kind: 'broker', what: 'No connection to the broker', codes: /^broker_(away|unreachable|refused|silent)$/ },
  { kind: 'radio', what: 'The Bluetooth adapter does not work', codes: /^radio_/ },
  { kind: 'damage', what: 'The queue file was damaged', codes: /^queue_damaged$/ },
  { kind: 'queue', what: 'The queue is rejecting writes', codes: /^queue_(full|busy)$/ },
  {
    kind: 'disk',
    what: 'Trouble with the disk',
    codes: /^(disk_(low|full|error)|spill_(failed|unreadable)|outbox_disk_failed|state_file_un(readable|writable))$/,
  },
];

/**
 * Faults that must not be overlooked, most urgent first.
 * @param {Overview} overview
 * @returns {Banner[]}
 */
export function bannersOf({ health }) {
  const failing = health.checks.filter(({ status }) => status !== 'ok');
  return BANNERS.map(({ kind, what, codes }) => ({ kind, what, checks: failing.filter(({ code }) => codes.test(code)) })).filter(
    ({ checks }) => checks.length > 0,
  );
}

/**
 * Why no strap is shown. Advises to put one on only if it would be found.
 * @param {Overview} overview
 */
export function noStrapsText({ broker_connected: connected, bridge, health }) {
  if (!connected) return 'Unknown: this page has no connection to the broker.';
  if (bridge === null) return 'Unknown: the bridge has not reported anything yet.';
  if (bridge.stale) return 'Unknown: the bridge, which reads the straps, is offline.';
  const radio = health.checks.find(({ code }) => code.startsWith('radio_'));
  if (radio !== undefined) return `None: the Bluetooth adapter does not work (${radio.reason}).`;
  if (bridge.radio.state !== 'powered_on') return 'None yet: the Bluetooth adapter is starting.';
  return 'No strap found yet. Put one on: it is discovered automatically.';
}

/**
 * The queue as the forwarder knows it; undefined while its file is not open, when all its counts are 0 because none is known.
 * @param {import('./api.js').QueueAnswer | null} queue
 */
export const knownQueue = (queue) => (queue === null || queue.bytes === 0 ? undefined : queue);

/**
 * How a strap is called: the person who wears it, else its own name, else its name in topics.
 * @param {{ person: string | null, name: string | null, device: string }} status
 */
export const shownName = ({ person, name, device }) => person ?? name ?? device;
