/**
 * The stream's limits: its open shards and its largest record. They are read at the start and every minute, and soon after an answer
 * names an unknown shard (split, merge, UpdateShardCount) or records are throttled although they were paced.
 */
import { EventEmitter } from 'node:events';
import { RepeatLimiter, type Logger } from '../../service/log/log.ts';
import type { Sink } from '../sink/sink.ts';
import type { TokenBucket } from './token-bucket.ts';

const EVERY_MS = 60_000;
/** DescribeStreamSummary is limited to 20 calls per second and account: a box calls it at most once in this time. */
const SOON_MS = 1000;
const SHARDS_KNOWN_MAX = 10_000;

export interface StreamLimitsOptions {
  sink: Sink;
  bucket: TokenBucket;
  log: Logger;
  signal: AbortSignal;
}

export class StreamLimits extends EventEmitter<{ read: [] }> {
  readonly #options: StreamLimitsOptions;
  readonly #repeats: RepeatLimiter;
  readonly #shards = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #readAt = Number.NEGATIVE_INFINITY;
  #dueAt = Number.POSITIVE_INFINITY;
  #reading = false;
  #stopped = true;
  maxRecordBytes = 1024 * 1024;

  constructor(options: StreamLimitsOptions) {
    super();
    this.#options = options;
    this.#repeats = new RepeatLimiter(options.log);
  }

  start(): void {
    this.#stopped = false;
    this.#schedule(0);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** An answer named this shard. */
  shardSeen(shard: string): void {
    if (this.#shards.has(shard)) return;
    if (this.#shards.size >= SHARDS_KNOWN_MAX) this.#shards.clear();
    this.#shards.add(shard);
    this.readSoon();
  }

  /** The limits may have changed: reads them again, at most once a second. */
  readSoon(): void {
    this.#schedule(Math.max(0, this.#readAt + SOON_MS - performance.now()));
  }

  #schedule(inMs: number): void {
    const at = performance.now() + inMs;
    if (this.#stopped || at >= this.#dueAt) return;
    clearTimeout(this.#timer);
    this.#dueAt = at;
    this.#timer = setTimeout(() => void this.#read(), inMs);
  }

  async #read(): Promise<void> {
    this.#dueAt = Number.POSITIVE_INFINITY;
    if (this.#reading) return;
    this.#reading = true;
    this.#readAt = performance.now();
    const { sink, bucket, log, signal } = this.#options;
    try {
      const { openShards, maxRecordBytes } = await sink.limits(signal);
      if (openShards !== bucket.shards) log.info({ event: 'shards', open: openShards }, 'the number of open shards has changed');
      bucket.setShards(openShards);
      this.maxRecordBytes = maxRecordBytes;
      this.emit('read');
    } catch (error) {
      if (!this.#stopped)
        this.#repeats.info(
          'limits',
          { event: 'limits_unknown', reason: error instanceof Error ? error.message : '' },
          'cannot read the shards and limits of the stream: keeping the last known ones (initially one shard)',
        );
    }
    this.#reading = false;
    this.#schedule(EVERY_MS);
  }
}
