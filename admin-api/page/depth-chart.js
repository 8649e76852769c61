/** Depth of the queue and age of its oldest reading, over the last ten minutes. */
import { ageText, boxNow, find } from './format.js';
import uPlot from './uplot.js';

const WINDOW_S = 600;
const HEIGHT = 170;
/**
 * Times (s), depths, ages (s).
 * @type {[number[], (number | null)[], (number | null)[]]}
 */
const data = [[], [], []];
/** @type {uPlot | undefined} */
let chart;

/** @param {string} name */
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
/** @param {number} seconds */
const timeText = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });

/** @param {HTMLElement} target */
function make(target) {
  const axis = {
    stroke: colour('--quiet'),
    font: '12px system-ui, sans-serif',
    grid: { stroke: colour('--line'), width: 1 },
    ticks: { show: false },
  };
  return new uPlot(
    {
      width: target.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      padding: [10, 4, 0, 4],
      scales: {
        x: { range: () => [boxNow() / 1000 - WINDOW_S, boxNow() / 1000] },
        depth: { range: (_chart, _low, high) => [0, Math.max(10, (high ?? 0) * 1.15)] },
        age: { range: (_chart, _low, high) => [0, Math.max(10, (high ?? 0) * 1.15)] },
      },
      axes: [
        { ...axis, space: 70, size: 28, values: (_chart, ticks) => ticks.map(timeText) },
        {
          ...axis,
          scale: 'depth',
          size: 56,
          space: 34,
          values: (_chart, ticks) => ticks.map((tick) => tick.toLocaleString('en-US')),
        },
        {
          ...axis,
          scale: 'age',
          side: 1,
          size: 56,
          space: 34,
          grid: { show: false },
          values: (_chart, ticks) => ticks.map(ageText),
        },
      ],
      series: [
        {},
        {
          label: 'waiting',
          scale: 'depth',
          stroke: colour('--accent'),
          fill: colour('--accent-ground'),
          width: 2,
          points: { show: false },
        },
        { label: 'oldest', scale: 'age', stroke: colour('--warn'), width: 1.5, dash: [5, 4], points: { show: false } },
      ],
    },
    data,
    target,
  );
}

function draw() {
  const target = find('#depth-chart');
  if (target.clientWidth === 0) return;
  chart ??= make(target);
  if (chart.width !== target.clientWidth) chart.setSize({ width: target.clientWidth, height: HEIGHT });
  chart.setData(data);
}

/**
 * Sets the history of the last ten minutes, in columns.
 * @param {import('./api.js').QueueHistory} history
 */
export function setHistory({ at, depth, oldest_age_seconds: oldest }) {
  [data[0], data[1], data[2]] = [[...at], [...depth], [...oldest]];
  draw();
}

/** @param {import('./api.js').QueueAnswer | null} queue */
export function addPoint(queue) {
  data[0].push(boxNow() / 1000);
  data[1].push(queue === null || queue.stale ? null : queue.depth);
  data[2].push(queue === null || queue.stale ? null : queue.oldest_age_seconds);
  while ((data[0][0] ?? Number.POSITIVE_INFINITY) < boxNow() / 1000 - WINDOW_S) for (const list of data) list.shift();
  draw();
}

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  chart?.destroy();
  chart = undefined;
  draw();
});
new ResizeObserver(() => {
  if (chart !== undefined) draw();
}).observe(find('#depth-chart'));
