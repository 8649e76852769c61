/**
 * A stream in virtual time: the local stream's limiter per shard, routing by MD5, AWS' limits on control calls, and an outage. Each box
 * gets a sink of its own.
 */
import {
  SinkError,
  type RecordOutcome,
  type SendResult,
  type ShardRange,
  type Sink,
  type SinkRecord,
} from '../../../../forwarder/sink/sink.ts';
import { ShardLimits } from '../../../../local-kinesis/limits.ts';
import { hashKeyOf } from '../../../../local-kinesis/store.ts';
import { TokenBucket } from '../../../../service/pacing/token-bucket.ts';
import type { VirtualClock } from './virtual-clock.ts';

/** Of an account, a second (API reference of the operations). */
const DESCRIBES_PER_SECOND = 20;
const LISTS_PER_SECOND = 1000;
/** A request takes this long, half of it on the way to the stream. */
const LEAST_RTT_MS = 30;
const RTT_SPREAD_MS = 60;
/** A refused connection is noticed after this time. */
const UNREACHABLE_MS = 1000;
const HASHES = 2n ** 128n;

const unreachable = (): SinkError =>
  new SinkError({ state: 'unreachable', detail: 'ECONNREFUSED', hint: 'simulated outage' }, undefined);
const throttled = (): SinkError =>
  new SinkError({ state: 'throttled', detail: 'LimitExceededException', hint: 'simulated' }, undefined);

export class SimulatedStream {
  readonly #clock: VirtualClock;
  #shards: { range: ShardRange; limits: ShardLimits }[] = [];
  readonly #shardOf = new Map<string, { range: ShardRange; limits: ShardLimits }>();
  readonly #describes: TokenBucket;
  readonly #lists: TokenBucket;
  isAway = false;
  sent = 0;
  accepted = 0;
  /** When control calls were made, and how many of them were throttled. */
  readonly controlCalls: number[] = [];
  controlThrottled = 0;
  #generation = 0;

  constructor(clock: VirtualClock, shards: number) {
    this.#clock = clock;
    this.#describes = new TokenBucket(DESCRIBES_PER_SECOND, () => clock.nowMs());
    this.#lists = new TokenBucket(LISTS_PER_SECOND, () => clock.nowMs());
    this.reshard(shards);
  }

  /** Replaces all shards by `count` equal ones. */
  reshard(count: number): void {
    const size = HASHES / BigInt(count);
    this.#generation += 1;
    this.#shards = Array.from({ length: count }, (_, index) => {
      const startHash = BigInt(index) * size;
      const endHash = index === count - 1 ? HASHES - 1n : startHash + size - 1n;
      const range = { id: `shardId-${this.#generation}-${index}`, startHash, endHash };
      return { range, limits: new ShardLimits(() => this.#clock.nowMs()) };
    });
    this.#shardOf.clear();
  }

  #find(key: string): { range: ShardRange; limits: ShardLimits } {
    let shard = this.#shardOf.get(key);
    if (shard === undefined) {
      const hash = hashKeyOf(key);
      shard = this.#shards.find(({ range }) => hash >= range.startHash && hash <= range.endHash);
      if (shard === undefined) throw new Error('no shard covers the key');
      this.#shardOf.set(key, shard);
    }
    return shard;
  }

  #put({ partitionKey, data }: SinkRecord): RecordOutcome {
    const { range, limits } = this.#find(partitionKey);
    this.sent += 1;
    if (!limits.admits(data.length + Buffer.byteLength(partitionKey)))
      return { ok: false, code: 'ProvisionedThroughputExceededException' };
    this.accepted += 1;
    return { ok: true, shard: range.id };
  }

  /** Throws while the stream is away. */
  #check(signal: AbortSignal): void {
    if (this.isAway || signal.aborted) throw unreachable();
  }

  async #reach(signal: AbortSignal): Promise<number> {
    if (this.isAway) await this.#clock.sleep(UNREACHABLE_MS);
    this.#check(signal);
    const halfMs = (LEAST_RTT_MS + this.#clock.random() * RTT_SPREAD_MS) / 2;
    await this.#clock.sleep(halfMs);
    this.#check(signal);
    return halfMs;
  }

  async #control(bucket: TokenBucket, signal: AbortSignal): Promise<void> {
    await this.#clock.sleep(await this.#reach(signal));
    this.controlCalls.push(this.#clock.nowMs());
    if (!bucket.has(1)) {
      this.controlThrottled += 1;
      throw throttled();
    }
    bucket.take(1);
  }

  sink(): Sink {
    return {
      wireBytes: { sent: 0, received: 0 },
      send: async (records: readonly SinkRecord[], signal: AbortSignal): Promise<SendResult> => {
        const halfMs = await this.#reach(signal);
        const outcomes = records.map((record) => this.#put(record));
        await this.#clock.sleep(halfMs);
        this.#check(signal);
        return { outcomes };
      },
      shards: async (signal) => {
        await this.#control(this.#lists, signal);
        return this.#shards.map(({ range }) => range);
      },
      limits: async (signal) => {
        await this.#control(this.#describes, signal);
        return { openShards: this.#shards.length, maxRecordBytes: 1024 * 1024 };
      },
      rebuild: async () => {
        await Promise.resolve();
      },
      close() {},
    };
  }
}
