/**
 * The drain from the queue, as the forwarder's own process runs it, beside the script that it replaces (boto3 `put_record` a reading;
 * where Python is missing, the same loop with the JavaScript SDK): rows a second and CPU a row, 200 B and 2 KB, into a stream that
 * keeps nothing at 0 and 30 ms, and into one shard of the local stream with its limits on. `--rows N` for a longer run, `--only PART`.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { readConfig } from '../service/config.ts';
import { Queue } from '../forwarder/queue/queue.ts';
import { kinesisPython } from '../test/support/kinesis-python.ts';
import { compile, startHelper, startProduct, startProgram, type Child } from './support/child.ts';
import { intoStream, startNullStream } from './support/pipeline.ts';
import { usageOf } from './support/process-usage.ts';
import { finish, row, versionOf, type Row } from './support/result.ts';
import { withScratch, type Scratch } from './support/scratch.ts';
import { median } from './support/statistics.ts';

const argument = (name: string): string | undefined => process.argv[process.argv.indexOf(name) + 1 || process.argv.length];
const only = argument('--only');
const rowsWanted = Number(argument('--rows') ?? 200_000);
const runs = Number(argument('--runs') ?? 3);
const SCRIPT_SECONDS = 4;
const STRAPS = 50;
const BUCKET_RECORDS = 950;
const PREFILL_ROWS = 5000;
const STALLED_MS = 20_000;

interface Measured {
  rowsPerSecond: number;
  cpuMicroseconds: number;
  rssMb: number;
  /** Least and most of the quarters of the run. */
  rssGrowthMb: number;
}

function readingOf(seq: number, bytes: number): string {
  const text = JSON.stringify({ timestamp: '2026-11-28T00:00:00.000Z', heart_rate: 60 + (seq % 100), device: `strap-${seq % STRAPS}`, gateway: 'bench', run: '0011223344556677', seq, rr_intervals_ms: [812.5], sensor_contact: true, energy_expended_kj: null, clock: 'synced' });
  return text.length >= bytes ? text : `${text.slice(0, -1)},"padding":"${'x'.repeat(Math.max(0, bytes - text.length - 13))}"}`;
}

/** A data folder whose queue holds so many readings. */
async function filledQueue(scratch: Scratch, rows: number, bytes: number): Promise<string> {
  const dataDir = scratch.folder();
  const queue = new Queue(readConfig({ DATA_DIR: dataDir, QUEUE_MAX_BYTES: '8GiB' }));
  await queue.start();
  for (let from = 0; from < rows; from += PREFILL_ROWS) {
    const seqs = Array.from({ length: Math.min(PREFILL_ROWS, rows - from) }, (_, index) => from + index + 1);
    queue.append({ rows: { data: seqs.map((seq) => readingOf(seq, bytes)), devices: seqs.map((seq) => `strap-${seq % STRAPS}`), sources: seqs.map(() => 0) }, dead: [], marks: [] });
    while (queue.depth < from - 4 * PREFILL_ROWS) await sleep(5);
  }
  while (queue.depth < rows) await sleep(20);
  await queue.stop();
  return dataDir;
}

/** Runs the forwarder on a filled queue until the stream has it all; measures from the first tenth to the last. */
async function drained(child: Child, rows: number, shipped: () => Promise<number>): Promise<Measured> {
  const rss: number[] = [];
  let begin: { at: number; rows: number; cpu: number } | undefined;
  let end: { at: number; rows: number; cpu: number } | undefined;
  let progress = { rows: 0, at: performance.now() };
  for (let now = 0; now < rows * 0.97; now = await shipped()) {
    if (now > progress.rows) progress = { rows: now, at: performance.now() };
    else if (performance.now() - progress.at > STALLED_MS) throw new Error(`nothing was shipped for ${STALLED_MS} ms\n${child.output().slice(-2000)}`);
    const { cpuSeconds, rssMb } = usageOf(child.pid);
    const sample = { at: performance.now(), rows: now, cpu: cpuSeconds };
    if (now >= rows * 0.1) begin ??= sample;
    if (begin !== undefined) {
      end = sample;
      rss.push(rssMb);
    }
    await sleep(20);
  }
  if (begin === undefined || end === undefined || end.rows === begin.rows) throw new Error('too few rows to measure');
  const quarter = (index: number): number => median(rss.slice(Math.floor((rss.length * index) / 4), Math.floor((rss.length * (index + 1)) / 4)));
  return {
    rowsPerSecond: ((end.rows - begin.rows) * 1000) / (end.at - begin.at),
    cpuMicroseconds: ((end.cpu - begin.cpu) * 1e6) / (end.rows - begin.rows),
    rssMb: Math.max(...rss),
    rssGrowthMb: quarter(3) - quarter(1),
  };
}

interface Setting {
  name: string;
  bytes: number;
  latencyMs: number;
  rows: number;
  mode: 'records' | 'aggregated';
}

async function drainOf({ bytes, latencyMs, rows, mode }: Setting): Promise<Measured> {
  return await withScratch(async (scratch) => {
    const dataDir = await filledQueue(scratch, rows, bytes);
    const stream = await startNullStream(scratch, latencyMs);
    const forwarder = startProduct(scratch, 'forwarder/main', { DATA_DIR: dataDir, MQTT_URL: 'mqtt://127.0.0.1:9', QUEUE_MAX_BYTES: '8GiB', KINESIS_MODE: mode, LOG_LEVEL: 'warn', ...intoStream(stream.endpoint) });
    const bytesARow = bytes + (mode === 'records' ? 1 : 8);
    const measured = await drained(forwarder, rows, async () => {
      const { records, bytes: sent } = await stream.counts();
      return mode === 'records' ? records : sent / bytesARow;
    });
    await forwarder.end();
    return measured;
  });
}

/** What a shard takes, against the bucket that we pace to. */
async function shardOf(rows: number): Promise<number> {
  return await withScratch(async (scratch) => {
    const dataDir = await filledQueue(scratch, rows, 200);
    const local = startProduct(scratch, 'local-kinesis/main', { DATA_DIR: scratch.folder(), LOCAL_KINESIS_PORT: '0' });
    const { port } = await local.line(({ event }) => event === 'listening');
    const forwarder = startProduct(scratch, 'forwarder/main', { DATA_DIR: dataDir, MQTT_URL: 'mqtt://127.0.0.1:9', LOCAL_KINESIS_PORT: String(port), LOG_LEVEL: 'warn' });
    const count = startHelper(scratch, 'support/count-records.ts', { LOCAL_KINESIS_PORT: String(port), ROWS: String(rows) });
    const { perSecond } = await count.line(({ event }) => event === 'counted', 120_000);
    await forwarder.end();
    return Number(perSecond);
  });
}

async function scriptOf(python: string | undefined, bytes: number, latencyMs: number): Promise<Measured> {
  return await withScratch(async (scratch) => {
    const stream = await startNullStream(scratch, latencyMs);
    const environment = { ENDPOINT: stream.endpoint, SECONDS: String(SCRIPT_SECONDS), READING: readingOf(1, bytes), AWS_ACCESS_KEY_ID: 'bench', AWS_SECRET_ACCESS_KEY: 'bench', AWS_REGION: 'us-east-1' };
    const script = python === undefined ? startHelper(scratch, 'support/put-record-loop.ts', environment) : startProgram(scratch, python, ['bench/support/put_record_loop.py'], environment);
    const { readings, seconds, cpu_seconds: cpu } = await script.line(({ event }) => event === 'done');
    return { rowsPerSecond: Number(readings) / Number(seconds), cpuMicroseconds: (Number(cpu) * 1e6) / Number(readings), rssMb: 0, rssGrowthMb: 0 };
  });
}

async function times<T>(count: number, work: () => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  for (let i = 0; i < count; i += 1) results.push(await work());
  return results;
}

compile();
const python = await kinesisPython();
const scriptName = python === undefined ? 'script (JavaScript SDK put_record)' : 'script (boto3 put_record)';
const table: Row[] = [];
const guarded: Record<string, number> = {};
for (const bytes of [200, 2000])
  for (const latencyMs of [0, 30]) {
    const label = `${bytes} B, ${latencyMs} ms`;
    if (only !== undefined && !label.includes(only) && !['records', 'aggregated'].includes(only)) continue;
    const script = only === undefined ? await times(1, async () => await scriptOf(python, bytes, latencyMs)) : [];
    const scriptRate = median(script.map(({ rowsPerSecond }) => rowsPerSecond));
    if (script.length > 0) table.push(row(`${scriptName}, ${label}`, script.map(({ rowsPerSecond, cpuMicroseconds }) => ({ 'rows/s': rowsPerSecond, 'CPU µs a row': cpuMicroseconds, '× script': 1 }))));
    for (const mode of ['records', 'aggregated'] as const) {
      if ((only === 'records' || only === 'aggregated') && only !== mode) continue;
      const rows = Math.round(rowsWanted / (bytes > 1000 ? 5 : 1));
      const measured = await times(runs, async () => await drainOf({ name: label, bytes, latencyMs, rows, mode }));
      table.push(row(`drain ${mode}, ${label}`, measured.map((one) => ({ 'rows/s': one.rowsPerSecond, 'CPU µs a row': one.cpuMicroseconds, ...(Number.isNaN(scriptRate) ? {} : { '× script': one.rowsPerSecond / scriptRate }), 'RSS MB': one.rssMb, 'RSS growth MB': one.rssGrowthMb }))));
      if (!Number.isNaN(scriptRate)) guarded[`${mode} ${label} ÷ script`] = median(measured.map((one) => one.rowsPerSecond / scriptRate));
    }
  }
if (only === undefined || only === 'shard') {
  const rates = await times(1, async () => await shardOf(12_000));
  table.push(row('drain records, one shard of the local stream', rates.map((rate) => ({ 'rows/s': rate, '% of the bucket': (rate * 100) / BUCKET_RECORDS }))));
  guarded['one shard ÷ bucket'] = median(rates) / BUCKET_RECORDS;
}
finish({
  bench: 'drain',
  title: 'From the queue into Kinesis',
  note: `The forwarder's process (queue, drain, SDK) on a backlog of ${STRAPS} straps, into a stream that keeps nothing, at 0 and 30 ms an answer; the bucket of one shard is ${BUCKET_RECORDS} records/s.`,
  rows: table,
  versions: { '@aws-sdk/client-kinesis': versionOf('@aws-sdk/client-kinesis'), 'better-sqlite3': versionOf('better-sqlite3'), ...(python === undefined ? {} : { boto3: '1.44.8' }) },
  guarded,
});
