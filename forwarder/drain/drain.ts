/**
 * Ships queued readings. If the uplink is idle, a reading is sent at once; readings that arrive during a request form the next batch; a
 * backlog is sent in full batches, several at once. A row is acknowledged on its own SequenceNumber and not before. Of a partly failed
 * request only the failed records are sent again. A request that is refused because of its content is bisected until the poison record
 * is alone (poison-hunt.ts).
 */
import type { Config } from '../../service/config/config.ts';
import { Backoff } from '../../service/pacing/backoff.ts';
import { RepeatLimiter, type Logger } from '../../service/log/log.ts';
import { READ_AHEAD_ROWS, type DrainQueue, type QueuedReading } from '../queue/drain-queue.ts';
import type { ForwarderMetrics } from '../metrics.ts';
import { failureText, SinkError, type FailureClass, type Sink } from '../sink/sink.ts';
import { AggregateShipments } from './aggregates.ts';
import { KeyHolds, type RecordFailure } from './key-holds.ts';
import { PoisonHunt } from './poison-hunt.ts';
import { failureOfRecords, isThrottling } from './record-failures.ts';
import { Retries } from './retries.ts';
import { BATCH_RECORDS, SingleShipments, type Shipment, type Shipments } from './shipments.ts';
import { StreamLimits } from './stream-limits.ts';
import { TestReadings } from './test-readings.ts';
import { TokenBucket } from './token-bucket.ts';
import { UplinkStatus } from './uplink.ts';

/** Below PutRecords' limit of 5 MiB per request, which includes partition keys. */
const BATCH_BYTES = 4.9 * 1024 * 1024;
const REQUESTS_MAX = 4;
const TAKE_ROWS = 2000;
const TAKE_BYTES = 4 * 1024 * 1024;
const RETRY_MIN_MS = 200;
const RETRY_MAX_MS = 5000;
const STOP_WAIT_MS = 2000;

export interface DrainOptions {
  config: Config;
  log: Logger;
  queue: DrainQueue;
  sink: Sink;
  metrics: ForwarderMetrics;
  /** Size that aggregates are filled to, in bytes; smaller in tests. */
  aggregateBytes?: number;
}

interface Batch {
  shipments: Shipment[];
  /** A group of the poison hunt, which is sent alone. */
  hunted: boolean;
}

/** What to do next: send a batch, look again after a time, or look again when an event (an answer, a commit) has arrived. */
type Decision = { kind: 'send'; batch: Batch } | { kind: 'wait'; ms: number } | { kind: 'wait_for_event' };

const WAIT_FOR_EVENT: Decision = { kind: 'wait_for_event' };

export class Drain {
  readonly #options: DrainOptions;
  readonly #shipments: Shipments;
  readonly #retries = new Retries();
  readonly #hunt = new PoisonHunt();
  readonly #holds: KeyHolds;
  readonly #bucket = new TokenBucket();
  readonly #limits: StreamLimits;
  readonly #backoff = new Backoff({ minMs: 500, maxMs: 60_000 });
  readonly #repeats: RepeatLimiter;
  readonly #abort = new AbortController();
  readonly uplink: UplinkStatus;
  readonly metrics: ForwarderMetrics;
  readonly #inFlight = new Set<Promise<void>>();
  readonly #testReadings: TestReadings;
  #taking = false;
  #mayHaveMore = true;
  #pausedAtMs = Number.NEGATIVE_INFINITY;
  #pausedUntilMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #stopped = true;
  #clockAheadMs: number | null = null;
  #lastShippedAtMs: number | null = null;
  /** By the monotonic clock. */
  #lastShippedMs = Number.NEGATIVE_INFINITY;

  constructor(options: DrainOptions) {
    const { config, log, sink, metrics } = options;
    this.#options = options;
    this.#shipments =
      config.KINESIS_MODE === 'aggregated' ? new AggregateShipments(config, options.aggregateBytes) : new SingleShipments(config);
    this.#testReadings = new TestReadings(config, options.queue, log);
    this.#repeats = new RepeatLimiter(log);
    this.#limits = new StreamLimits({ sink, bucket: this.#bucket, log, signal: this.#abort.signal });
    this.#holds = new KeyHolds({
      log,
      queue: options.queue,
      shipments: this.#shipments,
      retries: this.#retries,
      hunt: this.#hunt,
      keySetting: config.KINESIS_PARTITION_KEY,
      testReadings: this.#testReadings,
      onChange: () => this.uplink.keysChanged(),
      onRetry: () => this.#pump(),
    });
    this.uplink = new UplinkStatus(log, this.#holds);
    this.metrics = metrics;
    metrics.refusedKeys = (limit) => this.#holds.longestHeld(limit);
  }

  /** This box's clock minus the stream's; null before the first answer. */
  get clockAheadMs(): number | null {
    return this.#clockAheadMs;
  }

  /** Open shards that sending is paced to; null: not paced by shards. */
  get openShards(): number | null {
    return this.#bucket.shards;
  }

  /** Requests in flight. */
  get underWay(): number {
    return this.#inFlight.size;
  }

  get lastShippedAt(): string | null {
    return this.#lastShippedAtMs === null ? null : new Date(this.#lastShippedAtMs).toISOString();
  }

  start(): void {
    this.#stopped = false;
    this.#options.queue.on('readable', () => {
      this.#mayHaveMore = true;
      this.#pump();
    });
    this.#limits.on('read', () => this.#pump());
    this.#limits.start();
    this.#pump();
  }

  /** Sends everything that can be sent now, and sets the timer for the next look if the decision is to wait. */
  #pump(): void {
    if (this.#stopped) return;
    clearTimeout(this.#timer);
    this.#refill();
    const pauseMs = this.#pausedUntilMs - performance.now();
    if (pauseMs > 0) return this.#pumpAfter(pauseMs);
    for (;;) {
      const next = this.#decide();
      switch (next.kind) {
        case 'send':
          this.#launch(next.batch);
          this.#refill();
          break;
        case 'wait':
          return this.#pumpAfter(next.ms);
        case 'wait_for_event':
          return;
      }
    }
  }

  #pumpAfter(ms: number): void {
    this.#timer = setTimeout(() => this.#pump(), Math.max(1, Math.ceil(ms)));
  }

  #launch(batch: Batch): void {
    this.#bucket.take(
      batch.shipments.length,
      batch.shipments.reduce((sum, { bytes }) => sum + bytes, 0),
    );
    const sending = this.#send(batch).finally(() => {
      this.#inFlight.delete(sending);
      this.#pump();
    });
    this.#inFlight.add(sending);
  }

  #refill(): void {
    if (this.#taking || !this.#mayHaveMore || this.#shipments.size + this.#retries.size + this.#hunt.size >= READ_AHEAD_ROWS)
      return;
    this.#taking = true;
    // Before the rows are requested: a commit meanwhile sets it again.
    this.#mayHaveMore = false;
    void this.#options.queue.take({ maxRows: TAKE_ROWS, maxBytes: TAKE_BYTES, waits: true }).then(
      (rows) => {
        this.#taking = false;
        if (rows.length > 0) this.#mayHaveMore = true;
        this.#shipments.add(this.#holds.admit(this.#testReadings.admit(rows)));
        this.#pump();
      },
      () => {
        // The queue is closed.
        this.#taking = false;
      },
    );
  }

  #decide(): Decision {
    const now = performance.now();
    const { due, nextInMs } = this.#retries.look(now);
    const ready = this.#shipments.ready;
    const waiting = due + ready;
    if (this.#hunt.active && !(this.#hunt.wantsOther && waiting > 0)) return this.#decideHunt();
    if (waiting === 0) return nextInMs === undefined ? WAIT_FOR_EVENT : { kind: 'wait', ms: nextInMs };
    const full = this.#shipments.full || waiting >= BATCH_RECORDS;
    // Less than a batch waits for the request in flight, and is sent in one piece. While the uplink fails, one request at a time probes it.
    const requestsMax = full && this.uplink.current.state === 'ok' ? REQUESTS_MAX : 1;
    if (this.#inFlight.size >= requestsMax) return WAIT_FOR_EVENT;
    const lingerMs = full || due > 0 ? 0 : this.#lingerLeftMs();
    if (lingerMs > 0) return { kind: 'wait', ms: Math.min(lingerMs, nextInMs ?? lingerMs) };
    const wanted = Math.min(waiting, BATCH_RECORDS);
    const wantedBytes = Math.min(BATCH_BYTES, wanted * this.#shipments.recordBytes);
    // Less than a batch is sent with what the bucket has; a backlog waits until the bucket allows a whole batch.
    const bucketMs = full ? this.#bucket.waitMs(wanted, wantedBytes) : this.#bucket.waitMs(1, this.#shipments.recordBytes);
    if (bucketMs > 0) return { kind: 'wait', ms: bucketMs };
    const shipments = this.#compose(now, wanted);
    // All of them were too large, and are dead letters now.
    return shipments.length === 0 ? this.#decide() : { kind: 'send', batch: { shipments, hunted: false } };
  }

  /** A group of the hunt is sent with nothing beside it. */
  #decideHunt(): Decision {
    if (this.#inFlight.size > 0) return WAIT_FOR_EVENT;
    return { kind: 'send', batch: { shipments: this.#hunt.next(), hunted: true } };
  }

  #lingerLeftMs(): number {
    const oldest = this.#shipments.oldestAcceptedAtMs;
    if (oldest === undefined || this.#options.config.KINESIS_LINGER_MS === 0) return 0;
    const age = Date.now() - oldest;
    // A clock that was set back must not delay a reading for hours.
    return age < 0 ? 0 : this.#options.config.KINESIS_LINGER_MS - age;
  }

  #compose(now: number, wanted: number): Shipment[] {
    const allowed = this.#bucket.available();
    const maxRecords = Math.max(1, Math.min(wanted, allowed.records));
    const maxBytes = Math.min(BATCH_BYTES, allowed.bytes);
    const shipments = this.#retries.takeDue(now, { maxRecords, maxBytes });
    const left = shipments.reduce((rest, { bytes }) => rest - bytes, maxBytes);
    if (shipments.length < maxRecords && left > 0)
      for (const shipment of this.#shipments.next({ maxRecords: maxRecords - shipments.length, maxBytes: left })) {
        if (shipment.bytes > this.#limits.maxRecordBytes) this.#tooLarge(shipment);
        else shipments.push(shipment);
      }
    return shipments;
  }

  #tooLarge(shipment: Shipment): void {
    this.#shipments.finished(shipment);
    this.#holds.ended(shipment);
    for (const row of shipment.rows)
      this.#options.queue.bury(
        row.id,
        'record_too_large',
        `${shipment.bytes} bytes including its key; the stream takes at most ${this.#limits.maxRecordBytes}`,
      );
  }

  async #send(batch: Batch): Promise<void> {
    const startedAt = performance.now();
    const { shipments } = batch;
    try {
      const { outcomes, clockAheadMs } = await this.#options.sink.send(
        shipments.map(({ record }) => record),
        this.#abort.signal,
      );
      this.metrics.requestAnswered(performance.now() - startedAt, shipments.length);
      if (clockAheadMs !== undefined) this.#clockAheadMs = Math.round(clockAheadMs);
      const failed: RecordFailure[] = [];
      const shipped: Shipment[] = [];
      for (const [index, shipment] of shipments.entries()) {
        const outcome = outcomes[index];
        if (outcome?.ok === true) {
          shipped.push(shipment);
          if (outcome.shard !== undefined) this.#limits.shardSeen(outcome.shard);
        } else failed.push({ shipment, code: outcome?.code ?? 'NoSequenceNumber' });
      }
      if (failed.length > 0) this.#someFailed(failed, batch, startedAt);
      // After the failures: a key that is refused since this request is so although others are shipped.
      this.#shipped(shipped);
    } catch (error) {
      this.metrics.requestFailed();
      this.#wholeFailure(batch, error, startedAt);
    }
  }

  #shipped(shipments: readonly Shipment[]): void {
    if (shipments.length === 0) return;
    const ids: number[] = [];
    const now = Date.now();
    for (const shipment of shipments) {
      this.#shipments.finished(shipment);
      this.#holds.ended(shipment);
      for (const row of shipment.rows) {
        ids.push(row.id);
        this.metrics.readingShipped(row, now);
      }
    }
    this.#lastShippedAtMs = now;
    this.#lastShippedMs = performance.now();
    this.#options.queue.acknowledge(ids);
    this.#hunt.shipped();
    this.#backoff.reset();
    this.uplink.succeeded();
  }

  /** Only the failed records of a 200 are sent again, after a short pause with jitter that grows with their attempts. */
  #someFailed(failures: readonly RecordFailure[], { shipments }: Batch, startedAt: number): void {
    const now = performance.now();
    // A held key is refused at any pace: its attempts say nothing about that of the others.
    const throttled = failures.filter(({ shipment, code }) => isThrottling(code) && !this.#holds.isHeld(shipment)).length;
    for (const { shipment, code } of failures) {
      this.metrics.recordFailed(code);
      shipment.attempts += 1;
    }
    this.#holds.retry(failures, ({ attempts }) => {
      const spanMs = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(attempts - 1, 10));
      return now + spanMs / 2 + Math.random() * spanMs;
    });
    if (throttled > 0) {
      this.#bucket.lower({ throttled, sent: shipments.length, startedAt });
      this.#limits.readSoon();
    }
    const [first] = failures;
    if (first === undefined || failures.length < shipments.length) return;
    if (failures.every(({ shipment }) => this.#holds.isOnlyKey(shipment, this.#lastShippedMs))) this.uplink.succeeded();
    else this.uplink.failed(failureOfRecords(first.code, first.shipment.record.partitionKey));
  }

  #wholeFailure(batch: Batch, error: unknown, startedAt: number): void {
    if (this.#stopped) return;
    const failure: FailureClass =
      error instanceof SinkError
        ? error.failure
        : { state: 'error', detail: String(error), hint: 'This is a bug in this program: report it with the log.' };
    this.uplink.failed(failure);
    const reason = failureText(failure);
    if (failure.poison === true) {
      const verdict = this.#hunt.refused(batch.shipments, this.#shipments);
      if (verdict.kind === 'bury') this.#bury(verdict.shipment, verdict.row, reason);
      if (verdict.kind !== 'blocked') return;
      this.#repeats.error(
        'blocked',
        { event: 'all_refused', reason },
        'the stream refuses every reading: none is moved to the dead letters until it accepts one',
      );
    } else if (batch.hunted) this.#hunt.putBack(batch.shipments);
    else this.#retries.add(batch.shipments, () => 0);
    this.#pause(failure, startedAt);
    this.#repeats.info(
      `send ${failure.state}`,
      { event: 'send_failed', state: failure.state, reason: failure.detail, attempts: this.#backoff.attempts },
      'request to the stream failed',
    );
    if (failure.rebuild === true) void this.#options.sink.rebuild();
    if (failure.state === 'throttled') this.#limits.readSoon();
  }

  /** Requests that were in flight together fail together: they count as one attempt. */
  #pause(failure: FailureClass, startedAt: number): void {
    const now = performance.now();
    const isSameAttempt = startedAt < this.#pausedAtMs;
    const untilMs = isSameAttempt ? this.#pausedUntilMs : now + this.#backoff.nextDelayMs();
    this.#pausedUntilMs = Math.max(untilMs, now + (failure.retryAfterMs ?? 0));
    if (!isSameAttempt) this.#pausedAtMs = now;
  }

  #bury(shipment: Shipment, row: QueuedReading, reason: string): void {
    this.#shipments.finished(shipment);
    this.#holds.ended(shipment);
    this.#options.log.error(
      { event: 'reading_refused', device: row.device, reason },
      'the stream refuses this reading: moved to the dead letters',
    );
    this.#options.queue.bury(row.id, 'refused_by_stream', reason);
    if (!this.#hunt.active) this.uplink.succeeded();
  }

  /** Waits up to 2 s for requests in flight, then aborts them. What is not acknowledged stays queued. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#limits.stop();
    const limit = setTimeout(() => this.#abort.abort(), STOP_WAIT_MS);
    await Promise.allSettled(this.#inFlight);
    clearTimeout(limit);
    this.#abort.abort();
    this.uplink.stop();
    this.#options.sink.close();
  }
}
