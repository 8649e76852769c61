/** Depth of the queue and age of its oldest reading, over the last ten minutes. */
import uPlot from './uplot.js';

const POINTS_MAX = 600;
const data = [[], [], []];
let chart;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function make(target) {
  const axis = { stroke: colour('--quiet'), grid: { stroke: colour('--line'), width: 1 }, ticks: { show: false } };
  return new uPlot(
    {
      width: target.clientWidth,
      height: 140,
      legend: { show: true, live: false },
      cursor: { show: false },
      scales: { depth: { range: (_chart, _low, high) => [0, Math.max(10, high * 1.1)] }, age: { range: (_chart, _low, high) => [0, Math.max(5, high * 1.1)] } },
      axes: [axis, { ...axis, scale: 'depth', size: 50 }, { ...axis, scale: 'age', side: 1, size: 50, values: (_chart, ticks) => ticks.map((tick) => `${tick} s`) }],
      series: [{}, { label: 'waiting', scale: 'depth', stroke: colour('--accent'), width: 2, points: { show: false } }, { label: 'oldest', scale: 'age', stroke: colour('--warn'), width: 1, dash: [4, 3], points: { show: false } }],
    },
    data,
    target,
  );
}

export function addPoint(queue) {
  if (queue === null || queue.stale) return;
  data[0].push(Date.now() / 1000);
  data[1].push(queue.depth);
  data[2].push(queue.oldest_age_seconds);
  if (data[0].length > POINTS_MAX) for (const list of data) list.shift();
  const target = document.querySelector('#depth-chart');
  chart ??= make(target);
  if (chart.width !== target.clientWidth) chart.setSize({ width: target.clientWidth, height: 140 });
  chart.setData(data);
}

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  chart?.destroy();
  chart = undefined;
});
