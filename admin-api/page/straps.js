/** One card per strap: name, heart rate, the last ten minutes as a line with gaps, contact, battery, signal, state, age. */
import { ageText, boxNow, find, secondsSince, setClass, setText } from './format.js';
import { sparkline, WINDOW_MS } from './sparkline.js';

/** After this, the last reading is no longer current. */
const OLD_SECONDS = 3;

/** What each state means to a person, and how bad it is. */
const STATES = {
  discovered: ['found', 'warn'],
  connecting: ['connecting', 'warn'],
  connected: ['connected', 'warn'],
  subscribing: ['subscribing', 'warn'],
  streaming: ['streaming', 'good'],
  no_pulse: ['no pulse', 'warn'],
  no_contact: ['no skin contact', 'warn'],
  silent: ['silent', 'bad'],
  lost: ['lost', 'bad'],
  no_heart_rate_service: ['no heart rate service', 'bad'],
};
const TEST_SOURCES = new Set(['simulated', 'replay']);

const readings = new Map();
const cards = new Map();
const devices = new Map();

export function setReadings(device, list) {
  readings.set(
    device,
    list.map(({ timestamp, heart_rate, sensor_contact }) => [Date.parse(timestamp), heart_rate, sensor_contact]),
  );
}

export function addReading(device, { timestamp, heart_rate, sensor_contact }) {
  const list = readings.get(device) ?? [];
  list.push([Date.parse(timestamp), heart_rate, sensor_contact]);
  while (list.length > 0 && list[0][0] < boxNow() - WINDOW_MS) list.shift();
  readings.set(device, list);
  const known = devices.get(device);
  if (known !== undefined) draw(known);
}

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

function ageOf(status) {
  const last = readings.get(status.device)?.at(-1)?.[0];
  return last === undefined ? secondsSince(status.last_reading_at) : (boxNow() - last) / 1000;
}

/** Text and severity of a strap's state; the age of its data counts first. */
function stateOf(status) {
  if (status.state === 'streaming' && ageOf(status) > OLD_SECONDS) return ['no readings', 'bad'];
  return STATES[status.state] ?? [status.state, 'warn'];
}

/** How many straps there are, and how many of them are streaming. */
export function strapCounts() {
  const all = [...devices.values()];
  return {
    all: all.length,
    streaming: all.filter((status) => stateOf(status)[1] === 'good').length,
    bad: all.filter((status) => stateOf(status)[1] === 'bad').length,
  };
}

function cardOf(device) {
  let known = cards.get(device);
  if (known === undefined) {
    const template = /** @type {HTMLTemplateElement} */ (find('#strap-card'));
    const card = /** @type {HTMLElement} */ (
      /** @type {DocumentFragment} */ (template.content.cloneNode(true)).firstElementChild
    );
    card.dataset.device = device;
    const part = (name) => card.querySelector(name);
    known = {
      card,
      name: part('h3'),
      device: part('.device'),
      mark: part('.mark'),
      bpm: part('.bpm'),
      beat: part('.beat'),
      state: part('.state'),
      spark: part('.spark svg'),
      line: part('.line'),
      area: part('.area'),
      high: part('.high'),
      low: part('.low'),
      gapText: part('.gap-text'),
      age: part('.age'),
      contact: part('.contact'),
      battery: part('.battery'),
      signal: part('.signal'),
    };
    cards.set(device, known);
    const next =
      [.../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('#straps > li'))].find(
        (other) => other.dataset.device > device,
      ) ?? null;
    find('#straps').insertBefore(card, next);
  }
  return known;
}

/** A device of another client is marked with who publishes it; a strap has no publisher. */
function publisherText({ publisher }) {
  if (publisher === null || publisher === undefined) return '';
  return publisher === '' ? 'another client' : `published by ${publisher}`;
}

function contactText(status, reading) {
  if (status.state === 'no_contact') return 'no skin contact';
  if (reading === undefined) return '–';
  if (reading[2] === null) return 'not sent';
  return reading[2] ? 'on skin' : 'no skin contact';
}

const signalWord = (rssi) => (rssi >= -65 ? 'strong' : rssi >= -80 ? 'fair' : 'weak');

function drawSpark(part, list, name) {
  const { line, area, gaps, low, high } = sparkline(list, boxNow());
  part.line.setAttribute('d', line);
  part.area.setAttribute('d', area);
  part.spark.querySelectorAll('.gaps').forEach((rect) => rect.remove());
  for (const [from, to] of gaps) {
    const rect = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
    for (const [key, value] of Object.entries({ class: 'gaps', x: from, y: 0, width: Math.max(1, to - from), height: 100 }))
      rect.setAttribute(key, value);
    part.spark.prepend(rect);
  }
  setText(part.high, high === undefined ? '' : String(high));
  setText(part.low, low === undefined || low === high ? '' : String(low));
  const gapWords = gaps.length === 0 ? '' : gaps.length === 1 ? '1 gap' : `${gaps.length} gaps`;
  setText(part.gapText, gapWords);
  const label =
    low === undefined
      ? `${name}: no readings in the last ten minutes`
      : `${name}: ${low} to ${high} bpm in the last ten minutes${gapWords === '' ? '' : `, ${gapWords}`}`;
  if (part.spark.getAttribute('aria-label') !== label) part.spark.setAttribute('aria-label', label);
}

function draw(status) {
  const list = readings.get(status.device) ?? [];
  const part = cardOf(status.device);
  const age = ageOf(status);
  const old = age > OLD_SECONDS;
  const [words, kind] = stateOf(status);
  const test = TEST_SOURCES.has(status.source);
  const last = list.at(-1);
  const name = status.name ?? status.device;
  setText(part.name, name);
  // The name used in topics; straps of one model often share a display name.
  const names = [name === status.device ? '' : status.device, publisherText(status)];
  setText(part.device, names.filter((text) => text !== '').join(' · '));
  part.mark.hidden = !test;
  setText(part.mark, test ? status.source : '');
  setText(part.bpm, last === undefined ? '–' : String(last[1]));
  part.beat.style.animationDuration = last === undefined ? '' : `${Math.round(60_000 / Math.max(30, last[1]))}ms`;
  setText(part.state, words);
  setClass(part.state, `state ${kind}`);
  setClass(part.card, `strap ${kind}${old ? ' old' : ''}${test ? ' test' : ''}`);
  drawSpark(part, list, name);
  setText(part.age, Number.isFinite(age) ? (age < 2 ? 'just now' : `${ageText(age)} ago`) : 'never');
  setText(part.contact, contactText(status, last));
  setText(
    part.battery,
    status.battery_percent === null ? 'unknown' : `${status.battery_percent} %${status.battery_low === true ? ', low' : ''}`,
  );
  setText(part.signal, status.rssi === null ? 'unknown' : `${status.rssi} dBm`);
  setClass(part.signal, `signal ${status.rssi === null ? '' : signalWord(status.rssi)}`);
}

/** Redraws all cards: ages grow even if no event arrives. */
export function drawStraps() {
  for (const status of devices.values()) draw(status);
  const { all, streaming } = strapCounts();
  find('#no-straps').hidden = all > 0;
  setText(find('#straps-count'), all === 0 ? '' : `${streaming} of ${all} streaming`);
  const kinds = new Set([...devices.values()].map(({ source }) => source).filter((source) => TEST_SOURCES.has(source)));
  const banner = find('#test-banner');
  banner.hidden = kinds.size === 0;
  const real = [...devices.values()].some(({ source }) => !TEST_SOURCES.has(source));
  setText(
    banner,
    kinds.size === 0
      ? ''
      : `${real ? 'Some of these straps are' : 'These straps are'} ${[...kinds].map((kind) => (kind === 'replay' ? 'a replay of a recording' : kind)).join(' and ')}: no person wears them now.`,
  );
}
