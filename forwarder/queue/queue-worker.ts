/**
 * The thread that owns the queue's file. Group commit: an idle queue commits at once; a busy one after the commit interval, or at 500
 * pending rows, whichever comes first.
 */
import { statSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import type { parseReading } from '../../contract/reading.ts';
import { messageOf, systemCodeOf } from '../../service/errors/errors.ts';
import { trimMemoryAfterStart } from '../../service/process/memory-trim.ts';
import { diskTroubleOf, isDamage, QUEUE_CHECKING, stateWhileClosed } from './disk-trouble.ts';
import { QueueFile, type RetriedReading } from './queue-file.ts';
import {
  ROW_SOURCES,
  type Append,
  type EvictedSpan,
  type QueueReply,
  type QueueRequest,
  type QueueWorkerData,
} from './queue-messages.ts';
import { NewerSchemaError } from './schema.ts';

/** What is larger takes seconds to be looked at on a small box, minutes from a slow card. */
const LARGE_BYTES = 64 * 1024 * 1024;
const PENDING_ROWS_MAX = 500;
/**
 * What is shipped is deleted with the next commit of rows; a commit for its sake alone, which writes as much to disk as a reading's, waits
 * for so many of them or for this long. What is killed in between is sent again, at least once as ever.
 */
const SETTLED_ROWS_MAX = 4000;
const SETTLED_WAIT_MS = 5000;
/** What was shipped is shown as shipped after this, though its commit is not due. */
const SETTLED_SHOWN_MS = 100;
/** How often a full disk, or a full queue that refuses, is looked at again. */
const RECHECK_MS = 1000;
/** Taking stops while this many settled rows wait for a commit that fails: the same rows would ship for ever. */
const UNSETTLED_MAX = 2000;

const port = parentPort;
if (port === null) throw new Error('queue-worker runs as a worker thread only');
const options = workerData as QueueWorkerData;
const say = (reply: QueueReply): void => port.postMessage(reply);

function readRetried(payload: string, parse: typeof parseReading): RetriedReading | undefined {
  const reading = parse(payload);
  if (!reading.ok) return undefined;
  return {
    device: reading.value.device,
    source: Math.max(
      0,
      ROW_SOURCES.findIndex((source) => source === reading.value.source),
    ),
  };
}

/** What the queue takes on disk before it is opened. */
const bytesBefore = (): number =>
  ['', '-wal'].reduce((sum, ending) => sum + (statSync(options.file + ending, { throwIfNoEntry: false })?.size ?? 0), 0);

/** Opens the file. A large one is looked at for long, a disk without space is waited for: the forwarder runs meanwhile, and says so. */
async function openFile(): Promise<QueueFile | undefined> {
  const bytes = bytesBefore();
  if (bytes > LARGE_BYTES)
    say({
      kind: 'waiting',
      state: stateWhileClosed(`${QUEUE_CHECKING}: ${Math.round(bytes / 1e6)} MB are looked at before they are used`),
    });
  for (;;)
    try {
      return new QueueFile(options);
    } catch (error) {
      const trouble = diskTroubleOf(error, options);
      if (!trouble.startsWith('disk_full')) {
        say({
          kind: 'failed',
          code: error instanceof NewerSchemaError ? 'queue_too_new' : (systemCodeOf(error) ?? ''),
          message: messageOf(error),
        });
        return undefined;
      }
      say({ kind: 'waiting', state: stateWhileClosed(trouble) });
      await new Promise((resolve) => setTimeout(resolve, RECHECK_MS));
    }
}

class QueueThread {
  #file: QueueFile;
  #pending: Append[] = [];
  #pendingRows = 0;
  #timer: NodeJS.Timeout | undefined;
  #timerDueAt = 0;
  #settledTimer: NodeJS.Timeout | undefined;
  #soon: NodeJS.Immediate | undefined;
  #lastCommitAt = Number.NEGATIVE_INFINITY;
  #failing = false;
  /** Grows when appends are refused after having been taken: those sent before that is known have a hole before them. */
  #epoch = 0;
  #recheck: NodeJS.Timeout | undefined;

  constructor(file: QueueFile) {
    this.#file = file;
    try {
      this.#applyLimits();
    } catch (error) {
      this.#diskTrouble(error, []);
    }
    this.#lookAgainSoon();
    say({ kind: 'opened', watermarks: file.watermarks, state: file.state() });
  }

  #schedule(): void {
    if (this.#soon !== undefined) return;
    if (
      this.#pendingRows >= PENDING_ROWS_MAX ||
      (this.#pending.length > 0 && performance.now() - this.#lastCommitAt >= options.commitIntervalMs)
    ) {
      // After what else has arrived in this turn.
      this.#soon = setImmediate(() => {
        this.#soon = undefined;
        this.#commit();
      });
      return;
    }
    const now = performance.now();
    const dueAt =
      this.#pending.length > 0
        ? this.#lastCommitAt + options.commitIntervalMs
        : now + Math.max(SETTLED_WAIT_MS, 2 * options.commitIntervalMs);
    if (this.#timer !== undefined && this.#timerDueAt <= dueAt) return;
    clearTimeout(this.#timer);
    this.#timerDueAt = dueAt;
    this.#timer = setTimeout(() => this.#commit(), Math.max(1, dueAt - now));
  }

  #append(appends: readonly Append[], epoch: number): void {
    if (epoch < this.#epoch) return this.#sayRefused(appends);
    if (!this.#file.accepting) return this.#refuse(appends);
    this.#pending.push(...appends);
    for (const { rows, dead } of appends) this.#pendingRows += rows.data.length + dead.length;
    this.#schedule();
  }

  /** From here on what is under way has a hole before it. */
  #refuse(appends: readonly Append[]): void {
    this.#epoch += 1;
    this.#sayRefused(appends);
  }

  /** What is refused stays with the bridges; what has no number is gone. What was under way does not raise the epoch: a steady flow would be refused for ever. */
  #sayRefused(appends: readonly Append[]): void {
    const numbered = appends.reduce((sum, { watermarks }) => sum + (watermarks.length > 0 ? 1 : 0), 0);
    const lostUnnumbered =
      numbered === appends.length
        ? 0
        : appends
            .filter(({ watermarks }) => watermarks.length === 0)
            .reduce((sum, { rows, dead }) => sum + rows.data.length + dead.length, 0);
    say({ kind: 'refused', state: this.#file.state(), watermarks: this.#file.watermarks, lostUnnumbered, epoch: this.#epoch });
  }

  #commit(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#settledTimer);
    this.#timer = undefined;
    this.#settledTimer = undefined;
    const appends = this.#pending;
    if (appends.length === 0 && this.#file.unsettled === 0) return;
    const rows = this.#pendingRows;
    this.#pending = [];
    this.#pendingRows = 0;
    const startedAt = performance.now();
    try {
      this.#file.commit(appends);
      this.#lastCommitAt = performance.now();
      this.#failing = false;
    } catch (error) {
      this.#lastCommitAt = performance.now();
      this.#diskTrouble(error, appends);
      return;
    }
    let evicted: EvictedSpan[] = [];
    let limitsError: unknown;
    try {
      evicted = this.#applyLimits();
    } catch (error) {
      limitsError = error;
    }
    const watermarks = appends.flatMap((append) => append.watermarks);
    say({ kind: 'committed', watermarks, state: this.#file.state(), rows, commitMs: performance.now() - startedAt, evicted });
    if (limitsError !== undefined) this.#diskTrouble(limitsError, []);
  }

  /** Nothing of the failed commit has happened. Full: the reserve is given back, so that deletes of what was shipped have a chance. */
  #diskTrouble(error: unknown, appends: readonly Append[]): void {
    if (isDamage(error)) return this.#replaceFile(appends);
    this.#failing = true;
    this.#file.accepting = false;
    this.#file.trouble = diskTroubleOf(error, options);
    this.#file.releaseReserve();
    if (appends.length > 0) this.#refuse(appends);
    this.#commitSettled();
    this.#lookAgainSoon();
    say({ kind: 'state', state: this.#file.state() });
  }

  /** Found damaged while it was open: a new file takes its place, from which the thread goes on. */
  #replaceFile(appends: readonly Append[]): void {
    this.#file = this.#file.reopened();
    this.#refuse([...appends, ...this.#pending]);
    this.#pending = [];
    this.#pendingRows = 0;
    this.#lookAgainSoon();
    say({ kind: 'state', state: this.#file.state() });
  }

  /** Deletes what was shipped, where that could not be done; an emptied log makes room for it. */
  #commitSettled(): void {
    if (!this.#failing || this.#file.unsettled === 0) return;
    try {
      this.#file.checkpoint();
    } catch {
      // Without it the commit may still find room.
    }
    try {
      this.#file.commit([]);
      this.#failing = false;
    } catch {
      this.#failing = true;
    }
  }

  /** For as long as nothing is accepted. */
  #lookAgainSoon(): void {
    if (this.#file.accepting) return;
    this.#recheck ??= setTimeout(() => {
      this.#recheck = undefined;
      this.#lookAgain();
      this.#lookAgainSoon();
    }, RECHECK_MS);
  }

  #lookAgain(): void {
    if (this.#file.accepting) return;
    try {
      const failed = this.#failing;
      this.#commitSettled();
      // Who was given nothing while deletes failed is told that there is more.
      if (failed && !this.#failing) say({ kind: 'state', state: this.#file.state() });
      if (!this.#mayAcceptAgain()) return;
    } catch (error) {
      return this.#diskTrouble(error, []);
    }
    this.#file.accepting = true;
    this.#file.trouble = '';
    this.#failing = false;
    say({ kind: 'state', state: this.#file.state() });
  }

  #mayAcceptAgain(): boolean {
    if (this.#file.trouble.startsWith('disk')) return this.#file.hasSpace();
    this.#file.checkpoint();
    return this.#file.bytes() <= options.maxBytes * 0.95;
  }

  #applyLimits(): EvictedSpan[] {
    let evicted: EvictedSpan[] = [];
    if (options.minFreeDiskBytes > 0 && this.#file.freeDiskBytes() < options.minFreeDiskBytes)
      this.#stopAccepting('disk_low: less is free than QUEUE_MIN_FREE_DISK_BYTES');
    if (this.#file.bytes() <= options.maxBytes) return evicted;
    this.#file.checkpoint();
    if (options.whenFull === 'evict-oldest' && this.#file.bytes() > options.maxBytes) evicted = this.#file.evictOverLimit();
    if (this.#file.bytes() > options.maxBytes) this.#stopAccepting('queue_full: QUEUE_MAX_BYTES is reached');
    return evicted;
  }

  #stopAccepting(trouble: string): void {
    this.#file.accepting = false;
    this.#file.trouble = trouble;
    this.#lookAgainSoon();
  }

  #take(id: number, maxRows: number, maxBytes: number): void {
    if (this.#file.unsettled > UNSETTLED_MAX) this.#commitSettled();
    const limit = this.#failing && this.#file.unsettled > UNSETTLED_MAX ? 0 : maxRows;
    let rows;
    try {
      rows = this.#file.take(limit, maxBytes);
    } catch (error) {
      say({ kind: 'error', id, message: messageOf(error) });
      return this.#diskTrouble(error, []);
    }
    port?.postMessage({ kind: 'taken', id, rows } satisfies QueueReply, [
      rows.ids.buffer as ArrayBuffer,
      rows.acceptedAtMs.buffer as ArrayBuffer,
    ]);
  }

  /** Runs a request that wants an answer; what it changed goes out as state. */
  #answer(id: number, work: () => unknown): void {
    try {
      say({ kind: 'answer', id, value: work() });
    } catch (error) {
      say({ kind: 'error', id, message: messageOf(error) });
      if (isDamage(error)) return this.#replaceFile([]);
    }
    say({ kind: 'state', state: this.#file.state() });
  }

  handle(request: QueueRequest): void {
    switch (request.kind) {
      case 'append':
        return this.#append(request.appends, request.epoch);
      case 'take':
        return this.#take(request.id, request.maxRows, request.maxBytes);
      case 'acknowledge':
        this.#file.settleShipped(request.ids);
        return this.#settled();
      case 'evict':
        this.#file.settleEvicted(request.ids, request.cause);
        return this.#settled();
      case 'bury':
        try {
          this.#file.bury(request.rowId, request.reason, request.detail);
        } catch (error) {
          this.#diskTrouble(error, []);
        }
        return say({ kind: 'state', state: this.#file.state() });
      case 'deadLetters':
        return this.#answer(request.id, () => this.#file.deadLetters(request.limit, request.before));
      case 'retryDead':
        // The schema's compiler is loaded here alone: 4 MB that a thread which validates nothing need not have.
        return void import('../../contract/reading.ts').then(({ parseReading: parse }) =>
          this.#answer(request.id, () => this.#file.retryDead(request.ids, (payload) => readRetried(payload, parse))),
        );
      case 'discardDead':
        return this.#answer(request.id, () => this.#file.discardDead(request.ids));
      case 'acknowledgeDamage':
        return this.#answer(request.id, () => this.#file.acknowledgeDamage());
      case 'backup':
        void this.#file.backup(request.file).then(
          (value) => say({ kind: 'answer', id: request.id, value }),
          (error: unknown) => say({ kind: 'error', id: request.id, message: messageOf(error) }),
        );
        return undefined;
      case 'stop':
        return this.#stop();
    }
  }

  #settled(): void {
    if (this.#file.unsettled >= SETTLED_ROWS_MAX) return this.#commit();
    this.#schedule();
    this.#settledTimer ??= setTimeout(() => {
      this.#settledTimer = undefined;
      say({ kind: 'settled', state: this.#file.state() });
    }, SETTLED_SHOWN_MS);
  }

  #stop(): void {
    clearTimeout(this.#recheck);
    clearTimeout(this.#timer);
    this.#commit();
    clearTimeout(this.#settledTimer);
    this.#file.close();
    say({ kind: 'stopped' });
    port?.close();
  }
}

const opened = await openFile();
if (opened !== undefined) {
  const thread = new QueueThread(opened);
  port.on('message', (request: QueueRequest) => thread.handle(request));
  trimMemoryAfterStart();
}
