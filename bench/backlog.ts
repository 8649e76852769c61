/**
 * npm run bench:backlog: the cost of a backlog of 0.1, 1 and 10 million readings (`--rows 100000,1000000`): time of commits and takes at
 * that depth, time to open the file, its size, the drain's rate and the forwarder's memory. Ratios are to the smallest backlog.
 */
import { once } from 'node:events';
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Queue } from '../forwarder/queue/queue.ts';
import { readConfig } from '../service/config/config.ts';
import { compile, startProduct } from './support/child.ts';
import { benchOptions, progress } from './support/options.ts';
import { intoStream, startNullStream } from './support/pipeline.ts';
import { usageOf } from './support/process-usage.ts';
import { finish, row } from './support/result.ts';
import { withScratch, type Scratch } from './support/scratch.ts';
import { median } from './support/statistics.ts';

const { short } = benchOptions();
const at = process.argv.indexOf('--rows');
const defaultRows = short ? '20000,100000' : '100000,1000000,10000000';
const sizes = (at < 0 ? defaultRows : (process.argv[at + 1] ?? '')).split(',').map(Number);
compile();

type Figures = Record<string, number>;
const COMMIT_ROWS = 500;
const TAKE_ROWS = 2000;
const SAMPLES = 100;
const HUGE = String(200 * 2 ** 30);
const RUN = '00000000000000be';

const settings = (dataDir: string): Record<string, string> => ({
  DATA_DIR: dataDir,
  GATEWAY_NAME: 'bench',
  QUEUE_MAX_BYTES: HUGE,
  QUEUE_MIN_FREE_DISK_BYTES: '0',
});

function readingOf(seq: number): string {
  return JSON.stringify({
    timestamp: '2026-11-22T19:00:00.123Z',
    heart_rate: 60 + (seq % 100),
    device: `strap-${seq % 50}`,
    gateway: 'bench',
    run: RUN,
    seq,
    rr_intervals_ms: [812.5],
    sensor_contact: true,
    energy_expended_kj: null,
    clock: 'synced',
  });
}

/** Fills a queue with `rows` rows. Returns the durations of its last commits of 500 rows, in milliseconds. */
async function fill(queue: Queue, rows: number): Promise<number[]> {
  const commits: number[] = [];
  let committed = 0;
  let wake = (): void => {};
  queue.on('committed', (reply) => {
    committed += reply.rows;
    if (reply.rows === COMMIT_ROWS) commits.push(reply.commitMs);
    wake();
  });
  for (let seq = 1; seq <= rows;) {
    const data: string[] = [];
    const devices: string[] = [];
    for (; data.length < COMMIT_ROWS; seq += 1) {
      data.push(readingOf(seq));
      devices.push(`strap-${seq % 50}`);
    }
    queue.append({
      rows: { data, devices, sources: data.map(() => 0) },
      dead: [],
      watermarks: [{ gateway: 'test-box', run: RUN, stored: seq - 1, missed: {} }],
    });
    const wanted = seq - 1;
    while (committed < wanted) await new Promise<void>((resolve) => (wake = resolve));
  }
  return commits.slice(-SAMPLES);
}

const bytesIn = (folder: string): number =>
  readdirSync(folder)
    .filter((name) => name.startsWith('queue.db') && !name.endsWith('.reserve'))
    .reduce((sum, name) => sum + statSync(path.join(folder, name)).size, 0);

async function drained(scratch: Scratch, dataDir: string): Promise<Figures> {
  const stream = await startNullStream(scratch);
  const forwarder = startProduct(scratch, 'forwarder/main', {
    ...settings(dataDir),
    ...intoStream(stream.endpoint),
    MQTT_URL: 'mqtt://127.0.0.1:9',
  });
  await forwarder.line(({ event }) => event === 'started');
  // A large queue is checked before it is drained.
  const limit = performance.now() + 600_000;
  while ((await stream.counts()).records === 0 && performance.now() < limit) await sleep(20);
  const counts: { ms: number; records: number; rss: number }[] = [];
  const end = performance.now() + (short ? 1500 : 8000);
  while (performance.now() < end) {
    const { records } = await stream.counts();
    const { rssMiB } = usageOf(forwarder.pid);
    counts.push({ ms: performance.now(), records, rss: rssMiB });
    await sleep(50);
  }
  await forwarder.end('SIGKILL');
  const all = counts.at(-1)?.records ?? 0;
  // Skips the first second: the drain paces for one shard until it has read the stream's capacity.
  const first = counts.find(({ records }) => records > 4000);
  const last = counts.find(({ records }) => records >= all);
  const rate =
    first === undefined || last === undefined || last === first
      ? Number.NaN
      : ((last.records - first.records) * 1000) / (last.ms - first.ms);
  return { 'drain rows/s': rate, 'forwarder RSS MiB, maximum': Math.max(...counts.map(({ rss }) => rss)) };
}

async function backlog(rows: number): Promise<Figures> {
  return await withScratch(async (scratch) => {
    const dataDir = scratch.folder();
    const config = readConfig(settings(dataDir));
    const queue = new Queue(config);
    await queue.start();
    progress(`filling ${rows} rows`);
    const commits = await fill(queue, rows);
    const takes: number[] = [];
    for (let index = 0; index < Math.min(SAMPLES, Math.floor(rows / TAKE_ROWS)); index += 1) {
      const began = performance.now();
      await queue.take({ maxRows: TAKE_ROWS, maxBytes: 64 * 2 ** 20 });
      takes.push(performance.now() - began);
    }
    await queue.stop();
    const size = bytesIn(dataDir);
    const again = new Queue(config);
    const began = performance.now();
    await again.start();
    const started = performance.now() - began;
    if (!again.isOpen) await once(again, 'opened');
    const opened = performance.now() - began;
    await again.stop();
    return {
      'ms to commit 500': median(commits),
      'ms to take 2,000': median(takes),
      's to start': started / 1000,
      's until it accepts': opened / 1000,
      'file MB': size / 1e6,
      'bytes per row': size / rows,
      ...(await drained(scratch, dataDir)),
    };
  });
}

const results: { rows: number; figures: Figures }[] = [];
for (const rows of sizes) results.push({ rows, figures: await backlog(rows) });
const base = results[0]?.figures ?? {};
finish({
  bench: 'backlog',
  title: 'A backlog of readings in the queue',
  note: [
    'Every page and every row is checked before the queue accepts; if the file is larger than 64 MiB, the forwarder runs meanwhile.',
    'Ratios to the smallest backlog: 1 means flat.',
  ].join(' '),
  rows: results.map(({ rows, figures }) =>
    row(`${(rows / 1e6).toLocaleString('en')} million`, [
      {
        ...figures,
        'commit ÷': (figures['ms to commit 500'] ?? 0) / (base['ms to commit 500'] ?? 1),
        'take ÷': (figures['ms to take 2,000'] ?? 0) / (base['ms to take 2,000'] ?? 1),
        'drain ÷': (figures['drain rows/s'] ?? 0) / (base['drain rows/s'] ?? 1),
      },
    ]),
  ),
});
