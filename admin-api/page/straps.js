/** A card a strap: name, big heart rate, ten minutes as a line with gaps left open, contact, battery, signal, state, age. */
import { ageText, element, secondsSince } from './format.js';

const MINUTES_MS = 600_000;
/** A silence longer than this is a gap in the line. */
const GAP_MS = 5000;
/** The last reading is not current any more. */
const OLD_SECONDS = 4;

const STATES = {
  streaming: ['streaming', 'good'],
  no_pulse: ['no pulse', 'warn'],
  no_contact: ['no skin contact', 'warn'],
  silent: ['silent', 'bad'],
  lost: ['lost', 'bad'],
  no_heart_rate_service: ['no heart rate service', 'bad'],
};
const SOURCES = { simulated: 'simulated', replay: 'replay' };

const readings = new Map();
const cards = new Map();
const devices = new Map();

export function setReadings(device, list) {
  readings.set(device, list.map(({ timestamp, heart_rate }) => [Date.parse(timestamp), heart_rate]));
}

export function addReading(device, { timestamp, heart_rate }) {
  const list = readings.get(device) ?? [];
  list.push([Date.parse(timestamp), heart_rate]);
  while (list.length > 0 && list[0][0] < Date.now() - MINUTES_MS) list.shift();
  readings.set(device, list);
  const known = devices.get(device);
  if (known !== undefined) known.last_reading_at = timestamp;
}

export function setDevice(device, status) {
  if (status === null) {
    devices.delete(device);
    cards.get(device)?.remove();
    cards.delete(device);
  } else devices.set(device, status);
}

export const allDevices = () => [...devices.values()];

function linePath(list) {
  const now = Date.now();
  const rates = list.map(([, rate]) => rate);
  const low = Math.min(...rates) - 5;
  const high = Math.max(...rates, low + 20) + 5;
  let path = '';
  let before = Number.NEGATIVE_INFINITY;
  for (const [at, rate] of list) {
    const x = 100 * (1 - (now - at) / MINUTES_MS);
    const y = 30 * (1 - (rate - low) / (high - low));
    path += `${at - before > GAP_MS ? 'M' : 'L'}${x.toFixed(2)} ${y.toFixed(2)}`;
    before = at;
  }
  return path;
}

function factsOf(status) {
  const contact = status.state === 'no_contact' ? 'no contact' : status.state === 'streaming' ? 'in contact' : 'contact unknown';
  return [
    contact,
    status.battery_percent === null ? 'battery unknown' : `battery ${status.battery_percent} %${status.battery_low ? ' (low)' : ''}`,
    status.rssi === null ? 'signal unknown' : `signal ${status.rssi} dBm`,
    `${status.reconnects} reconnects`,
  ];
}

function draw(status) {
  const list = readings.get(status.device) ?? [];
  const age = secondsSince(list.length > 0 ? new Date(list.at(-1)[0]).toISOString() : status.last_reading_at);
  const old = age > OLD_SECONDS;
  const [words, kind] = status.state === 'streaming' && old ? ['no readings', 'bad'] : (STATES[status.state] ?? [status.state, 'warn']);
  const test = SOURCES[status.source];
  const rate = list.length > 0 ? String(list.at(-1)[1]) : '–';
  const content = [
    element('div', { class: 'row' }, element('h3', {}, status.name ?? status.device), test === undefined ? '' : element('span', { class: 'mark' }, test)),
    element('div', { class: 'row' }, element('span', { class: 'rate' }, old && age !== Number.POSITIVE_INFINITY ? element('small', {}, 'last ') : '', rate, element('small', {}, ' bpm')), element('span', { class: `state ${kind}` }, words)),
    element('svg', { viewBox: '0 0 100 30', preserveAspectRatio: 'none', role: 'img', 'aria-label': `Heart rate of ${status.name ?? status.device} over ten minutes` }, element('path', { d: linePath(list) })),
    element('ul', { class: 'facts' }, element('li', {}, `last reading ${age === Number.POSITIVE_INFINITY ? 'never' : `${ageText(age)} ago`}`), ...factsOf(status).map((fact) => element('li', {}, fact))),
  ];
  let card = cards.get(status.device);
  if (card === undefined) {
    card = element('li', { 'data-device': status.device });
    cards.set(status.device, card);
    document.querySelector('#straps').append(card);
  }
  card.setAttribute('class', `strap${old ? ' old' : ''}${test === undefined ? '' : ' test'}`);
  card.replaceChildren(...content);
}

export function drawStraps() {
  for (const status of devices.values()) draw(status);
  document.querySelector('#no-straps').hidden = devices.size > 0;
  const kinds = new Set(allDevices().map(({ source }) => SOURCES[source]).filter((kind) => kind !== undefined));
  const banner = document.querySelector('#test-banner');
  banner.hidden = kinds.size === 0;
  const words = `These are ${[...kinds].join(' and ')} straps: no person wears them.`;
  if (kinds.size > 0 && banner.textContent !== words) banner.textContent = words;
}
