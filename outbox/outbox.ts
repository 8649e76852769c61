/**
 * The outbox: a sequencer's side of the delivery plane. It numbers readings, holds each until the forwarder confirms that it is stored,
 * and sends them in order (design section 1). With a folder it spills to disk; without one it holds everything in memory, never drops,
 * and its producer bounds what it adds. It owns the runs of earlier processes in its folder too, and delivers them first.
 */
import { randomBytes } from 'node:crypto';
import { EventEmitter } from 'node:events';
import type { DropCause, NumberedReading, Stored } from '../contract/delivery.ts';
import type { BridgeStatus } from '../contract/bridge-status.ts';
import type { Metric } from '../contract/metrics.ts';
import type { MessageRefusals } from '../service/mqtt/refused-messages.ts';
import { RepeatLimiter, type Logger } from '../service/log/log.ts';
import type { MessageHandler } from '../service/mqtt/subscription-routes.ts';
import type { CheckReport } from '../service/health/check-report.ts';
import { SingleTimer } from '../service/pacing/single-timer.ts';
import { DiskErrors } from './disk-errors.ts';
import { EarlierRuns, type EarlierRun } from './earlier-runs.ts';
import { HeldRun } from './held-run.ts';
import type { DroppedReadings } from './held-run-options.ts';
import { Losses } from './losses.ts';
import { deliveryCheck, outboxCheck, outboxMetrics, setAsideChecks } from './outbox-report.ts';
import { OutboxRun } from './outbox-run.ts';
import { SetAsideFiles } from './set-aside-files.ts';
import { lineOf, type ReadingSink, type ReadingSinkEvents, type UnnumberedReading } from './reading-sink.ts';
import type { DeliveryLine } from './sender.ts';
import { Sequencer } from './sequencer.ts';
import { nodeDisk, type SpillDisk } from './spill-disk.ts';
import { fileBytesFor, RunFiles } from './spill-files.ts';

export interface SpillOptions {
  /** Created when it is needed. */
  folder: string;
  memoryMax: number;
  maxBytes: number;
  /** For tests: the disk, how soon a failed operation is retried, and when an unreadable place counts as damaged. */
  disk?: SpillDisk;
  diskRetryMs?: number;
  salvageAfterMs?: number;
}

export interface OutboxOptions {
  /** Name of this box. */
  gateway: string;
  line: DeliveryLine;
  log: Logger;
  /** Counts messages of the forwarder that do not match the contract. */
  refused?: MessageRefusals | undefined;
  /** Readings ahead of the watermark. */
  window: number;
  /** Where to spill, and how much memory and disk may be used; left out: memory only. */
  spill?: SpillOptions;
  /** Readings of any run of ours were dropped before they were stored, with those that can still be read. */
  onDropped?: (cause: DropCause, readings: readonly NumberedReading[]) => void;
}

const TICK_MS = 50;
/** Spilling starts when nothing was stored for this long. */
const NOTHING_STORED_MS = 5000;
const STOP_FLUSH_MS = 3000;
/** Runs of earlier processes that are read from disk at once, oldest first, so that many of them do not fill memory. */
const RECOVERED_AT_ONCE = 3;

export class Outbox extends EventEmitter<ReadingSinkEvents> implements ReadingSink {
  readonly run = randomBytes(8).toString('hex');
  readonly #options: OutboxOptions;
  readonly #repeats: RepeatLimiter;
  readonly #sequencer: Sequencer;
  readonly #own: HeldRun;
  /** Runs only while something is held or the disk has work to do: an idle process sleeps. */
  readonly #timer = new SingleTimer(TICK_MS, () => {
    this.#tick();
    this.#wake();
  });
  #isStarted = false;
  #stopped = false;
  readonly #diskErrors: DiskErrors;
  readonly #setAside: SetAsideFiles | undefined;
  readonly #stopping = new AbortController();
  #earlier: EarlierRuns | undefined;
  #recovering: Promise<void> | undefined;
  readonly #finishing = new Set<HeldRun>();
  #added = 0;
  #commitIntervalMs = 0;
  readonly #losses: Losses;

  constructor(options: OutboxOptions) {
    super();
    this.#options = options;
    this.#repeats = new RepeatLimiter(options.log);
    this.#losses = new Losses(this.#repeats);
    this.#diskErrors = new DiskErrors(this.#repeats, () => this.#runs);
    const { spill, gateway, window, line, log, refused } = options;
    this.#setAside = spill && new SetAsideFiles(spill.disk ?? nodeDisk, spill);
    this.#sequencer = new Sequencer({
      gateway,
      line,
      log,
      refused,
      now: () => performance.now(),
      onStored: (run, message, progressed) => this.#received(run, message, progressed),
    });
    this.#own = this.#held(
      new OutboxRun({ run: this.run, window }),
      spill &&
        new RunFiles({
          disk: spill.disk ?? nodeDisk,
          folder: spill.folder,
          run: this.run,
          gateway,
          fileBytes: fileBytesFor(spill.maxBytes),
          onSetAside: (file, bytes) => this.#fileSetAside(file, bytes),
          salvageAfterMs: spill.salvageAfterMs,
        }),
    );
    this.#sequencer.runs = [this.#own];
  }

  get #runs(): readonly HeldRun[] {
    return this.#sequencer.runs;
  }

  /** What the next connection has to subscribe. */
  get subscriptions(): Record<string, MessageHandler> {
    const handler: MessageHandler = (topic, payload) => this.receive(topic, payload);
    return Object.fromEntries(this.#sequencer.filters.map((filter) => [filter, handler]));
  }

  /** Readings that are held, in memory and on disk. */
  get held(): number {
    return this.#runs.reduce((sum, { count }) => sum + count, 0);
  }

  get watermark(): number {
    return this.#own.protocol.stored;
  }

  /** Newest seq that was given out. */
  get last(): number {
    return this.#own.protocol.last;
  }

  /**
   * Finds the runs that earlier processes left in the folder, which the caller has locked. Resolves once it is known whose they are, which
   * `subscriptions` needs; the files are read, and delivered, after that. Never rejects: what the disk refuses now is tried again.
   */
  async start(): Promise<void> {
    this.#isStarted = true;
    const { spill, gateway } = this.#options;
    if (spill === undefined) return;
    const earlier = new EarlierRuns({
      disk: spill.disk ?? nodeDisk,
      folder: spill.folder,
      gateway,
      maxBytes: spill.maxBytes,
      retryMs: spill.diskRetryMs,
      salvageAfterMs: spill.salvageAfterMs,
      onDiskError: (operation, error) => this.#diskErrors.failed(operation, error),
      onSetAside: (file, bytes) => this.#fileSetAside(file, bytes),
    });
    this.#earlier = earlier;
    for (const name of await earlier.list()) this.#sequencer.gateways.add(name);
    await this.#setAside?.list();
    this.#recovering = this.#recover(earlier);
  }

  #fileSetAside(file: string, bytes: number): void {
    this.#diskErrors.setAside(file, bytes);
    this.#setAside?.add(bytes);
  }

  async #recover(earlier: EarlierRuns): Promise<void> {
    for await (const run of earlier.read(this.#stopping.signal)) if (!this.#stopped) this.#recovered(run);
  }

  #recovered({ files, firstSeq, lastSeq, mayHaveSent, dropped }: EarlierRun): void {
    this.#options.log.info(
      { event: 'outbox_recovered', run: files.run, readings: files.count, last: lastSeq, may_have_sent: mayHaveSent },
      'an earlier process left readings that are not stored yet',
    );
    const recovered = { first: firstSeq, last: lastSeq, mayHaveSent, dropped };
    const run = this.#held(new OutboxRun({ run: files.run, window: this.#options.window, recovered }), files);
    run.protocol.commitIntervalMs = this.#commitIntervalMs;
    this.#sequencer.add(run, this.#own);
    this.#wake();
  }

  #held(protocol: OutboxRun, files: RunFiles | undefined): HeldRun {
    const { spill } = this.#options;
    return new HeldRun({
      protocol,
      files,
      gateway: files?.gateway ?? this.#options.gateway,
      memoryMax: spill?.memoryMax ?? Number.POSITIVE_INFINITY,
      diskRetryMs: spill?.diskRetryMs,
      onDropped: (dropped) => {
        this.#dropped(dropped);
        if (protocol !== this.#own.protocol) return;
        const { from, to, cause } = dropped;
        this.emit('dropped', { from, to, cause });
      },
      evictOlder: async () => await this.#evictOlderThan(protocol),
      onDiskError: (operation, error) => this.#diskErrors.failed(operation, error),
    });
  }

  /** Removes the oldest file of the oldest run before another one. */
  async #evictOlderThan(newer: OutboxRun): Promise<boolean> {
    for (const run of this.#runs) {
      if (run.protocol === newer) return false;
      if (await run.evict()) return true;
    }
    return false;
  }

  #dropped(dropped: DroppedReadings): void {
    this.#losses.add(dropped, performance.now());
    this.#options.onDropped?.(dropped.cause, dropped.readings);
  }

  add(reading: UnnumberedReading): NumberedReading {
    const { protocol } = this.#own;
    const seq = protocol.nextSeq();
    this.#added += 1;
    const numbered = { seq, payload: lineOf(reading, { gateway: this.#options.gateway, run: this.run, seq }) };
    this.#own.add(numbered, performance.now());
    this.#wake();
    this.#sequencer.pumpAtEndOfTurn();
    return numbered;
  }

  /** The line is up, and the broker has acknowledged the `subscriptions`. */
  up(): void {
    this.#sequencer.up();
    this.#wake();
  }

  down(): void {
    this.#sequencer.down();
  }

  /** How long the forwarder may take for a commit. */
  commitInterval(ms: number): void {
    this.#commitIntervalMs = ms;
    for (const { protocol } of this.#runs) protocol.commitIntervalMs = ms;
  }

  /** A message on one of the subscribed topics. */
  receive(topic: string, payload: Buffer | string): void {
    this.#sequencer.receive(topic, payload);
    this.#wake();
  }

  #received(run: HeldRun, message: Stored, progressed: boolean): void {
    if (run !== this.#own) return;
    for (const span of message.missed ?? []) this.emit('missed', span);
    if (progressed) this.emit('stored', run.protocol.stored);
    if (!this.#hasWork) this.#timer.clear();
  }

  get #hasWork(): boolean {
    return this.#runs.length > 1 || this.#runs.some((run) => run.needsWork || run.protocol.unsettled);
  }

  #wake(): void {
    if (!this.#stopped && this.#isStarted && this.#hasWork) this.#timer.set();
  }

  #tick(): void {
    const now = performance.now();
    const { spill } = this.#options;
    if (spill !== undefined) this.#workOnDisk(spill.maxBytes, now);
    this.#removeFinished();
    this.#sequencer.pump();
  }

  #workOnDisk(maxBytes: number, now: number): void {
    // The limit is that of all runs together: the oldest are dropped first.
    let excess = this.#runs.reduce((sum, { files }) => sum + (files?.bytes ?? 0), 0) - maxBytes;
    let recovered = 0;
    for (const run of this.#runs) {
      const { protocol } = run;
      const bytes = run.files?.bytes ?? 0;
      if (!run.isSpilling && protocol.held.length > 0 && now - protocol.lastProgressAtMs > NOTHING_STORED_MS) run.spill();
      const isOver = excess > 0;
      const allowed = isOver ? Math.max(0, bytes - excess) : maxBytes;
      excess -= Math.min(bytes, Math.max(0, excess));
      // One that waits for its disk takes no part of memory, and must not hold up the others.
      if (protocol.isRecovered && run.troubles.length === 0) recovered += 1;
      if (protocol.isRecovered && recovered > RECOVERED_AT_ONCE && !isOver) continue;
      if (run.needsWork)
        void run.work(allowed).then(
          () => this.#worked(),
          (error: unknown) => this.#diskErrors.failed('write', error),
        );
    }
  }

  #worked(): void {
    this.#wake();
    this.#sequencer.pump();
  }

  #removeFinished(): void {
    for (const run of this.#runs) if (run !== this.#own && !run.protocol.unsettled) void this.#finish(run);
  }

  async #finish(run: HeldRun): Promise<void> {
    if (this.#finishing.has(run)) return;
    this.#finishing.add(run);
    const isRemoved = await run.finish();
    this.#finishing.delete(run);
    if (!isRemoved || !this.#runs.includes(run)) return;
    this.#sequencer.end(run);
    this.#sequencer.runs = this.#runs.filter((other) => other !== run);
    this.#options.log.info(
      { event: 'outbox_recovered_done', run: run.protocol.run },
      'the readings of an earlier process are stored or accounted for',
    );
  }

  status(): BridgeStatus['outbox'] {
    const { protocol } = this.#own;
    return {
      held: this.held,
      spilled: this.#runs.reduce((sum, { files }) => sum + (files?.count ?? 0), 0),
      spill_bytes: this.#runs.reduce((sum, { files }) => sum + (files?.bytes ?? 0), 0),
      dropped: this.#losses.total,
      last_seq: protocol.last,
      stored_seq: protocol.stored,
    };
  }

  checks(): CheckReport[] {
    const now = performance.now();
    const { waitingSinceMs } = this.#sequencer;
    const impossible = this.#runs.reduce((sum, { protocol }) => sum + protocol.impossible, 0);
    return [
      outboxCheck({
        held: this.held,
        window: this.#options.window,
        dropped: this.#losses.by,
        droppedAgoMs: this.#losses.lastAgoMs(now),
        trouble: this.#diskErrors.trouble(now, this.#earlier?.trouble),
      }),
      deliveryCheck({
        held: this.held,
        waitingMs: waitingSinceMs === undefined ? 0 : now - waitingSinceMs,
        isUp: this.#sequencer.isUp,
        followed: this.#sequencer.queue.id,
        foreign: this.#sequencer.queue.foreign(now),
        impossible,
      }),
      ...setAsideChecks(this.#setAside),
    ];
  }

  metrics(): Metric[] {
    return outboxMetrics({
      taken: this.#added,
      dropped: this.#losses.by,
      resent: this.#runs.reduce((sum, { protocol }) => sum + protocol.resent, 0),
      held: this.held,
      foreign: this.#sequencer.queue.ignored,
    }).concat(this.#diskErrors.metrics());
  }

  /** Nothing is added any more: if everything is stored, and the line is up, the forwarder closes the account of this run. */
  end(): void {
    this.#sequencer.end(this.#own);
  }

  /** Waits up to 3 s for watermarks while the line is up, then writes what is held to disk. */
  async stop(): Promise<void> {
    const end = performance.now() + STOP_FLUSH_MS;
    while (this.#sequencer.isUp && this.held > 0 && performance.now() < end)
      await new Promise((resolve) => setTimeout(resolve, 20));
    this.#stopped = true;
    this.#stopping.abort();
    this.#setAside?.stop();
    this.end();
    this.#sequencer.down();
    this.#timer.clear();
    await this.#recovering;
    for (const run of this.#runs)
      try {
        await run.close();
      } catch (error) {
        const readings = run.unwritten;
        if (readings > 0)
          this.#options.log.error(
            { event: 'outbox_lost', readings, err: error },
            'readings could not be written to disk at the end',
          );
        else this.#diskErrors.failed('remove', error);
      }
    this.#sequencer.runs = [this.#own];
  }
}
