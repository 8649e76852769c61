/**
 * Ships what is queued: a reading that finds the uplink idle leaves at once, what arrives meanwhile goes in the next batch, a backlog
 * goes in full batches, several at once. A row is acknowledged on its own SequenceNumber and not before; failed records alone go
 * again; a request that is refused for what is in it is bisected until the poison record is alone.
 */
import type { Config } from '../../service/config.ts';
import { Backoff } from '../../service/backoff.ts';
import { RepeatLimiter, type Logger } from '../../service/log.ts';
import type { DrainQueue } from '../queue/drain-queue.ts';
import { SinkError, type Sink } from '../sink/sink.ts';
import { DrainMetrics } from './drain-metrics.ts';
import { ShipmentBuilder, singleShipment, type Shipment } from './shipments.ts';
import { TokenBucket } from './token-bucket.ts';
import { UplinkStatus } from './uplink.ts';

const BATCH_RECORDS = 500;
/** Below the limit of 5 MiB a request, which counts partition keys too. */
const BATCH_BYTES = 4.9 * 1024 * 1024;
const REQUESTS_MAX = 4;
const BUFFER_ROWS = 4000;
const BUFFER_BYTES = 8 * 1024 * 1024;
const LIMITS_EVERY_MS = 60_000;
/** After so many records refused alone, with none taken between, it is not the records: nothing more is buried. */
const BURIED_IN_A_ROW_MAX = 20;
const STOP_WAIT_MS = 2000;

export interface DrainOptions {
  config: Config;
  log: Logger;
  queue: DrainQueue;
  sink: Sink;
  /** The uplink's state has changed. */
  onChange: () => void;
}

interface Retry {
  shipment: Shipment;
  atMs: number;
}

export class Drain {
  readonly #options: DrainOptions;
  readonly #builder: ShipmentBuilder;
  readonly #bucket = new TokenBucket();
  readonly #backoff = new Backoff({ minMs: 500, maxMs: 60_000 });
  readonly #repeats: RepeatLimiter;
  readonly #abort = new AbortController();
  readonly uplink: UplinkStatus;
  readonly metrics = new DrainMetrics();
  readonly #inFlight = new Set<Promise<void>>();
  #retries: Retry[] = [];
  /** Groups of a refused request, each to be sent by itself. */
  #suspects: Shipment[][] = [];
  #buriedInARow = 0;
  #taking = false;
  #mayHaveMore = true;
  #pausedUntilMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #limitsTimer: NodeJS.Timeout | undefined;
  #maxRecordBytes = 1024 * 1024;
  #stopped = true;
  #clockAheadMs: number | null = null;
  #lastShippedAt: string | null = null;

  constructor(options: DrainOptions) {
    this.#options = options;
    this.#builder = new ShipmentBuilder(options.config);
    this.#repeats = new RepeatLimiter(options.log);
    this.uplink = new UplinkStatus(options.log, options.onChange);
  }

  get clockAheadMs(): number | null {
    return this.#clockAheadMs;
  }

  get lastShippedAt(): string | null {
    return this.#lastShippedAt;
  }

  get #toLocal(): boolean {
    return this.#options.config.KINESIS_TARGET === 'local' || this.#options.config.ALLOW_TEST_READINGS;
  }

  start(): void {
    this.#stopped = false;
    this.#options.queue.onReadable(() => {
      this.#mayHaveMore = true;
      this.#pump();
    });
    void this.#readLimits();
    this.#limitsTimer = setInterval(() => void this.#readLimits(), LIMITS_EVERY_MS);
    this.#pump();
  }

  async #readLimits(): Promise<void> {
    try {
      const { openShards, maxRecordBytes } = await this.#options.sink.limits(this.#abort.signal);
      if (openShards !== this.#bucket.shards) this.#options.log.info({ event: 'shards', open: openShards }, 'the stream has another number of open shards');
      this.#bucket.setShards(openShards);
      this.#maxRecordBytes = maxRecordBytes;
      this.#pump();
    } catch (error) {
      if (!this.#stopped) this.#repeats.info('limits', { event: 'limits_unknown', reason: error instanceof Error ? error.message : '' }, 'shards and limits of the stream cannot be read: one shard is assumed');
    }
  }

  #later(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#pump(), Math.max(1, ms));
  }

  /** Does what can be done now, and sees to it that it is called again. */
  #pump(): void {
    if (this.#stopped) return;
    const now = performance.now();
    if (now < this.#pausedUntilMs) return this.#later(this.#pausedUntilMs - now);
    this.#refill();
    while (this.#inFlight.size < REQUESTS_MAX) {
      const batch = this.#nextBatch();
      if (batch === undefined) break;
      const sending = this.#send(batch).finally(() => {
        this.#inFlight.delete(sending);
        this.#pump();
      });
      this.#inFlight.add(sending);
      this.#refill();
    }
  }

  #refill(): void {
    if (this.#taking || !this.#mayHaveMore || this.#builder.size + this.#retries.length >= BUFFER_ROWS / 2) return;
    this.#taking = true;
    // Before the question: a commit that comes meanwhile sets it again.
    this.#mayHaveMore = false;
    void this.#options.queue.take({ maxRows: BUFFER_ROWS / 2, maxBytes: BUFFER_BYTES }).then(
      (rows) => {
        this.#taking = false;
        if (rows.length > 0) this.#mayHaveMore = true;
        const test = this.#toLocal ? [] : rows.filter(({ source }) => source !== 'real');
        if (test.length > 0) {
          this.#repeats.warn('test', { event: 'test_readings_kept', count: test.length }, 'simulated or replayed readings do not leave for this target (ALLOW_TEST_READINGS)');
          this.#options.queue.giveUp(test.map(({ id }) => id), 'test_reading');
        }
        this.#builder.add(test.length > 0 ? rows.filter(({ source }) => source === 'real') : rows);
        this.#pump();
      },
      () => {
        this.#taking = false;
      },
    );
  }

  /** The next request's shipments, or undefined where it is not the time; then a timer is set where time is what is missing. */
  #nextBatch(): Shipment[] | undefined {
    // Suspects go one group at a time, with nothing beside them.
    if (this.#suspects.length > 0) return this.#inFlight.size === 0 ? this.#suspects.shift() : undefined;
    const now = performance.now();
    const due = this.#retries.filter(({ atMs }) => atMs <= now);
    const waiting = due.length + this.#builder.size;
    const nextRetryMs = this.#retries.reduce((least, { atMs }) => (atMs > now ? Math.min(least, atMs - now) : least), Number.POSITIVE_INFINITY);
    if (waiting === 0) {
      if (Number.isFinite(nextRetryMs)) this.#later(nextRetryMs);
      return undefined;
    }
    const full = waiting >= BATCH_RECORDS;
    // Only full batches go beside one that is under way: what is less waits for it and goes together.
    if (this.#inFlight.size > 0 && !full) return undefined;
    const lingerMs = this.#lingerLeft();
    if (!full && lingerMs > 0 && due.length === 0) {
      this.#later(lingerMs);
      return undefined;
    }
    const wanted = Math.min(waiting, BATCH_RECORDS);
    const allowed = this.#bucket.available(wanted);
    if (allowed < wanted && (allowed === 0 || full)) {
      this.#later(this.#bucket.waitMs(wanted));
      return undefined;
    }
    return this.#compose(due, allowed);
  }

  #lingerLeft(): number {
    const oldest = this.#builder.oldestAcceptedAtMs;
    if (oldest === undefined || this.#options.config.KINESIS_LINGER_MS === 0) return 0;
    const age = Date.now() - oldest;
    // A clock that was set back must not hold a reading for hours.
    return age < 0 ? 0 : this.#options.config.KINESIS_LINGER_MS - age;
  }

  #compose(due: readonly Retry[], maxRecords: number): Shipment[] | undefined {
    const batch: Shipment[] = [];
    let bytes = 0;
    const used = new Set<Retry>();
    for (const retry of due) {
      if (batch.length >= maxRecords || (batch.length > 0 && bytes + retry.shipment.bytes > BATCH_BYTES)) break;
      batch.push(retry.shipment);
      bytes += retry.shipment.bytes;
      used.add(retry);
    }
    if (used.size > 0) this.#retries = this.#retries.filter((retry) => !used.has(retry));
    if (batch.length < maxRecords && bytes < BATCH_BYTES)
      for (const shipment of this.#builder.next({ maxRecords: maxRecords - batch.length, maxBytes: BATCH_BYTES - bytes })) {
        if (shipment.bytes > this.#maxRecordBytes) this.#tooLarge(shipment);
        else {
          batch.push(shipment);
          bytes += shipment.bytes;
        }
      }
    if (batch.length === 0) return undefined;
    this.#bucket.take(batch.length, bytes);
    return batch;
  }

  #tooLarge(shipment: Shipment): void {
    this.#builder.settled(shipment);
    for (const row of shipment.rows) this.#options.queue.bury(row.id, 'record_too_large', `${shipment.bytes} bytes with its key; the stream takes ${this.#maxRecordBytes}`);
  }

  async #send(batch: Shipment[]): Promise<void> {
    const startedAt = performance.now();
    try {
      const { outcomes, clockAheadMs } = await this.#options.sink.send(batch.map(({ record }) => record), this.#abort.signal);
      this.metrics.request(performance.now() - startedAt, batch.length);
      if (clockAheadMs !== undefined) this.#clockAheadMs = Math.round(clockAheadMs);
      const failed: Shipment[] = [];
      const shipped: Shipment[] = [];
      let code = '';
      for (const [index, shipment] of batch.entries()) {
        const outcome = outcomes[index];
        if (outcome?.ok === true) shipped.push(shipment);
        else {
          code = outcome?.code ?? 'missing';
          this.metrics.recordFailed(code);
          failed.push(shipment);
        }
      }
      this.#shipped(shipped);
      if (failed.length > 0) this.#retrySoon(failed, code, shipped.length > 0);
      else this.#succeeded();
    } catch (error) {
      this.metrics.requestFailed();
      this.#wholeFailure(batch, error);
    }
  }

  #succeeded(): void {
    this.#backoff.reset();
    this.uplink.succeeded();
  }

  #shipped(shipments: readonly Shipment[]): void {
    if (shipments.length === 0) return;
    const ids: number[] = [];
    const now = Date.now();
    for (const shipment of shipments) {
      this.#builder.settled(shipment);
      for (const row of shipment.rows) {
        ids.push(row.id);
        this.metrics.latency(now - row.acceptedAtMs);
      }
    }
    this.#buriedInARow = 0;
    this.#lastShippedAt = new Date(now).toISOString();
    this.#options.queue.acknowledge(ids);
  }

  /** Failed records of a 200 go again alone, after a short jittered pause that grows with their attempts. */
  #retrySoon(failed: readonly Shipment[], code: string, some: boolean): void {
    const now = performance.now();
    for (const shipment of failed) {
      shipment.attempts += 1;
      const spanMs = Math.min(5000, 200 * 2 ** Math.min(shipment.attempts - 1, 10));
      this.#retries.push({ shipment, atMs: now + spanMs / 2 + Math.random() * spanMs });
    }
    const throttled = code === 'ProvisionedThroughputExceededException' || code === 'ThrottlingException';
    if (throttled) {
      if (!some) this.uplink.failed({ state: 'throttled', reason: `throttled: ${code}`, hint: 'Nothing to do: it is tried again slower. If it lasts, give the stream more shards, or use KINESIS_MODE=aggregated.' });
    } else if (/KMS|AccessDenied/.test(code)) this.uplink.failed({ state: code.startsWith('KMS') ? 'kms_error' : 'unauthorized', reason: `${code.startsWith('KMS') ? 'kms_error' : 'unauthorized'}: ${code}`, hint: 'Check the key of the stream and its policy for this user.' });
    else if (!some) this.uplink.failed({ state: 'error', reason: `error: ${code}`, hint: 'The service is in trouble: it is tried again.' });
    if (some) this.uplink.succeeded();
  }

  #wholeFailure(batch: Shipment[], error: unknown): void {
    if (this.#stopped) return;
    const failure = error instanceof SinkError ? error.failure : { state: 'error' as const, reason: `error: ${String(error)}`, hint: '' };
    this.uplink.failed(failure);
    if (failure.poison === true && this.#isolate(batch, failure.reason)) return;
    const now = performance.now();
    this.#retries.unshift(...batch.map((shipment) => ({ shipment, atMs: now })));
    this.#pausedUntilMs = now + Math.max(failure.retryAfterMs ?? 0, this.#backoff.nextDelayMs());
    this.#repeats.info(`send ${failure.state}`, { event: 'send_failed', state: failure.state, reason: failure.reason, attempts: this.#backoff.attempts }, 'a request to the stream failed');
    if (failure.rebuild === true) void this.#options.sink.rebuild();
    if (failure.state === 'throttled') void this.#readLimits();
  }

  /** Halves a refused request until its poison record is alone; false where nothing more may be buried. */
  #isolate(batch: Shipment[], reason: string): boolean {
    const only = batch[0];
    if (only === undefined) return true;
    if (batch.length > 1) {
      const middle = Math.ceil(batch.length / 2);
      this.#suspects.unshift(batch.slice(0, middle), batch.slice(middle));
      return true;
    }
    if (only.rows.length > 1) {
      // An aggregate is taken apart: its readings go one by one, in order.
      this.#suspects.unshift(...only.rows.map((row) => [singleShipment(row, this.#options.config)]));
      return true;
    }
    if (this.#buriedInARow >= BURIED_IN_A_ROW_MAX) return false;
    this.#buriedInARow += 1;
    this.#builder.settled(only);
    const row = only.rows[0];
    if (row !== undefined) {
      this.#options.log.error({ event: 'reading_refused', device: row.device, reason }, 'the stream refuses this reading: it went to the dead letters');
      this.#options.queue.bury(row.id, 'refused_by_stream', reason);
    }
    this.uplink.succeeded();
    return true;
  }

  /** Waits a little for what is under way, then aborts it; what is not acknowledged stays queued. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    clearTimeout(this.#timer);
    clearInterval(this.#limitsTimer);
    const limit = setTimeout(() => this.#abort.abort(), STOP_WAIT_MS);
    await Promise.allSettled(this.#inFlight);
    clearTimeout(limit);
    this.#abort.abort();
    this.#options.sink.close();
  }
}
