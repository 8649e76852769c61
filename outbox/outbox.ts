/**
 * The outbox: numbers each reading, publishes it once, live, and holds it until the forwarder says that it is stored. What was read
 * while the broker was away is never published live later; it goes on `edge/resend/<run>`, which only the forwarder reads.
 */
import { randomBytes } from 'node:crypto';
import { encodeResend, parseStored, type DropCause, type NumberedPayload } from '../contract/outbox-protocol.ts';
import type { Reading } from '../contract/reading.ts';
import type { BridgeStatus } from '../contract/bridge-status.ts';
import type { Metric } from '../contract/metrics.ts';
import { gapTopic, readingTopic, resendTopic, runOfTopic, sourceTopic, storedTopic, SYNC_TOPIC } from '../contract/topics.ts';
import type { Config } from '../service/config/config.ts';
import { dataFolder, gatewayName } from '../service/storage/data-dir.ts';
import { RepeatLimiter, type Logger } from '../service/log/log.ts';
import { Counter, Gauge } from '../service/metrics/metrics.ts';
import type { MessageHandler } from '../service/mqtt/mqtt-link.ts';
import { failing, okCheck, warning, type CheckReport } from '../service/health/check-report.ts';
import { HeldRun } from './held-run.ts';
import { OutboxRun } from './outbox-run.ts';
import { fileBytesFor, findEarlierRuns, RunFiles } from './spill-files.ts';

export interface OutboxOptions {
  config: Config;
  log: Logger;
  publish: (topic: string, payload: string) => boolean;
  writableLength: () => number;
}

const TICK_MS = 50;
const NOTHING_STORED_MS = 5000;
/** The line's own buffer is not filled beyond this: a resend waits. */
const LINE_BYTES_MAX = 1024 * 1024;
const STOP_FLUSH_MS = 3000;
/** Runs of earlier processes that are read from disk at once, oldest first: a bridge that was restarted often must not fill memory with them. */
const RECOVERED_AT_ONCE = 3;
/** Runs whose marks are subscribed one by one. */
const RUNS_SUBSCRIBED_MAX = 16;
const GAPS_EVERY_MS = 1000;
/** So long after readings were given up health says fail; later it only reminds of it. */
const DROPPED_FRESH_MS = 300_000;

export class Outbox {
  readonly run = randomBytes(8).toString('hex');
  readonly #options: OutboxOptions;
  readonly #repeats: RepeatLimiter;
  readonly #folder: () => string;
  #gateway = '';
  #own: HeldRun | undefined;
  #runs: HeldRun[] = [];
  #isUp = false;
  /** Runs while something is held, or the disk has something to do: an idle bridge sleeps. */
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #pumping = false;
  #diskTrouble = '';
  #accepted = 0;
  readonly #droppedBy: Record<DropCause, number> = { outbox_full: 0, damaged: 0 };
  #droppedAtMs = 0;
  /** Given up and not said yet, by device. */
  readonly #droppedSpans = new Map<string, { from: string; to: string; readings: number }>();
  #gapsSaidAtMs = 0;

  constructor(options: OutboxOptions) {
    this.#options = options;
    this.#repeats = new RepeatLimiter(options.log);
    this.#folder = () => dataFolder(options.config, 'outbox');
  }

  /**
   * What the next connection is to subscribe (design section 1): the marks of the runs that are held. With many runs left by earlier
   * processes, all marks: a client may have so many subscriptions only.
   */
  get subscriptions(): Record<string, MessageHandler> {
    const runs = new Set([this.run, ...this.#runs.map(({ files }) => files.run)]);
    const filters = (runs.size > RUNS_SUBSCRIBED_MAX ? ['+'] : [...runs]).map(storedTopic);
    return {
      ...Object.fromEntries(filters.map((filter) => [filter, (topic: string, payload: Buffer) => this.#stored(topic, payload)])),
      [SYNC_TOPIC]: () => this.#asked(),
    };
  }

  get #current(): HeldRun {
    if (this.#own === undefined) throw new Error('the outbox is not started');
    return this.#own;
  }

  /** Readings that are held, in memory and on disk. */
  get held(): number {
    return this.#runs.reduce((sum, { count }) => sum + count, 0);
  }

  /** Finds what earlier processes left. Throws HrError `data_dir_unusable`. */
  async start(): Promise<void> {
    const { config, log } = this.#options;
    this.#gateway = gatewayName(config);
    const folder = this.#folder();
    const earlier = findEarlierRuns(folder, config.OUTBOX_MAX_BYTES);
    for (const { files, lastSeq, dropped } of earlier) {
      log.info(
        { event: 'outbox_recovered', run: files.run, readings: files.count },
        'an earlier process left readings that are not stored yet',
      );
      this.#runs.push(
        this.#held(
          new OutboxRun({ run: files.run, window: config.OUTBOX_WINDOW, recovered: true, last: lastSeq, dropped }),
          files,
        ),
      );
    }
    this.#own = this.#held(
      new OutboxRun({ run: this.run, window: config.OUTBOX_WINDOW, recovered: false }),
      new RunFiles(folder, this.run, fileBytesFor(config.OUTBOX_MAX_BYTES)),
    );
    this.#runs.push(this.#own);
    this.#wake();
  }

  #held(protocol: OutboxRun, files: RunFiles): HeldRun {
    return new HeldRun({
      protocol,
      files,
      memoryMax: this.#options.config.OUTBOX_MEMORY,
      onDropped: (cause, count, entries) => this.#dropped(cause, count, entries),
      onDiskError: (error) => {
        this.#diskTrouble = error instanceof Error ? error.message : String(error);
        this.#repeats.warn(
          'spill',
          { event: 'spill_failed', err: error },
          'readings cannot be written to the outbox on disk; memory holds them',
        );
      },
    });
  }

  get #droppedTotal(): number {
    return this.#droppedBy.outbox_full + this.#droppedBy.damaged;
  }

  #dropped(cause: DropCause, count: number, entries: readonly NumberedPayload[]): void {
    this.#droppedBy[cause] += count;
    this.#droppedAtMs = performance.now();
    const words =
      cause === 'damaged'
        ? 'readings in the outbox on disk are damaged: they are lost'
        : 'the outbox is full: the oldest readings were given up';
    this.#repeats.error(
      cause,
      { event: cause === 'damaged' ? 'outbox_damaged' : 'outbox_full', readings: this.#droppedBy[cause] },
      words,
    );
    for (const { payload } of entries) {
      const device = /"device":"([a-z0-9-]+)"/.exec(payload)?.[1];
      const at = /"timestamp":"([^"]+)"/.exec(payload)?.[1];
      if (device === undefined || at === undefined) continue;
      const span = this.#droppedSpans.get(device);
      this.#droppedSpans.set(device, { from: span?.from ?? at, to: at, readings: (span?.readings ?? 0) + 1 });
    }
  }

  /** Says what was given up since the last time, one gap a device; while the line is down they grow together. */
  #sayGaps(): void {
    for (const [device, span] of this.#droppedSpans)
      if (this.#options.publish(gapTopic(device), JSON.stringify({ ...span, cause: 'outbox_full' })))
        this.#droppedSpans.delete(device);
    this.#gapsSaidAtMs = performance.now();
  }

  /** Numbers a reading, publishes it live where the line is up, and holds it until it is stored. */
  accept(fields: Omit<Reading, 'gateway' | 'run' | 'seq'>): Reading {
    const { protocol } = this.#current;
    const { timestamp, heart_rate, device, ...rest } = fields;
    const reading: Reading = {
      timestamp,
      heart_rate,
      device,
      gateway: this.#gateway,
      run: this.run,
      seq: protocol.nextSeq(),
      ...rest,
    };
    const payload = JSON.stringify(reading);
    this.#accepted += 1;
    this.#current.add({ seq: reading.seq, payload }, performance.now());
    this.#wake();
    if (this.#isUp && this.#options.publish(readingTopic(device), payload)) protocol.sentLive(reading.seq);
    return reading;
  }

  /** The line is up, and what `subscriptions` names is subscribed. */
  up(): void {
    this.#isUp = true;
    this.#asked();
  }

  down(): void {
    this.#isUp = false;
    for (const { protocol } of this.#runs) protocol.lineDown();
  }

  /** How long the forwarder may take for a commit. */
  commitInterval(ms: number): void {
    for (const { protocol } of this.#runs) protocol.commitIntervalMs = ms;
  }

  #asked(): void {
    for (const { protocol } of this.#runs) if (protocol.unsettled) protocol.askedForSource();
    this.#wake();
    this.#pump();
  }

  #stored(topic: string, payload: Buffer): void {
    const run = runOfTopic(topic);
    const held = this.#runs.find(({ protocol }) => protocol.run === run);
    const message = parseStored(payload);
    if (held === undefined || !message.ok) return;
    held.protocol.heard(message.value, performance.now());
    this.#pump();
  }

  get #hasWork(): boolean {
    return (
      this.#runs.length > 1 || this.#droppedSpans.size > 0 || this.#runs.some((run) => run.needsWork || run.protocol.unsettled)
    );
  }

  #wake(): void {
    if (this.#stopped) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#tick();
      if (this.#hasWork) this.#wake();
    }, TICK_MS);
  }

  #worked(): void {
    this.#wake();
    this.#pump();
  }

  #tick(): void {
    const now = performance.now();
    const { config } = this.#options;
    // The limit is that of all runs together: what is over it goes from the oldest.
    let excess = this.#runs.reduce((sum, { files }) => sum + files.bytes, 0) - config.OUTBOX_MAX_BYTES;
    let recovered = 0;
    for (const run of this.#runs) {
      const { protocol, files } = run;
      if (!run.spilling && protocol.held.length > 0 && now - protocol.lastProgressAtMs > NOTHING_STORED_MS) run.spill();
      const isOver = excess > 0;
      const maxBytes = isOver ? Math.max(0, files.bytes - excess) : config.OUTBOX_MAX_BYTES;
      excess -= Math.min(files.bytes, Math.max(0, excess));
      if (protocol.recovered) recovered += 1;
      if (protocol.recovered && recovered > RECOVERED_AT_ONCE && !isOver) continue;
      if (run.needsWork)
        void run.work(maxBytes).then(
          () => this.#worked(),
          (error: unknown) =>
            this.#repeats.warn('spill work', { event: 'spill_failed', err: error }, 'the outbox on disk cannot be worked on'),
        );
    }
    this.#removeFinished();
    if (this.#isUp && this.#droppedSpans.size > 0 && now - this.#gapsSaidAtMs > GAPS_EVERY_MS) this.#sayGaps();
    this.#pump();
  }

  #removeFinished(): void {
    for (const run of this.#runs) {
      if (run === this.#own || run.protocol.unsettled) continue;
      this.#runs = this.#runs.filter((other) => other !== run);
      void run
        .finish()
        .catch((error: unknown) =>
          this.#repeats.warn('spill remove', { event: 'spill_failed', err: error }, 'files of the outbox cannot be removed'),
        );
      this.#options.log.info(
        { event: 'outbox_recovered_done', run: run.protocol.run },
        'what an earlier process left is stored, or accounted for',
      );
    }
  }

  /** Publishes what is due: sources, then resends, as far as the line takes them. */
  #pump(): void {
    if (!this.#isUp || this.#pumping) return;
    this.#pumping = true;
    try {
      const now = performance.now();
      for (const { protocol } of this.#runs) {
        const source = protocol.dueSource(now);
        if (source !== undefined) this.#options.publish(sourceTopic(protocol.run), JSON.stringify(source));
        while (this.#options.writableLength() < LINE_BYTES_MAX) {
          const packet = protocol.nextResend();
          if (packet === undefined) break;
          this.#options.publish(resendTopic(protocol.run), encodeResend(packet));
        }
      }
    } finally {
      this.#pumping = false;
    }
  }

  status(): BridgeStatus['outbox'] {
    const { protocol } = this.#current;
    return {
      held: this.held,
      spilled: this.#runs.reduce((sum, { files }) => sum + files.count, 0),
      spill_bytes: this.#runs.reduce((sum, { files }) => sum + files.bytes, 0),
      dropped: this.#droppedTotal,
      last_seq: protocol.last,
      stored_seq: protocol.stored,
    };
  }

  checks(): CheckReport[] {
    const { held } = this;
    const { config } = this.#options;
    if (this.#droppedTotal > 0) {
      const { outbox_full: full, damaged } = this.#droppedBy;
      const report = performance.now() - this.#droppedAtMs < DROPPED_FRESH_MS ? failing : warning;
      if (full > 0) return [report('outbox', 'outbox_full', `${full} readings were dropped`)];
      return [report('outbox', 'outbox_damaged', `${damaged} readings on disk could not be read back`)];
    }
    if (this.#runs.some(({ diskFull }) => diskFull)) return [warning('outbox', 'spill_failed', this.#diskTrouble)];
    if (held > config.OUTBOX_WINDOW) return [warning('outbox', 'outbox_filling', `${held} readings wait to be stored`)];
    return [okCheck('outbox')];
  }

  metrics(): Metric[] {
    const taken = new Counter('hr_gateway_readings_taken_total', 'Readings that the bridge took from its sensors');
    taken.setTo(this.#accepted);
    const dropped = new Counter('hr_gateway_outbox_dropped_total', 'Readings that the outbox gave up, by cause');
    for (const [cause, count] of Object.entries(this.#droppedBy)) dropped.setTo(count, { cause });
    const resent = new Counter('hr_gateway_outbox_resent_total', 'Readings that were sent again');
    resent.setTo(this.#runs.reduce((sum, { protocol }) => sum + protocol.resent, 0));
    const held = new Gauge('hr_gateway_outbox_held', 'Readings that are not stored yet');
    held.set(this.held);
    return [taken.read(), dropped.read(), resent.read(), held.read()];
  }

  /** Waits a little for marks while the line is up, then writes what is held to disk. */
  async stop(): Promise<void> {
    const end = performance.now() + STOP_FLUSH_MS;
    while (this.#isUp && this.held > 0 && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 20));
    this.#stopped = true;
    clearTimeout(this.#timer);
    if (this.#isUp) this.#sayGaps();
    this.#isUp = false;
    for (const run of this.#runs)
      await run
        .close()
        .catch((error: unknown) =>
          this.#options.log.error(
            { event: 'outbox_lost', readings: run.count, err: error },
            'readings could not be written to disk at the end',
          ),
        );
    this.#runs = [];
  }
}
