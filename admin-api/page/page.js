/** The live page: reads once, then follows the events. */
import { drawArrivals } from './arrivals.js';
import { drawBanners } from './banners.js';
import { drawDeadLetters } from './dead-letters.js';
import { addPoint, setHistory } from './depth-chart.js';
import { drawFlow } from './flow.js';
import { find, setBoxClock, setClass, setText } from './format.js';
import { followEvents, read } from './follow.js';
import { drawHealth } from './health.js';
import { drawLedger } from './ledger.js';
import './operate.js';
import { onOperator, readSession, showLocked } from './operator.js';
import { drawOtherBridges } from './other-bridges.js';
import { addReading, drawStraps, knownDevices, setDevice, setReadings } from './straps.js';

/** @type {import('./api.js').Overview | undefined} */
let overview;

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
  draw();
}

function draw() {
  drawStraps(overview);
  if (overview === undefined) return;
  drawBanners(overview);
  drawHealth(overview);
  drawFlow(overview);
  drawOtherBridges(overview);
  drawLedger(overview);
  drawArrivals(overview);
  drawDeadLetters(overview);
}

function found() {
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

const connect = followEvents({
  opened() {
    showLocked(false);
    readAll().catch(() => undefined);
    // The session may have ended: by a logout elsewhere, a new token, a restart.
    readSession().catch(() => undefined);
  },
  overview(received) {
    found();
    overview = received;
    document.body.classList.remove('unknown');
    setBoxClock(received.now);
    addPoint(received.queue);
    draw();
  },
  reading: ({ device, reading }) => addReading(device, reading),
  device: ({ device, status }) => setDevice(device, status),
  lost,
  refused(status) {
    showLocked(status === 401);
    readSession().catch(() => undefined);
  },
});

onOperator((is) => {
  if (is && !find('#locked').hidden) connect();
  draw();
});
readSession().catch(() => undefined);
// Ages grow, and a strap becomes silent, even if no event arrives.
setInterval(draw, 1000);
