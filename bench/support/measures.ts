/** Measurements that several benchmarks share: one run each, with its own processes and folders. */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startMosquitto, startPlainAedes, type ReferenceBroker } from './brokers.ts';
import { startHelper } from './child.ts';
import { flow, type Flow } from './flow.ts';
import { forwarderStatus } from './forwarder-status.ts';
import { intoStream, startNullStream, startOneProcess, startSeparate, UPLINK_AWAY } from './pipeline.ts';
import { usageOf } from './process-usage.ts';
import { withScratch, type Scratch } from './scratch.ts';

/** By column of a table; empty if it cannot be measured here. */
export type Figures = Record<string, number>;

function figuresOf({ acceptedPerSecond, cpuMicroseconds, p50Ms, p99Ms }: Flow): Figures {
  const { gateway, forwarder, start, publishers } = cpuMicroseconds;
  return {
    'readings/s': acceptedPerSecond,
    ...(gateway === undefined ? {} : { 'broker µs': gateway }),
    ...(forwarder === undefined ? {} : { 'forwarder µs': forwarder }),
    ...(start === undefined ? {} : { 'one process µs': start }),
    ...(publishers === undefined ? {} : { 'bridges µs': publishers }),
    'p50 ms': p50Ms,
    'p99 ms': p99Ms,
  };
}

/** Microseconds of CPU that the product spends on a reading, without the bridges. */
export function productMicroseconds(figures: Readonly<Figures>): number {
  return figures['one process µs'] ?? (figures['broker µs'] ?? Number.NaN) + (figures['forwarder µs'] ?? 0);
}

/** Readings accepted by gateway and forwarder in separate processes; the uplink is unreachable. */
export async function acceptedSeparately(publishers: number, seconds: number, bytes = 200): Promise<Figures> {
  return await withScratch(async (scratch) =>
    figuresOf(await flow(scratch, await startSeparate(scratch, UPLINK_AWAY), { publishers, bytes, warmUpMs: 1500, seconds })),
  );
}

/** Readings accepted by the one process of `npm start`; the bridges run in another process. */
export async function acceptedByOne(publishers: number, seconds: number, bytes = 200): Promise<Figures> {
  return await withScratch(async (scratch) =>
    figuresOf(await flow(scratch, await startOneProcess(scratch, UPLINK_AWAY), { publishers, bytes, warmUpMs: 1500, seconds })),
  );
}

async function hop(start: (scratch: Scratch) => Promise<ReferenceBroker | undefined>, seconds: number): Promise<Figures> {
  return await withScratch(async (scratch) => {
    const broker = await start(scratch);
    if (broker === undefined) return {};
    const before = usageOf(broker.child.pid).cpuSeconds;
    const client = startHelper(scratch, 'support/broker-hop.ts', { MQTT_URL: broker.url, SECONDS: String(seconds) });
    const { per_second: perSecond, received } = await client.line(({ event }) => event === 'done');
    return {
      'readings/s': Number(perSecond),
      'broker µs': ((usageOf(broker.child.pid).cpuSeconds - before) * 1e6) / Number(received),
    };
  });
}

/** Messages per second through plain Aedes, 200 B, QoS 1: one publisher, one subscriber, nothing stored. */
export const hopOverAedes = async (seconds: number): Promise<Figures> => await hop(startPlainAedes, seconds);
/** The same through Mosquitto; empty if it is not installed. */
export const hopOverMosquitto = async (seconds: number): Promise<Figures> => await hop(startMosquitto, seconds);

/** Readings accepted and shipped at the same time into a null stream: 5 bridges with 10 straps each, windows full. */
export async function shipping(mode: 'records' | 'aggregated', seconds: number): Promise<Figures> {
  return await withScratch(async (scratch) => {
    const stream = await startNullStream(scratch);
    const pipeline = await startSeparate(scratch, { ...intoStream(stream.endpoint), KINESIS_MODE: mode });
    const status = await forwarderStatus(scratch, pipeline);
    const product = Object.values(pipeline.processes);
    const cpu = (): number => product.reduce((sum, { pid }) => sum + usageOf(pid).cpuSeconds, 0);
    const before = cpu();
    const spans: { atMs: number; shipped: number }[] = [];
    const { acceptedPerSecond } = await flow(
      scratch,
      pipeline,
      { publishers: 5, devices: 10, warmUpMs: 2500, seconds },
      async () => void spans.push(await status.shipped()),
    );
    const [begin, end] = spans;
    const shippedPerSecond =
      begin === undefined || end === undefined ? Number.NaN : ((end.shipped - begin.shipped) * 1000) / (end.atMs - begin.atMs);
    const done = await status.untilEmpty();
    const spent = cpu() - before;
    const { requests, units, readings } = await stream.counts();
    if (done.shipped !== done.accepted) throw new Error(`accepted ${done.accepted}, shipped ${done.shipped}`);
    if (readings < done.shipped) throw new Error(`shipped ${done.shipped}, the stream counted ${readings}`);
    return {
      'accepted/s': acceptedPerSecond,
      'shipped/s': shippedPerSecond,
      'CPU µs, accepted and shipped': (spent * 1e6) / done.shipped,
      'requests per million': (requests * 1e6) / done.shipped,
      'PUT units per million': (units * 1e6) / done.shipped,
      'sent twice %': ((readings - done.shipped) * 100) / done.shipped,
    };
  });
}

/** Readings per wake-up of any thread of `npm start`, at its default settings with two straps. */
export async function readingsAWakeUp(seconds: number): Promise<number> {
  return await withScratch(async (scratch) => {
    const { processes } = await startOneProcess(scratch, { SIMULATED_STRAPS: '2', WATCHDOG_TIMEOUT_MS: '60000' });
    const { pid } = processes['start'] ?? { pid: 0 };
    // Waits for the start and the garbage collections after it.
    await sleep(15_000);
    const before = usageOf(pid).wakeUps;
    await sleep(seconds * 1000);
    return (2 * seconds) / (usageOf(pid).wakeUps - before);
  });
}

const RECORDING = fileURLToPath(new URL('../../test/data/recordings/intervals-garmin-vivoactive-hr.csv', import.meta.url));

/** Writes a recording of `rows` rows that repeats a recorded workout. */
function longRecording(scratch: Scratch, rows: number): string {
  const [header = '', ...lines] = readFileSync(RECORDING, 'utf8').trim().split('\n');
  const rates = lines.map((line) => line.slice(line.indexOf(',') + 1));
  const file = path.join(scratch.folder(), 'long.csv');
  writeFileSync(
    file,
    `${header}\n${Array.from({ length: rows }, (_, index) => `${index},${rates[index % rates.length] ?? ''}`).join('\n')}\n`,
  );
  return file;
}

/**
 * `npm start` replays a recording at full speed into a null stream: everything from the strap's notification to the stream's response in
 * one process.
 */
export async function replaying(rows: number): Promise<Figures> {
  return await withScratch(async (scratch) => {
    const stream = await startNullStream(scratch);
    const pipeline = await startOneProcess(scratch, {
      ...intoStream(stream.endpoint),
      KINESIS_MODE: 'aggregated',
      BLE_SOURCE: 'replay',
      REPLAY_FILE: longRecording(scratch, rows),
      REPLAY_SPEED: '0',
    });
    const { pid } = pipeline.processes['start'] ?? { pid: 0 };
    const samples: { ms: number; readings: number; cpu: number }[] = [];
    const end = performance.now() + 120_000;
    // Rows without a heart rate produce no reading, so the total is not known: done when the count stops growing.
    while (
      performance.now() < end &&
      (samples.length < 60 || samples.at(-1)?.readings === 0 || samples.at(-60)?.readings !== samples.at(-1)?.readings)
    ) {
      samples.push({ ms: performance.now(), readings: (await stream.counts()).readings, cpu: usageOf(pid).cpuSeconds });
      await sleep(50);
    }
    const all = samples.at(-1)?.readings ?? 0;
    const first = samples.find(({ readings }) => readings > all * 0.1);
    const last = samples.find(({ readings }) => readings > all * 0.9);
    if (first === undefined || last === undefined || last === first)
      throw new Error(`${all} readings arrived too fast to measure`);
    const shipped = last.readings - first.readings;
    const done = await (await forwarderStatus(scratch, pipeline)).untilEmpty();
    return {
      'shipped/s': (shipped * 1000) / (last.ms - first.ms),
      'CPU µs, accepted and shipped': ((last.cpu - first.cpu) * 1e6) / shipped,
      'sent twice %': ((all - done.shipped) * 100) / done.shipped,
    };
  });
}
