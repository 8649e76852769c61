/** A real queue, drain and sink on a local stream with fault hooks. A file shares the stream's process; each bench has its own stream. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { CreateStreamCommand } from '@aws-sdk/client-kinesis';
import { readStream } from '../../../../cloud/reader/read-stream.ts';
import { Drain } from '../../../../forwarder/drain/drain.ts';
import { ForwarderMetrics } from '../../../../forwarder/metrics.ts';
import { Queue } from '../../../../forwarder/queue/queue.ts';
import { KinesisSink, type SinkTimeouts } from '../../../../forwarder/sink/kinesis-sink.ts';
import type { FaultSettings } from '../../../../contract/fault-settings.ts';
import { eventually } from '../../../support/eventually.ts';
import type { LocalStream } from '../../../support/local-stream.ts';
import { tempDir } from '../../../support/temp-dir.ts';
import { testConfig, testLog } from '../../../support/test-config.ts';

export interface StoredReading {
  seq: number;
  device: string;
}

export interface DrainBench {
  stream: LocalStream;
  streamName: string;
  queue: Queue;
  drain: Drain;
  /** Queues readings seq 1, 2, 3…, spread over the devices, each with this text. */
  add(count: number, devices?: number, text?: string): void;
  /** Queues readings of one device, with the next seqs. */
  addTo(device: string, count: number, text?: string): void;
  faults(settings: FaultSettings): Promise<void>;
  /** Waits until this many rows are shipped or dead, and the ledger balances. */
  settled(count: number): Promise<void>;
  /** All readings in the stream, aggregates split, in the order of each shard. */
  read(): Promise<StoredReading[]>;
}

export interface BenchOptions {
  environment?: Record<string, string>;
  shards?: number;
  timeouts?: SinkTimeouts;
  aggregateBytes?: number;
  /** Settings of another stream or target. */
  elsewhere?: Record<string, string>;
}

let streams = 0;

/** Starts a bench on a new stream. It stops with the test, or by `stop`. */
export async function startDrain(
  t: Pick<TestContext, 'after'>,
  stream: LocalStream,
  { environment = {}, shards = 1, timeouts, aggregateBytes, elsewhere = {} }: BenchOptions = {},
): Promise<DrainBench & { stop(): Promise<void> }> {
  const streamName = `stream-${(streams += 1)}`;
  await stream.client.send(new CreateStreamCommand({ StreamName: streamName, ShardCount: shards }));
  const config = testConfig({
    DATA_DIR: tempDir(t),
    LOCAL_KINESIS_PORT: String(stream.port),
    KINESIS_STREAM: streamName,
    ...environment,
    ...elsewhere,
  });
  const log = testLog(config);
  const queue = new Queue(config);
  await queue.start();
  const drain = new Drain({
    config,
    log,
    queue,
    sink: new KinesisSink(config, log, timeouts),
    metrics: new ForwarderMetrics(),
    controlSpreadMs: 50,
    ...(aggregateBytes === undefined ? {} : { aggregateBytes }),
  });
  drain.start();
  const stop = async (): Promise<void> => {
    await stream.faults({});
    await drain.stop();
    await queue.stop();
  };
  t.after(stop);
  let seq = 0;
  const append = (count: number, deviceOf: (seq: number) => string, text: string): void => {
    const seqs = Array.from({ length: count }, () => (seq += 1));
    queue.append({
      rows: {
        data: seqs.map((n) => JSON.stringify({ seq: n, device: deviceOf(n), text })),
        devices: seqs.map(deviceOf),
        sources: seqs.map(() => 0),
      },
      dead: [],
      watermarks: [],
    });
  };
  return {
    stream,
    streamName,
    queue,
    drain,
    stop,
    faults: async (settings) => await stream.faults(settings),
    add(count, devices = 1, text = '') {
      append(count, (n) => `d${n % devices}`, text);
    },
    addTo(device, count, text = '') {
      append(count, () => device, text);
    },
    async settled(count) {
      await eventually(() => queue.state.ledger.shipped + queue.state.ledger.dead === count && queue.depth === 0, {
        withinMs: 60_000,
        what: `${count} shipped or dead; ${JSON.stringify(queue.state.ledger)}, ${drain.uplink.current.detail}`,
      });
      const { accepted, shipped, queued, dead, evicted } = queue.state.ledger;
      assert.equal(accepted, shipped + queued + dead + evicted);
    },
    async read() {
      const readings: StoredReading[] = [];
      for await (const { data } of readStream(stream.client, {
        stream: streamName,
        from: 'oldest',
        untilCaughtUp: true,
        pollMs: 5,
      }))
        readings.push(JSON.parse(data.toString()) as StoredReading);
      return readings;
    },
  };
}

/** Asserts that the readings of each device are in the order of their seq. */
export function assertOrderOfDevices(readings: readonly StoredReading[]): void {
  const last = new Map<string, number>();
  for (const { device, seq } of readings) {
    const before = last.get(device) ?? 0;
    assert.ok(seq > before, `${device}: ${seq} after ${before}`);
    last.set(device, seq);
  }
}

/** Records that failed inside answered requests, by code. */
export function failedRecords(drain: Drain): number {
  const metric = drain.metrics.read(undefined).find(({ name }) => name === 'hr_gateway_records_failed_total');
  return metric !== undefined && 'values' in metric ? metric.values.reduce((sum, { value }) => sum + value, 0) : 0;
}
