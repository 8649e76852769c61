/**
 * npm run bench:wear: bytes written to disk per reading by the forwarder's process (write_bytes in /proc/PID/io) at 2 readings/s into a
 * null stream, by commit interval, and how long a medium rated for 100 TBW lasts at that rate.
 */
import { compile } from './support/child.ts';
import { flow } from './support/flow.ts';
import { benchOptions, progress } from './support/options.ts';
import { intoStream, startNullStream, startSeparate } from './support/pipeline.ts';
import { usageOf } from './support/process-usage.ts';
import { finish, row } from './support/result.ts';
import { withScratch } from './support/scratch.ts';
import { median } from './support/statistics.ts';

const { runs, short } = benchOptions();
compile();
const seconds = short ? 10 : 30;
const INTERVALS_MS = [0, 100, 1000, 5000];
const PER_SECOND = 2;
const TBW = 100e12;
const YEAR_S = 365.25 * 86_400;

type Figures = Record<string, number>;

async function written(intervalMs: number): Promise<Figures> {
  return await withScratch(async (scratch) => {
    const stream = await startNullStream(scratch);
    const pipeline = await startSeparate(scratch, {
      ...intoStream(stream.endpoint),
      QUEUE_COMMIT_INTERVAL_MS: String(intervalMs),
    });
    const pid = pipeline.processes['forwarder']?.pid ?? 0;
    const bytes: number[] = [];
    const { accepted, p50Ms, p99Ms } = await flow(
      scratch,
      pipeline,
      { rate: PER_SECOND, devices: 2, warmUpMs: short ? 3000 : 6000, seconds },
      async () => void bytes.push(usageOf(pid).writtenBytes),
    );
    const perReading = ((bytes[1] ?? Number.NaN) - (bytes[0] ?? Number.NaN)) / accepted;
    return {
      'kB per reading': perReading / 1000,
      'years to 100 TBW': TBW / (perReading * PER_SECOND * YEAR_S),
      'publish to confirmation p50 ms': p50Ms,
      'publish to confirmation p99 ms': p99Ms,
    };
  });
}

// The intervals run in parallel: each has its own processes, and at 2 readings/s they do not affect each other.
const results = new Map<number, Figures[]>(INTERVALS_MS.map((interval) => [interval, []]));
for (let index = 0; index < runs; index += 1) {
  progress(`run ${index + 1} of ${runs}`);
  await Promise.all(INTERVALS_MS.map(async (interval) => results.get(interval)?.push(await written(interval))));
}
const kB = (interval: number): number => median((results.get(interval) ?? []).map((run) => run['kB per reading'] ?? Number.NaN));
finish({
  bench: 'wear',
  title: 'Bytes written to disk per reading, forwarder only, 2 readings/s',
  note: [
    'By QUEUE_COMMIT_INTERVAL_MS; 100 is the default and the baseline.',
    'Counts every byte that the process wrote to the queue file and its WAL,',
    'not what the file system adds.',
  ].join(' '),
  columns: ['kB per reading', 'years to 100 TBW', 'publish to confirmation p50 ms', 'publish to confirmation p99 ms'],
  rows: [...results].map(([interval, all]) => row(`${interval} ms`, all)),
  guarded: { 'bytes to disk a reading, 100 ms ÷ 5000 ms': kB(100) / kB(5000) },
});
