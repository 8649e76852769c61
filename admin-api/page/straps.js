/** One card per strap: name, heart rate, the last ten minutes as a line with gaps, contact, battery, signal, state, age. */
import { ageText, boxNow, find, findDrawing, secondsSince, setClass, setText } from './format.js';
import { operateStrap, showOperated } from './operate.js';
import { noStrapsText, shownName } from './reasons.js';
import { sparkline, WINDOW_MS } from './sparkline.js';
import { REASON_HINTS, STATES } from './strap-states.js';

/** After this, the last reading is no longer current. */
const OLD_SECONDS = 3;
const OLD_ADVICE =
  'The last reading is some seconds old. Wait: the state will tell what to do. If it stays, the bridge has stopped: see Health.';

/** @typedef {NonNullable<import('./api.js').DeviceEvent['status']>} DeviceStatus */
/** @typedef {import('./api.js').RecentReading} RecentReading */
/** @typedef {[atMs: number, rate: number, contact: boolean | null]} Point */
/** @typedef {[words: string, kind: 'good' | 'warn' | 'bad']} Shown */
/** @typedef {ReturnType<typeof newCard>} Card */

const TEST_SOURCES = new Set(['simulated', 'replay']);

/** @type {Map<string, Point[]>} */
const readings = new Map();
/** @type {Map<string, Card>} */
const cards = new Map();
/** @type {Map<string, DeviceStatus>} */
const devices = new Map();

/**
 * @param {RecentReading} reading
 * @returns {Point}
 */
const pointOf = ({ timestamp, heart_rate, sensor_contact }) => [Date.parse(timestamp), heart_rate, sensor_contact];

/**
 * @param {string} device
 * @param {RecentReading[]} list
 */
export function setReadings(device, list) {
  readings.set(device, list.map(pointOf));
}

/**
 * @param {string} device
 * @param {RecentReading} reading
 */
export function addReading(device, reading) {
  const list = readings.get(device) ?? [];
  list.push(pointOf(reading));
  while ((list[0]?.[0] ?? Number.POSITIVE_INFINITY) < boxNow() - WINDOW_MS) list.shift();
  readings.set(device, list);
  const known = devices.get(device);
  if (known !== undefined) draw(known);
}

/**
 * @param {string} device
 * @param {DeviceStatus | null} status null: the device is gone
 */
export function setDevice(device, status) {
  if (status !== null) {
    devices.set(device, status);
    return draw(status);
  }
  devices.delete(device);
  readings.delete(device);
  cards.get(device)?.card.remove();
  cards.delete(device);
}

export const knownDevices = () => [...devices.keys()];

/** @param {DeviceStatus} status */
function ageOf(status) {
  const last = readings.get(status.device)?.at(-1)?.[0];
  return last === undefined ? secondsSince(status.last_reading_at) : (boxNow() - last) / 1000;
}

/**
 * The state says that it is streaming, and nothing arrives.
 * @param {DeviceStatus} status
 */
const isOverdue = (status) => status.state === 'streaming' && ageOf(status) > OLD_SECONDS;

/**
 * Text and severity of a strap's state; the age of its data counts first.
 * @param {DeviceStatus} status
 * @returns {Shown}
 */
function stateOf(status) {
  if (isOverdue(status)) return ['no readings', 'bad'];
  const known = STATES[status.state];
  return known === undefined ? [status.state, 'warn'] : [known.words, known.kind];
}

/**
 * What the state means and what to do about it; the reason if there is one. Empty for a device of another client.
 * @param {DeviceStatus} status
 */
function adviceOf(status) {
  const { state, reason, publisher } = status;
  if (isOverdue(status) && typeof publisher !== 'string') return OLD_ADVICE;
  const known = STATES[state];
  if (known === undefined || known.kind === 'good' || typeof publisher === 'string') return '';
  const hint = reason === null || reason === undefined ? undefined : REASON_HINTS[reason.code];
  if (reason !== null && reason !== undefined && hint !== undefined) return `${sentence(reason.detail)} ${hint}`;
  return `${sentence(known.meaning)} ${known.advice}`;
}

/** @param {string} text */
const sentence = (text) => `${text.slice(0, 1).toUpperCase()}${text.slice(1)}.`;

/** How many straps there are, and how many of them are streaming. */
export function strapCounts() {
  const all = [...devices.values()];
  return {
    all: all.length,
    streaming: all.filter((status) => stateOf(status)[1] === 'good').length,
    bad: all.filter((status) => stateOf(status)[1] === 'bad').length,
  };
}

/** @param {string} device */
function newCard(device) {
  const template = find('#strap-card');
  if (!(template instanceof HTMLTemplateElement)) throw new Error('#strap-card is no template');
  const card = find('li', /** @type {DocumentFragment} */ (template.content.cloneNode(true)));
  card.dataset.device = device;
  operateStrap(card, device);
  const file = /** @type {HTMLAnchorElement} */ (find('.download', card));
  file.href = `/devices/${encodeURIComponent(device)}/readings?format=csv`;
  return {
    card,
    name: find('h3', card),
    device: find('.device', card),
    mark: find('.mark', card),
    bpm: find('.bpm', card),
    beat: findDrawing('.beat', card),
    state: find('.state', card),
    advice: find('.advice', card),
    spark: findDrawing('.spark svg', card),
    line: findDrawing('.line', card),
    area: findDrawing('.area', card),
    high: find('.high', card),
    low: find('.low', card),
    gapText: find('.gap-text', card),
    age: find('.age', card),
    contact: find('.contact', card),
    battery: find('.battery', card),
    signal: find('.signal', card),
    file,
  };
}

/**
 * A device of another client is marked with who publishes it; a strap has no publisher.
 * @param {{ publisher?: string | null }} status
 */
function publisherText({ publisher }) {
  if (publisher === null || publisher === undefined) return '';
  return publisher === '' ? 'another client' : `published by ${publisher}`;
}

/**
 * The card of a strap; a new one is inserted in the order of the names.
 * @param {string} device
 */
function cardOf(device) {
  const known = cards.get(device);
  if (known !== undefined) return known;
  const made = newCard(device);
  cards.set(device, made);
  const others = /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('#straps > li'));
  find('#straps').insertBefore(made.card, [...others].find((other) => (other.dataset.device ?? '') > device) ?? null);
  return made;
}

/**
 * @param {DeviceStatus} status
 * @param {Point | undefined} reading
 */
function contactText(status, reading) {
  if (status.state === 'no_contact') return 'no skin contact';
  if (reading === undefined) return '–';
  if (reading[2] === null) return 'not sent';
  return reading[2] ? 'on skin' : 'no skin contact';
}

/** @param {number} rssi */
function signalWord(rssi) {
  if (rssi >= -65) return 'strong';
  return rssi >= -80 ? 'fair' : 'weak';
}

/** @param {number} count */
function gapsText(count) {
  if (count === 0) return '';
  return count === 1 ? '1 gap' : `${count} gaps`;
}

/** @param {number} age in seconds */
function lastText(age) {
  if (!Number.isFinite(age)) return 'never';
  return age < 2 ? 'just now' : `${ageText(age)} ago`;
}

/**
 * @param {Card} part
 * @param {Point[]} list
 * @param {string} name
 */
function drawSpark(part, list, name) {
  const { line, area, gaps, low, high } = sparkline(list, boxNow());
  part.line.setAttribute('d', line);
  part.area.setAttribute('d', area);
  part.spark.querySelectorAll('.gaps').forEach((rect) => rect.remove());
  for (const [from, to] of gaps) {
    const rect = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
    for (const [key, value] of Object.entries({ class: 'gaps', x: from, y: 0, width: Math.max(1, to - from), height: 100 }))
      rect.setAttribute(key, String(value));
    part.spark.prepend(rect);
  }
  setText(part.high, high === undefined ? '' : String(high));
  setText(part.low, low === undefined || low === high ? '' : String(low));
  const gapWords = gapsText(gaps.length);
  setText(part.gapText, gapWords);
  const label =
    low === undefined
      ? `${name}: no readings in the last ten minutes`
      : `${name}: ${low} to ${high} bpm in the last ten minutes${gapWords === '' ? '' : `, ${gapWords}`}`;
  if (part.spark.getAttribute('aria-label') !== label) part.spark.setAttribute('aria-label', label);
}

/**
 * Says from when on the file has readings.
 * @param {HTMLElement} link
 * @param {number | undefined} firstMs
 */
function showFile(link, firstMs) {
  link.hidden = firstMs === undefined;
  if (firstMs === undefined) return;
  const from = new Date(firstMs).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit' });
  setText(link, `Download readings since ${from} (CSV)`);
}

/** @param {DeviceStatus} status */
function draw(status) {
  const list = readings.get(status.device) ?? [];
  const part = cardOf(status.device);
  const age = ageOf(status);
  const old = age > OLD_SECONDS;
  const [words, kind] = stateOf(status);
  const test = TEST_SOURCES.has(status.source);
  const last = list.at(-1);
  const name = shownName(status);
  setText(part.name, name);
  // The name used in topics; straps of one model often share a display name.
  const names = [status.name ?? '', status.device, publisherText(status)];
  setText(part.device, names.filter((text, index) => text !== '' && text !== name && names.indexOf(text) === index).join(' · '));
  part.mark.hidden = !test;
  setText(part.mark, test ? status.source : '');
  setText(part.bpm, last === undefined ? '–' : String(last[1]));
  part.beat.style.animationDuration = last === undefined ? '' : `${Math.round(60_000 / Math.max(30, last[1]))}ms`;
  setText(part.state, words);
  setClass(part.state, `state ${kind}`);
  const advice = adviceOf(status);
  setText(part.advice, advice);
  part.advice.hidden = advice === '';
  setClass(part.card, `strap ${kind}${old ? ' old' : ''}${test ? ' test' : ''}`);
  drawSpark(part, list, name);
  setText(part.age, lastText(age));
  setText(part.contact, contactText(status, last));
  showOperated(part.card, status);
  showFile(part.file, list[0]?.[0]);
  setText(
    part.battery,
    status.battery_percent === null ? 'unknown' : `${status.battery_percent} %${status.battery_low === true ? ', low' : ''}`,
  );
  setText(part.signal, status.rssi === null ? 'unknown' : `${status.rssi} dBm`);
  setClass(part.signal, `signal ${status.rssi === null ? '' : signalWord(status.rssi)}`);
}

/**
 * Redraws all cards: ages grow even if no event arrives.
 * @param {import('./api.js').Overview | undefined} overview
 */
export function drawStraps(overview) {
  for (const status of devices.values()) draw(status);
  const { all, streaming } = strapCounts();
  const none = find('#no-straps');
  none.hidden = all > 0 || overview === undefined;
  if (overview !== undefined) setText(none, noStrapsText(overview));
  setText(find('#straps-count'), all === 0 ? '' : `${streaming} of ${all} streaming`);
  const kinds = new Set([...devices.values()].map(({ source }) => source).filter((source) => TEST_SOURCES.has(source)));
  const banner = find('#test-banner');
  banner.hidden = kinds.size === 0;
  const real = [...devices.values()].some(({ source }) => !TEST_SOURCES.has(source));
  const which = real ? 'Some of these straps are' : 'These straps are';
  const what = [...kinds].map((kind) => (kind === 'replay' ? 'a replay of a recording' : kind)).join(' and ');
  setText(banner, kinds.size === 0 ? '' : `${which} ${what}: no person wears them now.`);
}
