/**
 * npm run bench:latency: time from a strap's notification until GetRecords returns its record, with `npm start` at the default settings,
 * simulated straps and the local stream. The baseline stores nothing: a subscriber that calls PutRecord for each message.
 */
import { compile, startHelper } from './support/child.ts';
import { startPlainAedes } from './support/brokers.ts';
import { benchOptions, inTurn } from './support/options.ts';
import { startOneProcess } from './support/pipeline.ts';
import { finish, row } from './support/result.ts';
import { withScratch } from './support/scratch.ts';
import { median, quantile } from './support/statistics.ts';
import { visibleAges } from './support/stream-watch.ts';
import { localStreamPort, startLocalStream } from './support/local-stream.ts';

const { runs, short } = benchOptions();
compile();
const forMs = short ? 4000 : 8000;

type Figures = Record<string, number>;
const figuresOf = (ages: readonly number[]): Figures => ({
  'p50 ms': quantile(ages, 0.5),
  'p99 ms': quantile(ages, 0.99),
  readings: ages.length,
});

/** The product at its default settings; each strap sends once per second. */
async function product(straps: number): Promise<Figures> {
  return await withScratch(async (scratch) => {
    const pipeline = await startOneProcess(scratch, {
      SIMULATED_STRAPS: String(straps),
      BLE_MAX_STRAPS: String(Math.max(16, straps)),
      LOCAL_KINESIS_LIMITS: 'false',
    });
    const port = await localStreamPort(pipeline);
    await visibleAges(port, { stream: 'hr-data-stream', forMs: 4000 });
    return figuresOf(await visibleAges(port, { stream: 'hr-data-stream', forMs }));
  });
}

async function bare(perSecond: number): Promise<Figures> {
  return await withScratch(async (scratch) => {
    const stream = await startLocalStream(scratch, { LOCAL_KINESIS_LIMITS: 'false' });
    const broker = await startPlainAedes(scratch);
    const script = startHelper(scratch, 'support/script.ts', {
      MQTT_URL: broker.url,
      ENDPOINT: `http://127.0.0.1:${stream.port}`,
    });
    await script.line(({ event }) => event === 'subscribed');
    startHelper(scratch, 'support/paced.ts', { MQTT_URL: broker.url, RATE: String(perSecond) });
    await visibleAges(stream.port, { stream: 'hr-data-stream', forMs: 3000 });
    return figuresOf(await visibleAges(stream.port, { stream: 'hr-data-stream', forMs }));
  });
}

const BASE = 'bare subscriber + PutRecord, 2 readings/s';
const OURS = 'npm start, 2 straps × 1 Hz';
const results = await inTurn<Figures>(runs, [
  { name: BASE, run: async () => await bare(2) },
  { name: OURS, run: async () => await product(2) },
  { name: 'npm start, 50 straps × 1 Hz', run: async () => await product(50) },
]);
const p50 = (name: string): number => median((results.get(name) ?? []).map((run) => run['p50 ms'] ?? Number.NaN));
finish({
  bench: 'latency',
  title: "From the strap's notification to GetRecords",
  note: [
    "Includes the observer's polling interval of 2 ms. Timestamps are whole milliseconds.",
    'The baseline stores nothing between MQTT and the stream.',
  ].join(' '),
  columns: ['p50 ms', 'p99 ms', 'readings'],
  rows: [...results].map(([name, all]) => row(name, all)),
  guarded: { 'latency p50, bare subscriber ÷ npm start': p50(BASE) / p50(OURS) },
});
