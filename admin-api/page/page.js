/** The live page: reads once, then follows the events. */
import { drawArrivals } from './arrivals.js';
import { drawDeadLetters } from './dead-letters.js';
import { addPoint, setHistory } from './depth-chart.js';
import { drawFlow } from './flow.js';
import { find, setBoxClock, setClass, setText } from './format.js';
import { drawHealth } from './health.js';
import { drawLedger } from './ledger.js';
import { onOperator, readSession, showLocked } from './operator.js';
import { drawOtherBridges } from './other-bridges.js';
import { addReading, drawStraps, knownDevices, setDevice, setReadings } from './straps.js';

/** The connection counts as lost after this; shorter interruptions are not shown. */
const LOST_MS = 2500;
/** @type {import('./api.js').Overview | undefined} */
let overview;
/** @type {EventSource | undefined} */
let events;
/** @type {number | undefined} */
let lostTimer;

/** @param {string} path */
const read = async (path) => {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return await answer.json();
};

/** Reads the last ten minutes: the page was just opened, or was disconnected. */
async function readAll() {
  setHistory(await read('/queue/history'));
  /** @type {import('./api.js').KnownDevice[]} */
  const devices = await read('/devices');
  const there = new Set(devices.map(({ device }) => device));
  for (const device of knownDevices()) if (!there.has(device)) setDevice(device, null);
  await Promise.all(
    devices.map(async (status) => {
      setReadings(status.device, await read(`/devices/${encodeURIComponent(status.device)}/readings`));
      setDevice(status.device, status);
    }),
  );
  drawStraps();
}

function draw() {
  drawStraps();
  if (overview === undefined) return;
  drawHealth(overview);
  drawFlow(overview);
  drawOtherBridges(overview);
  drawLedger(overview);
  drawArrivals(overview);
  drawDeadLetters(overview);
}

function found() {
  clearTimeout(lostTimer);
  lostTimer = undefined;
  find('#lost').hidden = true;
  document.body.classList.remove('is-lost');
}

function lost() {
  find('#lost').hidden = false;
  document.body.classList.add('is-lost');
  const verdict = find('#verdict');
  setClass(verdict, 'verdict down');
  setText(verdict, 'No connection to the box');
}

/** The browser does not retry a response that is not an event stream, and hides its status from the page: fetch it once. */
async function whyClosed() {
  const answer = await fetch('/queue').catch(() => undefined);
  showLocked(answer?.status === 401);
  readSession().catch(() => undefined);
  setTimeout(follow, 2000);
}

function follow() {
  events?.close();
  const source = new EventSource('/events');
  events = source;
  source.addEventListener('open', () => {
    showLocked(false);
    readAll().catch(() => undefined);
    // The session may have ended: by a logout elsewhere, a new token, a restart.
    readSession().catch(() => undefined);
  });
  source.addEventListener('overview', ({ data }) => {
    found();
    /** @type {import('./api.js').Overview} */
    const received = JSON.parse(data);
    overview = received;
    document.body.classList.remove('unknown');
    setBoxClock(received.now);
    addPoint(received.queue);
    draw();
  });
  source.addEventListener('reading', ({ data }) => {
    /** @type {import('./api.js').ReadingEvent} */
    const { device, reading } = JSON.parse(data);
    addReading(device, reading);
  });
  source.addEventListener('device', ({ data }) => {
    /** @type {import('./api.js').DeviceEvent} */
    const { device, status } = JSON.parse(data);
    setDevice(device, status);
  });
  source.addEventListener('error', () => {
    lostTimer ??= setTimeout(lost, LOST_MS);
    if (source.readyState === EventSource.CLOSED) void whyClosed();
  });
}

onOperator((is) => {
  if (is && !find('#locked').hidden) follow();
});
follow();
readSession().catch(() => undefined);
// Ages grow, and a strap becomes silent, even if no event arrives.
setInterval(draw, 1000);
