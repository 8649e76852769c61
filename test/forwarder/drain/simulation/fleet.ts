/**
 * Boxes that share a stream, in virtual time: the product's own drain, limits and pacing on a simulated queue and stream. All boxes start
 * together, run calmly, lose the stream for some time, and drain what has gathered while their straps go on.
 */
import { Drain } from '../../../../forwarder/drain/drain.ts';
import { ForwarderMetrics } from '../../../../forwarder/metrics.ts';
import type { QueuedReading } from '../../../../forwarder/queue/drain-queue.ts';
import { seeded } from '../../../support/seeded.ts';
import { testConfig, testLog } from '../../../support/test-config.ts';
import { SimulatedQueue } from './simulated-queue.ts';
import { SimulatedStream } from './simulated-stream.ts';
import { VirtualClock } from './virtual-clock.ts';

export interface FleetOptions {
  boxes: number;
  shards: number;
  mode: 'records' | 'aggregated';
  /** Readings per second of all boxes together. */
  readingsPerSecond: number;
  /** The largest box has this many times the readings of the smallest. */
  unevenness?: number;
  strapsPerBox?: number;
  calmMs?: number;
  outageMs: number;
  /** The run ends at the latest this long after the outage. */
  drainMs: number;
  /** After the backlog the boxes go on for this long, with their control calls counted. */
  calmAfterMs?: number;
  /** A minute after the outage the stream gets this many shards, all of them new. */
  reshardTo?: number;
  seed?: number;
}

export interface FleetResult {
  /** Records sent per record accepted, over the whole run. */
  sentPerAccepted: number;
  /** Jain's index of what the boxes with a backlog got, for each whole minute after the outage in which half of the boxes had one. */
  fairness: number[];
  /** Of readings accepted after the outage, from acceptance to the answer, in ms. */
  live: { p50: number; p99: number; max: number };
  /** From the end of the outage until no box had a backlog, divided by the time in which the shards could take it. */
  drainedPerIdeal: number;
  drainedMs: number;
  /** From the end of the outage to the first answer that stored a reading. */
  firstShippedMs: number;
  /** Readings shipped in each second after the outage; a hole for a second without any. */
  shippedPerSecond: number[];
  /** The part of the shards' limits that was used in each whole minute but the first after the outage in which all boxes had a backlog. */
  filled: number[];
  controlCalls: { total: number; worstSecond: number; throttled: number; perBoxAndCalmHour: number };
  readings: { accepted: number; shipped: number; lost: number };
}

const MINUTE_MS = 60_000;
const READING_BYTES = 400;
const PADDING = 'x'.repeat(READING_BYTES - 60);
const BYTES_PER_SHARD = 1_048_576;
const CAUGHT_UP_MS = 5000;

interface Box {
  drain: Drain;
  queue: SimulatedQueue;
  readingsPerSecond: number;
  accepted: number;
  /** Readings shipped in each minute after the outage. */
  perMinute: number[];
  shipped: number;
  /** When it had caught up after the outage: nothing older than a few seconds waits. */
  caughtUpMs: number | undefined;
}

export function jain(values: readonly number[]): number {
  const sum = values.reduce((total, value) => total + value, 0);
  const squares = values.reduce((total, value) => total + value * value, 0);
  return squares === 0 ? 1 : (sum * sum) / (values.length * squares);
}

const quantile = (sorted: readonly number[], part: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;

/** Readings per second that fill this part of the shards' limits. */
export function loadOf(mode: FleetOptions['mode'], shards: number, part: number): number {
  return shards * part * (mode === 'records' ? 1000 : BYTES_PER_SHARD / (READING_BYTES + 14));
}

export async function runFleet(options: FleetOptions): Promise<FleetResult> {
  const {
    boxes: count,
    shards,
    mode,
    readingsPerSecond,
    unevenness = 1,
    strapsPerBox = 10,
    calmMs = MINUTE_MS,
    outageMs,
    drainMs,
  } = options;
  const random = seeded(options.seed ?? 1);
  const clock = new VirtualClock(random);
  const stream = new SimulatedStream(clock, shards);
  const config = testConfig({ DATA_DIR: '/nowhere', KINESIS_MODE: mode });
  const log = testLog(config);
  const returnMs = calmMs + outageMs;
  const endMs = returnMs + drainMs;
  const latencies: number[] = [];
  let shipped = 0;
  let firstShippedMs = Number.POSITIVE_INFINITY;
  const shippedPerSecond: number[] = [];

  const weights = Array.from({ length: count }, (_, index) => 1 + ((unevenness - 1) * index) / Math.max(1, count - 1));
  const weightsSum = weights.reduce((sum, weight) => sum + weight, 0);
  const startMs = clock.dateMs();
  const boxes = weights.map((weight, index): Box => {
    const onShipped = (row: QueuedReading): void => {
      shipped += 1;
      box.shipped += 1;
      const now = clock.nowMs();
      if (now >= returnMs) {
        const minute = Math.floor((now - returnMs) / MINUTE_MS);
        box.perMinute[minute] = (box.perMinute[minute] ?? 0) + 1;
        const second = Math.floor((now - returnMs) / 1000);
        shippedPerSecond[second] = (shippedPerSecond[second] ?? 0) + 1;
        firstShippedMs = Math.min(firstShippedMs, now - returnMs);
      }
      if (row.acceptedAtMs - startMs >= returnMs) latencies.push(clock.dateMs() - row.acceptedAtMs);
      if (now >= returnMs && box.accepted - box.shipped <= caughtUp) box.caughtUpMs ??= now;
    };
    const queue = new SimulatedQueue(onShipped);
    const drain = new Drain({ config, log, queue, sink: stream.sink(), metrics: new ForwarderMetrics(), clock });
    const box: Box = {
      drain,
      queue,
      readingsPerSecond: (readingsPerSecond * weight) / weightsSum,
      accepted: 0,
      perMinute: [],
      shipped: 0,
      caughtUpMs: undefined,
    };
    const caughtUp = 2 + (CAUGHT_UP_MS * box.readingsPerSecond) / 1000;
    // About one commit a second, as straps send; less if there is less to commit.
    const perCommit = Math.max(1, Math.round(box.readingsPerSecond));
    const commit = (): void => {
      if (clock.nowMs() >= endMs + (options.calmAfterMs ?? 0)) return;
      const readings = Array.from({ length: perCommit }, () => {
        box.accepted += 1;
        const strap = Math.floor(random() * strapsPerBox);
        return [`box-${index}-strap-${strap}`, `{"seq":${box.accepted},"box":${index},"text":"${PADDING}"}`] as const;
      });
      queue.accept(readings, clock.dateMs());
      clock.after((1000 * perCommit * (0.5 + random())) / box.readingsPerSecond, commit);
    };
    clock.after((1000 * perCommit * random()) / box.readingsPerSecond, commit);
    return box;
  });
  for (const { drain } of boxes) drain.start();
  await clock.run(calmMs);
  stream.isAway = true;
  await clock.run(returnMs);
  stream.isAway = false;
  const backlog = boxes.reduce((sum, box) => sum + box.accepted - box.shipped, 0);
  const isDone = (): boolean => boxes.every(({ caughtUpMs }) => caughtUpMs !== undefined);
  const { reshardTo } = options;
  if (reshardTo !== undefined) {
    await clock.run(returnMs + MINUTE_MS, isDone);
    stream.reshard(reshardTo);
  }
  await clock.run(endMs, isDone);
  const drainedMs = clock.nowMs() - returnMs;
  const drainedOf = ({ caughtUpMs }: Box): number => (caughtUpMs ?? Number.POSITIVE_INFINITY) - returnMs;
  const callsBefore = stream.controlCalls.length;
  // At least so long that the last new readings have their answers.
  await clock.run(clock.nowMs() + Math.max(5000, options.calmAfterMs ?? 0));
  const stopping = Promise.all(boxes.map(async ({ drain }) => await drain.stop()));
  await clock.run(clock.nowMs() + 2500);
  await stopping;
  latencies.sort((a, b) => a - b);
  const fairness: number[] = [];
  const filled: number[] = [];
  const capacity = loadOf(mode, shards, 1);
  for (let minute = 0; (minute + 1) * MINUTE_MS <= drainedMs; minute += 1) {
    const busy = boxes.filter((box) => drainedOf(box) >= (minute + 1) * MINUTE_MS);
    const shippedOfAll = boxes.reduce((sum, { perMinute }) => sum + (perMinute[minute] ?? 0), 0);
    if (minute > 0 && busy.length === count) filled.push((shippedOfAll * 1000) / (capacity * MINUTE_MS));
    if (busy.length >= count / 2) fairness.push(jain(busy.map(({ perMinute }) => perMinute[minute] ?? 0)));
  }
  const perSecond = new Map<number, number>();
  for (const at of stream.controlCalls) {
    const second = Math.floor(at / 1000);
    perSecond.set(second, (perSecond.get(second) ?? 0) + 1);
  }
  return {
    sentPerAccepted: stream.sent / stream.accepted,
    fairness,
    live: { p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99), max: latencies.at(-1) ?? 0 },
    drainedPerIdeal: isDone() ? drainedMs / ((backlog * 1000) / (capacity - readingsPerSecond)) : Number.POSITIVE_INFINITY,
    drainedMs,
    firstShippedMs,
    shippedPerSecond,
    filled,
    controlCalls: {
      total: stream.controlCalls.length,
      worstSecond: Math.max(0, ...perSecond.values()),
      throttled: stream.controlThrottled,
      perBoxAndCalmHour: (stream.controlCalls.length - callsBefore) / count / Math.max(1, (options.calmAfterMs ?? 0) / 3_600_000),
    },
    readings: {
      accepted: boxes.reduce((sum, box) => sum + box.accepted, 0),
      shipped,
      lost: boxes.reduce((sum, { queue }) => sum + queue.lost, 0),
    },
  };
}

/** The figures of a run in one line. */
export function summaryOf({ sentPerAccepted, fairness, live, drainedPerIdeal, filled, controlCalls }: FleetResult): string {
  return [
    `sent ÷ accepted ${sentPerAccepted.toFixed(3)}`,
    `Jain per minute ${fairness.map((index) => index.toFixed(3)).join(' ')}`,
    `live p50 ${Math.round(live.p50)} ms, p99 ${Math.round(live.p99)} ms, max ${Math.round(live.max)} ms`,
    `drained in ${drainedPerIdeal.toFixed(2)} × the ideal time`,
    `filled per minute ${filled.map((part) => part.toFixed(3)).join(' ')}`,
    `${controlCalls.total} control calls, ${controlCalls.worstSecond} in the worst second`,
  ].join('; ');
}
