/**
 * Ships queued readings. If the uplink is idle, a reading is sent at once; readings that arrive during a request form the next batch; a
 * backlog is sent in larger batches, several at once, paced to what each shard grants this box (shard-pacer.ts). In `records` mode new
 * readings go before a backlog. A row is acknowledged on its own SequenceNumber and not before. Of a partly failed request only the failed
 * records are sent again. While requests fail as a whole, one record at a time is tried (outage.ts). A request that is refused because of
 * its content is bisected until the poison record is alone (poison-hunt.ts).
 */
import type { Config } from '../../service/config/config.ts';
import { systemClock, type Clock, type Timer } from '../../service/pacing/clock.ts';
import { RepeatLimiter, type Logger } from '../../service/log/log.ts';
import type { DrainQueue, QueuedReading } from '../queue/drain-queue.ts';
import type { ForwarderMetrics } from '../metrics.ts';
import { failureText, SinkError, type FailureClass, type RecordOutcome, type Sink } from '../sink/sink.ts';
import { AggregateShipments } from './aggregates.ts';
import { BatchComposer } from './batch-composer.ts';
import { KeyHolds, type RecordFailure } from './key-holds.ts';
import { Outage } from './outage.ts';
import { PoisonHunt } from './poison-hunt.ts';
import { failureOfRecords, isThrottling } from './record-failures.ts';
import { Retries } from './retries.ts';
import { ShardPacing } from './shard-pacing.ts';
import { BATCH_RECORDS, bytesOf, type Shipment, type Shipments } from './shipments.ts';
import { SingleShipments } from './single-shipments.ts';
import { StreamLimits } from './stream-limits.ts';
import { Supply } from './supply.ts';
import { TestReadings } from './test-readings.ts';
import { UplinkBudget } from './uplink-budget.ts';
import { UplinkStatus } from './uplink.ts';

const REQUESTS_MAX = 4;
const RETRY_MIN_MS = 200;
const RETRY_MAX_MS = 2000;
const STOP_WAIT_MS = 2000;
/** After an outage or a start, readings that waited for longer are backlog, and new ones go before them. */
const BACKLOG_AGE_MS = 8000;
/** New readings that wait for longer, because the stream takes less than arrives, are backlog, too: newer ones go before them. */
const LATE_MS = 60_000;
/** A shard that refuses all records of a small request is nothing to report while others were stored within this time. */
const STORED_LATELY_MS = 10_000;
/** If requests in flight are why nothing could be sent, and none is, look again. */
const LOOK_AGAIN_MS = 50;
export interface DrainOptions {
  config: Config;
  log: Logger;
  queue: DrainQueue;
  sink: Sink;
  metrics: ForwarderMetrics;
  /** Size that aggregates are filled to, in bytes; smaller in tests. */
  aggregateBytes?: number;
  /** The time to work by; another one in simulations. */
  clock?: Clock;
  /** Within which time control calls are spread; shorter in tests. */
  controlSpreadMs?: number;
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
  readonly #clock: Clock;
  readonly #pacing: ShardPacing;
  readonly #shipments: Shipments;
  readonly #supply: Supply;
  readonly #retries = new Retries();
  readonly #hunt = new PoisonHunt();
  readonly #holds: KeyHolds;
  readonly #limits: StreamLimits;
  readonly #outage: Outage;
  readonly #composer: BatchComposer;
  readonly #repeats: RepeatLimiter;
  readonly #abort = new AbortController();
  readonly budget: UplinkBudget;
  readonly uplink: UplinkStatus;
  readonly metrics: ForwarderMetrics;
  readonly #inFlight = new Set<Promise<void>>();
  readonly #testReadings: TestReadings;
  #timer: Timer | undefined;
  #stopped = true;
  #clockAheadMs: number | null = null;
  #lastShippedAtMs: number | null = null;
  /** By the monotonic clock. */
  #lastShippedMs = Number.NEGATIVE_INFINITY;

  constructor(options: DrainOptions) {
    const { config, log, sink, metrics, queue, clock = systemClock } = options;
    this.#options = options;
    this.#clock = clock;
    this.#pacing = new ShardPacing(clock);
    this.#shipments =
      config.KINESIS_MODE === 'aggregated'
        ? new AggregateShipments(config, this.#pacing, options.aggregateBytes)
        : new SingleShipments(config, this.#pacing);
    this.#testReadings = new TestReadings(config, queue, log);
    this.#repeats = new RepeatLimiter(log);
    this.#outage = new Outage(clock);
    this.budget = new UplinkBudget(clock, config.UPLINK_MAX_BYTES_PER_SECOND, () => sink.wireBytes);
    this.#limits = new StreamLimits({
      sink,
      pacing: this.#pacing,
      log,
      signal: this.#abort.signal,
      clock,
      spreadMs: options.controlSpreadMs,
    });
    this.#holds = new KeyHolds({
      log,
      queue,
      shipments: this.#shipments,
      retries: this.#retries,
      hunt: this.#hunt,
      keySetting: config.KINESIS_PARTITION_KEY,
      clock,
      testReadings: this.#testReadings,
      onChange: () => this.uplink.keysChanged(),
      onHeld: (shipment) => {
        if (this.#holds.isOnlyKey(shipment, this.#lastShippedMs)) shipment.pacer?.forgive();
      },
      onRetry: () => this.#pump(),
    });
    this.#supply = new Supply({
      queue,
      shipments: this.#shipments,
      holds: this.#holds,
      testReadings: this.#testReadings,
      heldElsewhere: () => this.#retries.size + this.#hunt.size,
      onRows: () => this.#pump(),
    });
    this.#composer = new BatchComposer({
      clock,
      queue,
      shipments: this.#shipments,
      retries: this.#retries,
      holds: this.#holds,
      pacing: this.#pacing,
      limits: this.#limits,
      budget: this.budget,
    });
    this.uplink = new UplinkStatus(log, this.#holds, clock);
    this.metrics = metrics;
    metrics.refusedKeys = (limit) => this.#holds.longestHeld(limit);
    metrics.wireBytes = () => sink.wireBytes;
    metrics.wireLimit = config.UPLINK_MAX_BYTES_PER_SECOND;
  }

  /** This box's clock minus the stream's; null before the first answer. */
  get clockAheadMs(): number | null {
    return this.#clockAheadMs;
  }

  /** Open shards as last read; null: the stream has none, and is not paced. */
  get openShards(): number | null {
    return this.#pacing.openShards;
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
    this.#supply.start();
    this.#limits.on('read', () => this.#regroup());
    this.#limits.start();
    this.#pump();
  }

  #regroup(): void {
    this.#shipments.regroup();
    this.#pump();
  }

  /** Sends everything that can be sent now, and sets the timer for the next look if the decision is to wait. */
  #pump(): void {
    if (this.#stopped) return;
    this.#timer?.cancel();
    this.#supply.refill();
    const { pauseMs } = this.#outage;
    if (pauseMs > 0) return this.#pumpAfter(pauseMs);
    for (;;) {
      const next = this.#decide();
      switch (next.kind) {
        case 'send':
          this.#launch(next.batch);
          this.#supply.refill();
          break;
        case 'wait':
          return this.#pumpAfter(next.ms);
        case 'wait_for_event':
          return;
      }
    }
  }

  #pumpAfter(ms: number): void {
    this.#timer = this.#clock.after(Math.max(1, Math.ceil(ms)), () => this.#pump());
  }

  #launch(batch: Batch): void {
    const { shipments } = batch;
    const end = this.budget.begin(shipments.length, bytesOf(shipments));
    const sending = this.#send(batch).finally(() => {
      end();
      this.#inFlight.delete(sending);
      this.#pump();
    });
    this.#inFlight.add(sending);
  }

  #decide(): Decision {
    const now = this.#clock.nowMs();
    const { due, nextInMs } = this.#retries.look(now);
    const waiting = due + this.#shipments.ready;
    if (this.#hunt.active && !(this.#hunt.wantsOther && waiting > 0)) return this.#decideHunt();
    if (waiting === 0) return nextInMs === undefined ? WAIT_FOR_EVENT : { kind: 'wait', ms: nextInMs };
    const isProbe = this.#outage.isOn;
    const full = this.#shipments.full || waiting >= BATCH_RECORDS;
    // Less than a batch waits for the request in flight, and is sent in one piece. While the uplink fails, one request at a time probes it.
    const requestsMax = full && !isProbe && this.uplink.current.state === 'ok' ? REQUESTS_MAX : 1;
    if (this.#inFlight.size >= requestsMax) return WAIT_FOR_EVENT;
    const lingerMs = full || due > 0 ? 0 : this.#lingerLeftMs();
    const waitMs = Math.max(lingerMs, this.budget.waitMs(), isProbe ? 0 : this.#composer.shardsWaitMs());
    if (waitMs > 0) return { kind: 'wait', ms: Math.min(waitMs, nextInMs ?? waitMs) };
    if (!isProbe) this.#setLateBehind();
    const shipments = this.#composer.compose(isProbe);
    if (shipments.length > 0) return { kind: 'send', batch: { shipments, hunted: false } };
    // What could be sent waits for what is in flight, or was too large.
    return this.#inFlight.size > 0 ? WAIT_FOR_EVENT : { kind: 'wait', ms: LOOK_AGAIN_MS };
  }

  /** A group of the hunt is sent with nothing beside it. */
  #decideHunt(): Decision {
    if (this.#inFlight.size > 0) return WAIT_FOR_EVENT;
    const budgetMs = this.budget.waitMs();
    if (budgetMs > 0) return { kind: 'wait', ms: budgetMs };
    const shipments = this.#hunt.next();
    for (const { pacer, bytes } of shipments) pacer?.take(bytes);
    return { kind: 'send', batch: { shipments, hunted: true } };
  }

  #lingerLeftMs(): number {
    const oldest = this.#shipments.oldestAcceptedAtMs;
    if (oldest === undefined || this.#options.config.KINESIS_LINGER_MS === 0) return 0;
    const age = this.#clock.dateMs() - oldest;
    // A clock that was set back must not delay a reading for hours.
    return age < 0 ? 0 : this.#options.config.KINESIS_LINGER_MS - age;
  }

  /** New readings that could not be sent for some time make room for newer ones. */
  #setLateBehind(afterMs = LATE_MS): void {
    const oldest = this.#shipments.liveSize > 0 ? this.#shipments.oldestAcceptedAtMs : undefined;
    if (this.#shipments.keepsOrder || oldest === undefined || this.#clock.dateMs() - oldest < afterMs) return;
    const sinceMs = this.#clock.dateMs() - BACKLOG_AGE_MS;
    this.#retries.setBehind(sinceMs);
    this.#supply.goLive(sinceMs);
  }

  async #send(batch: Batch): Promise<void> {
    const startedAt = this.#clock.nowMs();
    const { shipments } = batch;
    try {
      const { outcomes, clockAheadMs } = await this.#options.sink.send(
        shipments.map(({ record }) => record),
        this.#abort.signal,
      );
      this.#shipments.landed(shipments);
      this.metrics.requestAnswered(this.#clock.nowMs() - startedAt, shipments.length);
      if (clockAheadMs !== undefined) this.#clockAheadMs = Math.round(clockAheadMs);
      const failed: RecordFailure[] = [];
      const shipped: Shipment[] = [];
      for (const [index, shipment] of shipments.entries()) {
        const outcome = outcomes[index];
        if (outcome?.ok === true) shipped.push(shipment);
        else failed.push({ shipment, code: outcome?.code ?? 'NoSequenceNumber' });
      }
      const isReturn = shipped.length > 0 && this.#outage.ended();
      if (isReturn) this.#pacing.restart();
      this.#pace(shipments, outcomes, startedAt);
      if (failed.length > 0) this.#someFailed(failed, batch);
      // After the failures: a key that is refused since this request is so although others are shipped.
      this.#shipped(shipped, isReturn);
    } catch (error) {
      this.#shipments.landed(shipments);
      this.metrics.requestFailed();
      this.#wholeFailure(batch, error, startedAt);
    }
  }

  #pace(shipments: readonly Shipment[], outcomes: readonly RecordOutcome[], startedAt: number): void {
    const learned = this.#pacing.answered(shipments, outcomes, startedAt, (shipment) => this.#holds.isHeld(shipment));
    this.#limits.answered(learned.namedUnknown);
    if (learned.isMoved) this.#shipments.regroup();
  }

  #shipped(shipments: readonly Shipment[], isReturn: boolean): void {
    if (shipments.length === 0) return;
    const ids: number[] = [];
    const now = this.#clock.dateMs();
    for (const shipment of shipments) {
      this.#shipments.finished(shipment);
      this.#holds.ended(shipment);
      for (const row of shipment.rows) {
        ids.push(row.id);
        this.metrics.readingShipped(row, now);
      }
    }
    const isFirst = this.#lastShippedAtMs === null;
    this.#lastShippedAtMs = now;
    this.#lastShippedMs = this.#clock.nowMs();
    this.#options.queue.acknowledge(ids);
    this.#hunt.shipped();
    this.uplink.succeeded();
    if (isReturn || isFirst) this.#setLateBehind(BACKLOG_AGE_MS);
  }

  /** Only the failed records of a 200 are sent again, after a short pause with jitter that grows with their attempts. */
  #someFailed(failures: readonly RecordFailure[], { shipments }: Batch): void {
    const now = this.#clock.nowMs();
    for (const { shipment, code } of failures) {
      this.metrics.recordFailed(code);
      shipment.attempts += 1;
    }
    this.#holds.retry(failures, ({ attempts }) => {
      const spanMs = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(attempts - 1, 10));
      return now + spanMs / 2 + this.#clock.random() * spanMs;
    });
    const [first] = failures;
    if (first === undefined || failures.length < shipments.length) return;
    if (failures.every(({ shipment }) => this.#holds.isOnlyKey(shipment, this.#lastShippedMs))) this.uplink.succeeded();
    else if (!isThrottling(first.code) || now - this.#lastShippedMs > STORED_LATELY_MS)
      this.uplink.failed(failureOfRecords(first.code, first.shipment.record.partitionKey));
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
    else this.#retries.add(this.#shipments.putBack(batch.shipments), () => 0);
    if (failure.state === 'throttled') this.#pacing.refused(batch.shipments, startedAt);
    this.#outage.failed(failure, startedAt);
    this.#repeats.info(
      `send ${failure.state}`,
      { event: 'send_failed', state: failure.state, reason: failure.detail, attempts: this.#outage.attempts },
      'request to the stream failed',
    );
    if (failure.rebuild === true) void this.#options.sink.rebuild();
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
    this.#timer?.cancel();
    this.#limits.stop();
    const limit = this.#clock.after(STOP_WAIT_MS, () => this.#abort.abort());
    await Promise.allSettled(this.#inFlight);
    limit.cancel();
    this.#abort.abort();
    this.uplink.stop();
    this.#options.sink.close();
  }
}
