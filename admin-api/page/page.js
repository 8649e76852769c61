/** The live page: reads once, then follows the events. */
import { drawDeadLetters } from './dead-letters.js';
import { addPoint } from './depth-chart.js';
import { drawFlow, drawHealth, drawLedger } from './flow.js';
import { addReading, allDevices, drawStraps, setDevice, setReadings } from './straps.js';

let overview;

function drawOverview() {
  if (overview === undefined) return;
  drawHealth(overview);
  drawFlow(overview, allDevices());
  drawLedger(overview);
  drawDeadLetters(overview);
}

async function readAll() {
  const devices = await fetch('/devices').then((answer) => answer.json());
  for (const status of devices) {
    setDevice(status.device, status);
    setReadings(status.device, await fetch(`/devices/${status.device}/readings`).then((answer) => answer.json()));
  }
  drawStraps();
}

function follow() {
  const events = new EventSource('/events');
  events.addEventListener('open', () => void readAll().catch(() => undefined));
  events.addEventListener('overview', ({ data }) => {
    overview = JSON.parse(data);
    addPoint(overview.queue);
    drawOverview();
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
    const verdict = document.querySelector('#verdict');
    verdict.className = 'verdict down';
    verdict.textContent = 'this page has lost the box: what it shows is old';
  });
}

document.querySelector('#box').textContent = location.hostname;
follow();
setInterval(drawStraps, 1000);
