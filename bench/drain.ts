/**
 * npm run bench:drain: draining the queue in the forwarder's process, compared with the script that it replaces (one boto3 `put_record`
 * per reading; without Python, the same loop with the JavaScript SDK): rows per second and CPU per row, for 200 B and 2 KB, into a null
 * stream that responds after 0, 30 and 100 ms, and into one shard of the local stream with its limits on.
 * `--million`: a million rows of 200 B instead, to see memory. `--only TEXT`: only cases whose name contains TEXT.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { readConfig } from '../service/config/config.ts';
import { Queue } from '../forwarder/queue/queue.ts';
import { kinesisPython } from '../test/support/kinesis-python.ts';
import { compile, startHelper, startProduct, startProgram, type Child } from './support/child.ts';
import { intoStream, startNullStream } from './support/pipeline.ts';
import { benchOptions, inTurn, progress } from './support/options.ts';
import { usageOf } from './support/process-usage.ts';
import { finish, row, versionOf, type Row } from './support/result.ts';
import { withScratch, type Scratch } from './support/scratch.ts';
import { median } from './support/statistics.ts';

const { runs, short } = benchOptions();
const million = process.argv.includes('--million');
const only = process.argv.includes('--only') ? (process.argv[process.argv.indexOf('--only') + 1] ?? '') : '';
const usualRows = short ? 60_000 : 250_000;
const ROWS = million ? 1_000_000 : usualRows;
const SCRIPT_SECONDS = 4;
const STRAPS = 50;
const BUCKET_RECORDS = 950;
const PREFILL_ROWS = 5000;
const STALLED_MS = 60_000;

interface Measured {
  rowsPerSecond: number;
  cpuMicroseconds: number;
  rssMiB: number;
  /** Median of the last quarter of the run minus that of the second. */
  rssGrowthMiB: number;
}

function readingOf(seq: number, bytes: number): string {
  const text = JSON.stringify({
    timestamp: '2026-11-28T00:00:00.000Z',
    heart_rate: 60 + (seq % 100),
    device: `strap-${seq % STRAPS}`,
    gateway: 'bench',
    run: '0011223344556677',
    seq,
    rr_intervals_ms: [812.5],
    sensor_contact: true,
    energy_expended_kj: null,
    clock: 'synced',
  });
  return text.length >= bytes ? text : `${text.slice(0, -1)},"padding":"${'x'.repeat(Math.max(0, bytes - text.length - 13))}"}`;
}

/** Creates a data folder with a queue of `rows` readings. */
async function filledQueue(scratch: Scratch, rows: number, bytes: number): Promise<string> {
  const dataDir = scratch.folder();
  const queue = new Queue(readConfig({ DATA_DIR: dataDir, QUEUE_MAX_BYTES: '8GiB' }));
  await queue.start();
  for (let from = 0; from < rows; from += PREFILL_ROWS) {
    const seqs = Array.from({ length: Math.min(PREFILL_ROWS, rows - from) }, (_, index) => from + index + 1);
    queue.append({
      rows: {
        data: seqs.map((seq) => readingOf(seq, bytes)),
        devices: seqs.map((seq) => `strap-${seq % STRAPS}`),
        sources: seqs.map(() => 0),
      },
      dead: [],
      watermarks: [],
    });
    while (queue.depth < from - 4 * PREFILL_ROWS) await sleep(5);
  }
  while (queue.depth < rows) await sleep(20);
  await queue.stop();
  return dataDir;
}

/** Runs the forwarder on a filled queue until the stream has all of it; measures without the first and last tenth. */
async function drained(child: Child, rows: number, shipped: () => Promise<number>): Promise<Measured> {
  const rss: number[] = [];
  let begin: { at: number; rows: number; cpu: number } | undefined;
  let end: { at: number; rows: number; cpu: number } | undefined;
  let moved = { rows: 0, at: performance.now() };
  for (let now = 0; now < rows * 0.97; now = await shipped()) {
    if (now > moved.rows) moved = { rows: now, at: performance.now() };
    else if (performance.now() - moved.at > STALLED_MS)
      throw new Error(`nothing was shipped for ${STALLED_MS} ms\n${child.output().slice(-2000)}`);
    const { cpuSeconds, rssMiB } = usageOf(child.pid);
    const sample = { at: performance.now(), rows: now, cpu: cpuSeconds };
    if (now >= rows * 0.1) begin ??= sample;
    if (begin !== undefined) {
      end = sample;
      rss.push(rssMiB);
    }
    await sleep(20);
  }
  if (begin === undefined || end === undefined || end.rows === begin.rows) throw new Error('too few rows to measure');
  const part = (index: number, parts: number): number =>
    median(rss.slice(Math.floor((rss.length * index) / parts), Math.floor((rss.length * (index + 1)) / parts)));
  const tenths = Array.from({ length: 10 }, (_, tenth) => Math.round(part(tenth, 10)));
  progress(`RSS by tenth of the run, MiB: ${tenths.join(' ')}`);
  return {
    rowsPerSecond: ((end.rows - begin.rows) * 1000) / (end.at - begin.at),
    cpuMicroseconds: ((end.cpu - begin.cpu) * 1e6) / (end.rows - begin.rows),
    rssMiB: Math.max(...rss),
    rssGrowthMiB: part(3, 4) - part(1, 4),
  };
}

interface Setting {
  bytes: number;
  latencyMs: number;
  rows: number;
  mode: 'records' | 'aggregated';
}

async function drainOf({ bytes, latencyMs, rows, mode }: Setting): Promise<Measured> {
  return await withScratch(async (scratch) => {
    const dataDir = await filledQueue(scratch, rows, bytes);
    const stream = await startNullStream(scratch, latencyMs);
    const forwarder = startProduct(scratch, 'forwarder/main', {
      DATA_DIR: dataDir,
      MQTT_URL: 'mqtt://127.0.0.1:9',
      QUEUE_MAX_BYTES: '8GiB',
      KINESIS_MODE: mode,
      LOG_LEVEL: 'warn',
      ...intoStream(stream.endpoint),
    });
    const bytesARow = bytes + (mode === 'records' ? 1 : 8);
    const measured = await drained(forwarder, rows, async () => {
      const { records, bytes: sent } = await stream.counts();
      return mode === 'records' ? records : sent / bytesARow;
    });
    await forwarder.end();
    return measured;
  });
}

/** Records per second into one shard, to compare with the rate that the drain paces to. */
async function shardOf(rows: number): Promise<number> {
  return await withScratch(async (scratch) => {
    const dataDir = await filledQueue(scratch, rows, 200);
    const local = startProduct(scratch, 'local-kinesis/main', { DATA_DIR: scratch.folder(), LOCAL_KINESIS_PORT: '0' });
    const { port } = await local.line(({ event }) => event === 'listening');
    const forwarder = startProduct(scratch, 'forwarder/main', {
      DATA_DIR: dataDir,
      MQTT_URL: 'mqtt://127.0.0.1:9',
      LOCAL_KINESIS_PORT: String(port),
      LOG_LEVEL: 'warn',
    });
    const count = startHelper(scratch, 'support/count-records.ts', { LOCAL_KINESIS_PORT: String(port), ROWS: String(rows) });
    const { perSecond } = await count.line(({ event }) => event === 'counted', 120_000);
    await forwarder.end();
    return Number(perSecond);
  });
}

async function scriptOf(python: string | undefined, bytes: number, latencyMs: number): Promise<Measured> {
  return await withScratch(async (scratch) => {
    const stream = await startNullStream(scratch, latencyMs);
    const environment = {
      ENDPOINT: stream.endpoint,
      SECONDS: String(SCRIPT_SECONDS),
      READING: readingOf(1, bytes),
      AWS_ACCESS_KEY_ID: 'bench',
      AWS_SECRET_ACCESS_KEY: 'bench',
      AWS_REGION: 'us-east-1',
    };
    const script =
      python === undefined
        ? startHelper(scratch, 'support/put-record-loop.ts', environment)
        : startProgram(scratch, python, ['bench/support/put_record_loop.py'], environment);
    const { readings, seconds, cpu_seconds: cpu } = await script.line(({ event }) => event === 'done');
    return {
      rowsPerSecond: Number(readings) / Number(seconds),
      cpuMicroseconds: (Number(cpu) * 1e6) / Number(readings),
      rssMiB: 0,
      rssGrowthMiB: 0,
    };
  });
}

compile();
const python = await kinesisPython();
const scriptName = python === undefined ? 'script (JavaScript SDK put_record)' : 'script (boto3 put_record)';

type Figures = Record<string, number>;
const cases: { name: string; run: () => Promise<Figures> }[] = [];
for (const bytes of million ? [200] : [200, 2000])
  for (const latencyMs of million ? [0] : [0, 30, 100]) {
    const label = `${bytes} B, ${latencyMs} ms`;
    if (!million)
      cases.push({
        name: `${scriptName}, ${label}`,
        run: async () => {
          const { rowsPerSecond, cpuMicroseconds } = await scriptOf(python, bytes, latencyMs);
          return { 'rows/s': rowsPerSecond, 'CPU µs per row': cpuMicroseconds };
        },
      });
    for (const mode of ['records', 'aggregated'] as const)
      cases.push({
        name: `drain ${mode}, ${label}`,
        run: async () => {
          const { rowsPerSecond, cpuMicroseconds, rssMiB, rssGrowthMiB } = await drainOf({
            bytes,
            latencyMs,
            rows: Math.round(ROWS / (bytes > 1000 ? 5 : 1)),
            mode,
          });
          return {
            'rows/s': rowsPerSecond,
            'CPU µs per row': cpuMicroseconds,
            'RSS MiB': rssMiB,
            'RSS growth MiB': rssGrowthMiB,
          };
        },
      });
  }
if (!million)
  cases.push({
    name: 'drain records, one shard of the local stream',
    run: async () => {
      const rate = await shardOf(short ? 6000 : 12_000);
      return { 'rows/s': rate, '% of the rate limit': (rate * 100) / BUCKET_RECORDS };
    },
  });

const results = await inTurn(
  runs,
  cases.filter(({ name }) => name.includes(only)),
);
const rate = (name: string, index: number): number => results.get(name)?.[index]?.['rows/s'] ?? Number.NaN;
const guarded: Record<string, number> = {};
const table: Row[] = [...results].map(([name, all]) => {
  const script = name.replace(/^drain \w+/, scriptName);
  return row(
    name,
    all.map((figures, index) => {
      const ratio = rate(name, index) / rate(script, index);
      return Number.isNaN(ratio) ? figures : { ...figures, '× script': ratio };
    }),
  );
});
for (const { name, figures } of table) {
  const ratio = figures['× script'];
  if (name.startsWith('drain') && ratio !== undefined) guarded[`${name}, × script`] = ratio.median;
}
finish({
  bench: million ? 'drain-million' : 'drain',
  title: 'From the queue into Kinesis',
  note: [
    `The forwarder's process (queue, drain, SDK) on a backlog of ${STRAPS} straps,`,
    `into a null stream that responds after 0, 30 and 100 ms.`,
    'µs: CPU of the process. RSS growth: the last quarter of the run against the second.',
    `The rate limit of one shard is ${BUCKET_RECORDS} records/s.`,
  ].join(' '),
  columns: ['rows/s', '× script', 'CPU µs per row', '% of the rate limit', 'RSS MiB', 'RSS growth MiB'],
  rows: table,
  versions: {
    '@aws-sdk/client-kinesis': versionOf('@aws-sdk/client-kinesis'),
    'better-sqlite3': versionOf(Number(process.versions.napi) >= 10 ? 'better-sqlite3' : 'better-sqlite3-node20'),
    ...(python === undefined ? {} : { boto3: '1.44.8' }),
  },
  guarded,
});
