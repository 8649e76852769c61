/**
 * What the stream takes: its open shards and its largest record. Read at the start and every minute; at once where an answer names a shard
 * that was not known (split, merge, UpdateShardCount) or records are throttled though they were paced.
 */
import { RepeatLimiter, type Logger } from '../../service/log/log.ts';
import type { Sink } from '../sink/sink.ts';
import type { TokenBucket } from './token-bucket.ts';

const EVERY_MS = 60_000;
/** The service allows 20 questions a second an account: no more than this often. */
const SOON_MS = 1000;
const SHARDS_KNOWN_MAX = 10_000;

export interface StreamLimitsOptions {
  sink: Sink;
  bucket: TokenBucket;
  log: Logger;
  signal: AbortSignal;
  onRead: () => void;
}

export class StreamLimits {
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

  /** The shard that took a record. */
  sawShard(shard: string): void {
    if (this.#shards.has(shard)) return;
    if (this.#shards.size >= SHARDS_KNOWN_MAX) this.#shards.clear();
    this.#shards.add(shard);
    this.readSoon();
  }

  /** Something speaks for other limits than those known. */
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
    const { sink, bucket, log, signal, onRead } = this.#options;
    try {
      const { openShards, maxRecordBytes } = await sink.limits(signal);
      if (openShards !== bucket.shards)
        log.info({ event: 'shards', open: openShards }, 'the stream has another number of open shards');
      bucket.setShards(openShards);
      this.maxRecordBytes = maxRecordBytes;
      onRead();
    } catch (error) {
      if (!this.#stopped)
        this.#repeats.info(
          'limits',
          { event: 'limits_unknown', reason: error instanceof Error ? error.message : '' },
          'shards and limits of the stream cannot be read: what was known is assumed, one shard at first',
        );
    }
    this.#reading = false;
    this.#schedule(EVERY_MS);
  }
}
