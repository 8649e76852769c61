/** Single measurements that several benches take: one run each, on processes and folders of their own. */
import { startMosquitto, startPlainAedes, type ReferenceBroker } from './brokers.ts';
import { startHelper } from './child.ts';
import { flow, type Flow } from './flow.ts';
import { forwarderStatus } from './forwarder-status.ts';
import { intoStream, startNullStream, startOneProcess, startSeparate, UPLINK_AWAY } from './pipeline.ts';
import { usageOf } from './process-usage.ts';
import { withScratch, type Scratch } from './scratch.ts';

/** By column of a table; empty where it cannot be measured here. */
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

/** Microseconds of CPU that the product spends on a reading, bridges aside. */
export function productMicroseconds(figures: Readonly<Figures>): number {
  return figures['one process µs'] ?? (figures['broker µs'] ?? Number.NaN) + (figures['forwarder µs'] ?? 0);
}

/** Accepted by gateway and forwarder as processes of their own; the uplink is away. */
export async function acceptedSeparately(publishers: number, seconds: number): Promise<Figures> {
  return await withScratch(async (scratch) => figuresOf(await flow(scratch, await startSeparate(scratch, UPLINK_AWAY), { publishers, warmUpMs: 1500, seconds })));
}

/** Accepted by `npm start`'s one process; the bridges that keep it busy are beside it. */
export async function acceptedByOne(publishers: number, seconds: number): Promise<Figures> {
  return await withScratch(async (scratch) => figuresOf(await flow(scratch, await startOneProcess(scratch, UPLINK_AWAY), { publishers, warmUpMs: 1500, seconds })));
}

async function hop(start: (scratch: Scratch) => Promise<ReferenceBroker | undefined>, seconds: number): Promise<Figures> {
  return await withScratch(async (scratch) => {
    const broker = await start(scratch);
    if (broker === undefined) return {};
    const before = usageOf(broker.child.pid).cpuSeconds;
    const client = startHelper(scratch, 'support/broker-hop.ts', { MQTT_URL: broker.url, SECONDS: String(seconds) });
    const { per_second: perSecond, received } = await client.line(({ event }) => event === 'done');
    return { 'readings/s': Number(perSecond), 'broker µs': ((usageOf(broker.child.pid).cpuSeconds - before) * 1e6) / Number(received) };
  });
}

/** Messages a second over plain Aedes, 200 B, QoS 1: one publisher, one subscriber, nothing stored. */
export const hopOverAedes = async (seconds: number): Promise<Figures> => await hop(startPlainAedes, seconds);
/** The same over Mosquitto; empty where it is not installed. */
export const hopOverMosquitto = async (seconds: number): Promise<Figures> => await hop(startMosquitto, seconds);

/** Accepted and shipped at the same time into a null stream: 5 bridges with 10 straps each, windows full. */
export async function shipping(mode: 'records' | 'aggregated', seconds: number): Promise<Figures> {
  return await withScratch(async (scratch) => {
    const stream = await startNullStream(scratch);
    const pipeline = await startSeparate(scratch, { ...intoStream(stream.endpoint), KINESIS_MODE: mode });
    const status = await forwarderStatus(scratch, pipeline);
    const product = Object.values(pipeline.processes);
    const cpu = (): number => product.reduce((sum, { pid }) => sum + usageOf(pid).cpuSeconds, 0);
    const before = cpu();
    const spans: { atMs: number; shipped: number }[] = [];
    const { acceptedPerSecond } = await flow(scratch, pipeline, { publishers: 5, devices: 10, warmUpMs: 2500, seconds }, async () => void spans.push(await status.shipped()));
    const [begin, end] = spans;
    const shippedPerSecond = begin === undefined || end === undefined ? Number.NaN : ((end.shipped - begin.shipped) * 1000) / (end.atMs - begin.atMs);
    const done = await status.settled();
    const spent = cpu() - before;
    const { requests, units, records } = await stream.counts();
    if (done.shipped !== done.accepted) throw new Error(`accepted ${done.accepted}, shipped ${done.shipped}`);
    if (mode === 'records' && records < done.shipped) throw new Error(`shipped ${done.shipped}, the stream counted ${records}`);
    return {
      'accepted/s': acceptedPerSecond,
      'shipped/s': shippedPerSecond,
      'CPU µs, accepted and shipped': (spent * 1e6) / done.shipped,
      'requests a million': (requests * 1e6) / done.shipped,
      'PUT units a million': (units * 1e6) / done.shipped,
      ...(mode === 'records' ? { 'sent twice %': ((records - done.shipped) * 100) / done.shipped } : {}),
    };
  });
}
