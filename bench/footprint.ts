/**
 * npm run bench:footprint: memory and CPU at 2 readings/s over 10 minutes (`--seconds`) of `npm start`, of each service in its own process
 * and, if a Docker engine is available, of each container; `npm start` at 20 readings/s for comparison; the size of the image's layers;
 * and the time from `npm start` to the first record in the stream.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { compile, type Child } from './support/child.ts';
import { hasDocker, layerBytes, startContainers } from './support/containers.ts';
import { localStreamPort } from './support/local-stream.ts';
import { benchOptions, progress } from './support/options.ts';
import { startOneProcess, startSeparate } from './support/pipeline.ts';
import { usageOf, type Usage } from './support/process-usage.ts';
import { finish, row } from './support/result.ts';
import { withScratch } from './support/scratch.ts';
import { firstRecordMs } from './support/first-record.ts';
import { GUARDED } from './support/guarded.ts';
import { median } from './support/statistics.ts';

const { short, runs } = benchOptions();
const given = Number(process.argv[process.argv.indexOf('--seconds') + 1]);
const defaultSeconds = short ? 15 : 600;
const seconds = process.argv.includes('--seconds') && given > 0 ? given : defaultSeconds;
const SAMPLE_EVERY_S = 5;
compile();

type Figures = Record<string, number>;

const usagesOf = (pids: Record<string, number>): Record<string, Usage> =>
  Object.fromEntries(Object.entries(pids).map(([name, pid]) => [name, usageOf(pid)]));

async function watch(pids: Record<string, number>): Promise<Map<string, Figures>> {
  await sleep((short ? 5 : 30) * 1000);
  const samples = [usagesOf(pids)];
  const began = performance.now();
  while (performance.now() - began < seconds * 1000) {
    await sleep(SAMPLE_EVERY_S * 1000);
    samples.push(usagesOf(pids));
  }
  const span = (performance.now() - began) / 1000;
  const of = (name: string, read: (usage: Usage) => number): number[] =>
    samples.flatMap((sample) => (sample[name] === undefined ? [] : read(sample[name])));
  const grown = (values: readonly number[]): number => ((values.at(-1) ?? Number.NaN) - (values[0] ?? Number.NaN)) / span;
  return new Map(
    Object.keys(pids).map((name) => [
      name,
      {
        'RSS MiB, median': median(of(name, ({ rssMiB }) => rssMiB)),
        'RSS MiB, maximum': Math.max(...of(name, ({ rssMiB }) => rssMiB)),
        'CPU % of a core': grown(of(name, ({ cpuSeconds }) => cpuSeconds)) * 100,
        'wake-ups/s': grown(of(name, ({ wakeUps }) => wakeUps)),
      },
    ]),
  );
}

const pidsOf = (processes: Record<string, Child>, named: (name: string) => string): Record<string, number> =>
  Object.fromEntries(Object.entries(processes).map(([name, { pid }]) => [named(name), pid]));

progress(`watching for ${seconds} s`);
const ONE = 'npm start (one process)';
const straps = (count: number): Record<string, string> => ({
  SIMULATED_STRAPS: String(count),
  BLE_MAX_STRAPS: '32',
  WATCHDOG_TIMEOUT_MS: '60000',
});
const figures = await withScratch(async (scratch) => {
  const containers = hasDocker() ? startContainers(scratch) : {};
  const one = await startOneProcess(scratch, straps(2));
  await localStreamPort(one);
  const twenty = await startOneProcess(scratch, straps(20));
  await localStreamPort(twenty);
  const apart = await startSeparate(scratch, { BLE_SOURCE: 'simulated', ...straps(2) }, [
    'local-kinesis',
    'forwarder',
    'ble-bridge',
    'admin-api',
  ]);
  // All at the same time, so that other load on the machine affects all of them alike.
  return await watch({
    ...pidsOf(one.processes, () => ONE),
    ...pidsOf(twenty.processes, () => 'npm start, 20 readings/s'),
    ...pidsOf(apart.processes, (name) => `${name} (own process)`),
    ...Object.fromEntries(Object.entries(containers).map(([name, pid]) => [`${name} (container)`, pid])),
  });
});
const starts: Figures[] = [];
for (let index = 0; index < runs; index += 1)
  starts.push({ 's to the first record in the stream': (await firstRecordMs()) / 1000 });
finish({
  bench: 'footprint',
  title: `Footprint at 2 readings/s over ${seconds} s`,
  note: [
    `At 2 readings/s over ${seconds} s unless another rate is named. Includes local stream and admin API; the watchdog is on.`,
    'Wake-ups: of all threads. Start: from the start of the compiled process, with an empty DATA_DIR, to the first record in the stream.',
  ].join(' '),
  columns: [
    'RSS MiB, median',
    'RSS MiB, maximum',
    'CPU % of a core',
    'wake-ups/s',
    's to the first record in the stream',
    'layers MB',
  ],
  rows: [
    ...[...figures].map(([name, one]) => row(name, [one])),
    row('npm start, empty DATA_DIR', starts),
    ...(hasDocker() ? [row('image: layers above node:24-bookworm-slim', [{ 'layers MB': layerBytes() / 1e6 }])] : []),
  ],
  guarded: { [GUARDED.calm]: 2 / (figures.get(ONE)?.['wake-ups/s'] ?? Number.NaN) },
});
