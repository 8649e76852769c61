/**
 * The stream's limits: its open shards and its largest record. Control calls are scarce: AWS grants a whole account few of them, and after
 * an outage every box would call at once. So shards are listed once per process and then hourly, each time at a random moment; soon only if
 * this box uses a whole shard and would send more, which few boxes of a fleet do at a time. Until then, and after a split or merge, what
 * answers say of keys is enough (shard-map.ts). The largest record is read only if a reading is larger than every stream allows.
 */
import { EventEmitter } from 'node:events';
import type { Clock, Timer } from '../../service/pacing/clock.ts';
import { RepeatLimiter, type Logger } from '../../service/log/log.ts';
import { SinkError, type Sink } from '../sink/sink.ts';
import type { ShardPacing } from './shard-pacing.ts';

/** From one reading of the shards to the next, and as much again at most by chance. */
const EVERY_MS = 3_600_000;
const EVERY_SPREAD_MS = 900_000;
/** A first reading, and one because an answer names an unknown shard, is at a random moment within this time. */
const SPREAD_MS = 300_000;
const SOON_MS = 500;
/** What every stream allows: larger records only if its limit was raised. */
const USUAL_RECORD_BYTES = 1024 * 1024;

export interface StreamLimitsOptions {
  sink: Sink;
  pacing: ShardPacing;
  log: Logger;
  signal: AbortSignal;
  clock: Clock;
  /** Shorter in tests. */
  spreadMs?: number | undefined;
}

export class StreamLimits extends EventEmitter<{ read: [] }> {
  readonly #options: StreamLimitsOptions;
  readonly #repeats: RepeatLimiter;
  readonly #spreadMs: number;
  #timer: Timer | undefined;
  #dueAt = Number.POSITIVE_INFINITY;
  #state: 'unasked' | 'waiting' | 'known' = 'unasked';
  #reading = false;
  #readingSize = false;
  #stopped = true;
  /** undefined: not read. */
  #maxRecordBytes: number | undefined;

  constructor(options: StreamLimitsOptions) {
    super();
    this.#options = options;
    this.#spreadMs = options.spreadMs ?? SPREAD_MS;
    this.#repeats = new RepeatLimiter(options.log);
  }

  start(): void {
    this.#stopped = false;
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** The stream answered a request, which may have named a shard that its last list did not have. */
  answered(namedUnknown: boolean): void {
    if (this.#state === 'known') {
      if (namedUnknown) this.#schedule(this.#options.clock.random() * this.#spreadMs);
      return;
    }
    if (this.#state === 'unasked') {
      this.#state = 'waiting';
      this.#schedule(this.#options.clock.random() * this.#spreadMs);
    } else if (this.#options.pacing.isExhausted) this.#schedule(this.#options.clock.random() * SOON_MS);
  }

  /** Whether the stream takes a record of this size; undefined: not known yet, `read` follows. */
  takes(bytes: number): boolean | undefined {
    if (bytes <= (this.#maxRecordBytes ?? USUAL_RECORD_BYTES)) return true;
    if (this.#maxRecordBytes !== undefined) return false;
    void this.#readSize();
    return undefined;
  }

  get maxRecordBytes(): number {
    return this.#maxRecordBytes ?? USUAL_RECORD_BYTES;
  }

  async #readSize(): Promise<void> {
    if (this.#readingSize || this.#stopped) return;
    this.#readingSize = true;
    try {
      this.#maxRecordBytes = (await this.#options.sink.limits(this.#options.signal)).maxRecordBytes;
      this.emit('read');
    } catch (error) {
      // Without the right to ask, the usual limit counts; else the drain asks again.
      if (isRefused(error)) this.#maxRecordBytes = USUAL_RECORD_BYTES;
    }
    this.#readingSize = false;
  }

  #schedule(inMs: number): void {
    const { clock } = this.#options;
    const at = clock.nowMs() + inMs;
    if (this.#stopped || this.#reading || at >= this.#dueAt) return;
    this.#timer?.cancel();
    this.#dueAt = at;
    this.#timer = clock.after(inMs, () => void this.#read());
  }

  async #read(): Promise<void> {
    this.#reading = true;
    this.#dueAt = Number.POSITIVE_INFINITY;
    const { clock } = this.#options;
    const isRead = await this.#readShards();
    this.#reading = false;
    if (isRead) this.#state = 'known';
    // A failed reading is no reason to hurry: every box may have failed.
    this.#schedule((isRead ? EVERY_MS : this.#spreadMs) + clock.random() * (isRead ? EVERY_SPREAD_MS : this.#spreadMs));
    if (isRead) this.emit('read');
  }

  async #readShards(): Promise<boolean> {
    const { sink, pacing, log, signal } = this.#options;
    const before = pacing.openShards;
    try {
      pacing.setShards(await sink.shards(signal));
    } catch (error) {
      if (!isRefused(error)) return this.#unknown(error);
      // The policy of a box of version 1.0 allows only this.
      try {
        const { openShards, maxRecordBytes } = await sink.limits(signal);
        pacing.setCount(openShards);
        this.#maxRecordBytes = maxRecordBytes;
      } catch (second) {
        return this.#unknown(second);
      }
    }
    if (pacing.openShards !== before)
      log.info({ event: 'shards', open: pacing.openShards }, 'the number of open shards has changed');
    return true;
  }

  #unknown(error: unknown): boolean {
    if (!this.#stopped)
      this.#repeats.info(
        'limits',
        { event: 'limits_unknown', reason: error instanceof Error ? error.message : '' },
        'cannot read the shards of the stream: pacing by what its answers say',
      );
    return false;
  }
}

const isRefused = (error: unknown): boolean => error instanceof SinkError && error.failure.state === 'unauthorized';
