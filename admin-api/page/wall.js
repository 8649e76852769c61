/** The wall: one large tile per person who is wearing a strap now, for a screen that is read from a distance. */
import { followEvents, read } from './follow.js';
import { ageText, boxNow, find, setBoxClock, setClass, setText } from './format.js';
import { bannersOf, noStrapsText, shownName } from './reasons.js';
import { STATES } from './strap-states.js';
import { gridOf, zoneOf } from './tiles.js';

/** After this, a heart rate is no longer current. */
const OLD_MS = 5000;
/** After this, a strap that sends nothing has no tile any more. */
const GONE_MS = 300_000;

/** @typedef {NonNullable<import('./api.js').DeviceEvent['status']>} Status */
/** @type {Map<string, Status>} */
const straps = new Map();
/** @type {Map<string, { atMs: number, bpm: number }>} */
const rates = new Map();
/** @type {Map<string, HTMLElement>} */
const tiles = new Map();
/** @type {import('./api.js').Overview | undefined} */
let overview;
let isLost = false;
let isLocked = false;

const timeText = () => new Date(boxNow()).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });

/** @param {string} device */
function tileOf(device) {
  const known = tiles.get(device);
  if (known !== undefined) return known;
  const template = find('#tile');
  if (!(template instanceof HTMLTemplateElement)) throw new Error('#tile is no template');
  const tile = find('li', /** @type {DocumentFragment} */ (template.content.cloneNode(true)));
  tile.dataset.device = device;
  tiles.set(device, tile);
  return tile;
}

/**
 * @param {Status} status
 * @param {{ atMs: number, bpm: number }} rate
 */
function drawTile(status, { atMs, bpm }) {
  const tile = tileOf(status.device);
  const ageMs = boxNow() - atMs;
  const isOld = ageMs > OLD_MS;
  const zone = isOld ? undefined : zoneOf(bpm, status.max_heart_rate);
  setClass(tile, `tile${isOld ? ' old' : ''}${zone === undefined ? '' : ` zone-${zone.zone}`}`);
  setText(find('h2', tile), shownName(status));
  setText(find('.bpm', tile), isOld ? '–' : String(bpm));
  const words = status.state === 'streaming' ? 'no readings' : (STATES[status.state]?.words ?? status.state);
  const percent = zone === undefined ? 'bpm' : `${zone.percent} %${zone.zone === 0 ? '' : ` · zone ${zone.zone}`}`;
  setText(find('.below', tile), isOld ? `${words}, ${ageText(ageMs / 1000)}` : percent);
}

/** What keeps the wall from being right, in one line. */
function troubleText() {
  if (isLocked) return "This box requires the operator's token: log in on its page, on this screen.";
  if (isLost) return 'Connection to the box lost. It reconnects automatically.';
  const worst = overview === undefined ? undefined : bannersOf(overview).at(0);
  return worst === undefined ? '' : `${worst.what}.`;
}

function emptyText() {
  if (overview === undefined) return isLocked || isLost ? '' : 'Connecting…';
  return straps.size === 0 ? noStrapsText(overview) : 'Nobody is wearing a strap.';
}

function draw() {
  const shown = [...straps.values()]
    .flatMap((status) => {
      const rate = rates.get(status.device);
      return rate === undefined || boxNow() - rate.atMs > GONE_MS ? [] : [{ status, rate }];
    })
    .sort(
      (a, b) =>
        shownName(a.status).localeCompare(shownName(b.status), undefined, { numeric: true }) ||
        (a.status.device < b.status.device ? -1 : 1),
    );
  for (const { status, rate } of shown) drawTile(status, rate);
  const list = find('#tiles');
  const order = shown.map(({ status }) => tileOf(status.device));
  if (order.length !== list.children.length || order.some((tile, index) => list.children[index] !== tile))
    list.replaceChildren(...order);
  for (const device of tiles.keys()) if (!straps.has(device)) tiles.delete(device);
  const empty = find('#empty');
  empty.hidden = shown.length > 0;
  list.hidden = shown.length === 0;
  setText(empty, emptyText());
  const trouble = find('#trouble');
  setText(trouble, troubleText());
  trouble.hidden = trouble.textContent === '';
  document.body.classList.toggle('lost', isLost || isLocked);
  find('.legend').hidden = !shown.some(({ status }) => status.max_heart_rate !== null);
  setText(find('#time'), overview === undefined ? '' : timeText());
  if (shown.length > 0) layOut(list, shown.length);
}

/**
 * @param {HTMLElement} list
 * @param {number} count
 */
function layOut(list, count) {
  const { columns, rows } = gridOf(count, list.clientWidth, list.clientHeight);
  list.style.setProperty('--columns', String(columns));
  list.style.setProperty('--rows', String(rows));
}

/** @param {{ device: string, reading: import('./api.js').RecentReading }} event */
function take({ device, reading: { timestamp, heart_rate } }) {
  rates.set(device, { atMs: Date.parse(timestamp), bpm: heart_rate });
}

async function readAll() {
  /** @type {import('./api.js').KnownDevice[]} */
  const devices = await read('/devices');
  straps.clear();
  for (const status of devices) straps.set(status.device, status);
  await Promise.all(
    devices.map(async ({ device }) => {
      /** @type {import('./api.js').RecentReading[]} */
      const readings = await read(`/devices/${encodeURIComponent(device)}/readings`);
      const last = readings.at(-1);
      if (last !== undefined) take({ device, reading: last });
    }),
  );
  draw();
}

const connect = followEvents({
  opened() {
    isLocked = false;
    readAll().catch(() => undefined);
  },
  overview(received) {
    isLost = false;
    overview = received;
    setBoxClock(received.now);
    setText(find('#gateway'), received.gateway_name);
    draw();
  },
  reading(event) {
    take(event);
    draw();
  },
  device({ device, status }) {
    if (status === null) straps.delete(device);
    else straps.set(device, status);
    draw();
  },
  lost() {
    isLost = true;
    draw();
  },
  refused(status) {
    isLocked = status === 401;
    draw();
  },
});

addEventListener('resize', draw);
// A screen that slept connects at once.
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') connect();
});
setInterval(draw, 1000);
