/** The live page: reads once, then follows the events. */
import { drawArrivals } from './arrivals.js';
import { drawDeadLetters } from './dead-letters.js';
import { addPoint, setHistory } from './depth-chart.js';
import { drawFlow } from './flow.js';
import { find, setBoxClock, setClass, setText } from './format.js';
import { drawHealth } from './health.js';
import { drawLedger } from './ledger.js';
import { onOperator, readSession, showLocked } from './operator.js';
import { addReading, drawStraps, knownDevices, setDevice, setReadings } from './straps.js';

/** The connection counts as lost after this; shorter interruptions are not shown. */
const LOST_MS = 2500;
let overview;
let events;
let lostTimer;

const read = async (path) => {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return await answer.json();
};

/** Reads the last ten minutes: the page was just opened, or was disconnected. */
async function readAll() {
  setHistory(await read('/queue/history'));
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

/** The browser stops at a response that is no event stream and does not tell its status: ask once. */
async function whyClosed() {
  const answer = await fetch('/queue').catch(() => undefined);
  showLocked(answer?.status === 401);
  setTimeout(follow, 2000);
}

function follow() {
  events?.close();
  events = new EventSource('/events');
  events.addEventListener('open', () => {
    showLocked(false);
    readAll().catch(() => undefined);
  });
  events.addEventListener('overview', ({ data }) => {
    found();
    overview = JSON.parse(data);
    document.body.classList.remove('unknown');
    setBoxClock(overview.now);
    addPoint(overview.queue);
    draw();
  });
  events.addEventListener('reading', ({ data }) => {
    const { device, reading } = JSON.parse(data);
    addReading(device, reading);
  });
  events.addEventListener('device', ({ data }) => {
    const { device, status } = JSON.parse(data);
    setDevice(device, status);
  });
  events.addEventListener('error', () => {
    lostTimer ??= setTimeout(lost, LOST_MS);
    if (events.readyState === EventSource.CLOSED) void whyClosed();
  });
}

onOperator((is) => {
  if (is && !find('#locked').hidden) follow();
});
follow();
readSession().catch(() => undefined);
// Ages grow, and a strap becomes silent, even if no event arrives.
setInterval(draw, 1000);
