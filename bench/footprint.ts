/**
 * npm run bench:footprint: memory and CPU at 2 readings/s over 10 minutes (`--seconds`), of `npm start` and of each service as a process
 * of its own; and how long `npm start` takes to its first reading in the stream.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { compile, type Child } from './support/child.ts';
import { localStreamPort } from './support/local-stream.ts';
import { benchOptions, progress } from './support/options.ts';
import { startOneProcess, startSeparate } from './support/pipeline.ts';
import { usageOf } from './support/process-usage.ts';
import { finish, row } from './support/result.ts';
import { withScratch } from './support/scratch.ts';
import { firstRecordMs } from './support/first-record.ts';
import { median } from './support/statistics.ts';

const { short, runs } = benchOptions();
const given = Number(process.argv[process.argv.indexOf('--seconds') + 1]);
const seconds = process.argv.includes('--seconds') && given > 0 ? given : short ? 15 : 600;
compile();

type Figures = Record<string, number>;

async function watch(processes: Record<string, Child>): Promise<Record<string, Figures>> {
  const settle = short ? 5 : 30;
  await sleep(settle * 1000);
  const peaks: Record<string, number[]> = Object.fromEntries(Object.keys(processes).map((name) => [name, []]));
  const before = Object.fromEntries(Object.entries(processes).map(([name, { pid }]) => [name, usageOf(pid)]));
  for (let elapsed = 0; elapsed < seconds; elapsed += 5) {
    await sleep(5000);
    for (const [name, { pid }] of Object.entries(processes)) peaks[name]?.push(usageOf(pid).rssMb);
  }
  const span = Math.ceil(seconds / 5) * 5;
  return Object.fromEntries(Object.entries(processes).map(([name, { pid }]) => [name, { 'RSS MB, median': median(peaks[name] ?? []), 'RSS MB, most': Math.max(...(peaks[name] ?? [])), 'CPU % of a core': ((usageOf(pid).cpuSeconds - (before[name]?.cpuSeconds ?? 0)) * 100) / span }]));
}

progress(`watching for ${seconds} s`);
const figures = new Map<string, Figures>();
await withScratch(async (scratch) => {
  const one = await startOneProcess(scratch, { SIMULATED_STRAPS: '2', WATCHDOG_TIMEOUT_MS: '60000' });
  await localStreamPort(one);
  const apart = await startSeparate(scratch, { BLE_SOURCE: 'simulated', SIMULATED_STRAPS: '2', WATCHDOG_TIMEOUT_MS: '60000' }, ['local-kinesis', 'forwarder', 'ble-bridge', 'admin-api']);
  // Both at once: what changes on the machine falls on both alike.
  const all = await watch({ 'npm start (one process)': one.processes['start'] as Child, ...Object.fromEntries(Object.entries(apart.processes).map(([name, child]) => [`${name} (own process)`, child])) });
  for (const [name, one_] of Object.entries(all)) figures.set(name, one_);
});
const starts: Figures[] = [];
for (let index = 0; index < runs; index += 1) starts.push({ 's to the first reading in the stream': (await firstRecordMs()) / 1000 });
finish({
  bench: 'footprint',
  title: `Footprint at 2 readings/s over ${seconds} s`,
  note: 'Local stream and admin API included; the watchdog is on. Start: from the start of the process, compiled, to a record that the stream has, on an empty DATA_DIR.',
  columns: ['RSS MB, median', 'RSS MB, most', 'CPU % of a core', 's to the first reading in the stream'],
  rows: [...[...figures].map(([name, one]) => row(name, [one])), row('npm start, from nothing', starts)],
});
