/**
 * What the queue thread does with its file: it commits appends and deletes in groups, applies the limits after each commit, and changes
 * the mode of the queue (queue-mode.ts) when the disk, the limits or the file demand it.
 */
import { statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, systemCodeOf } from '../../service/errors/errors.ts';
import { CommitTimer } from './commit-timer.ts';
import { diskTroubleOf, isDamage } from './disk-trouble.ts';
import { QueueFile } from './queue-file.ts';
import {
  NO_CONTENTS,
  OPENING,
  unnumberedOf,
  type Append,
  type EvictedSpan,
  type QueueReply,
  type QueueRequest,
  type QueueState,
  type QueueWorkerData,
} from './queue-messages.ts';
import { isFileOpen, QueueModes } from './queue-mode.ts';
import { NewerSchemaError } from './schema.ts';

/** Checking a larger file takes seconds on a small box, minutes from a slow card. */
const LARGE_BYTES = 64 * 1024 * 1024;
/** With this many pending deletes a commit is made for them alone. */
const PENDING_DELETES_MAX = 4000;
/** Shipped rows are reported as shipped after this time, although their deletion is not due. */
const PROGRESS_DELAY_MS = 100;
/** How often a queue that does not accept checks whether it can again. */
const RECHECK_MS = 1000;
/** While deletes fail, taking stops at this many pending deletes: the same rows would be shipped again after every restart. */
const UNDELETED_MAX = 2000;
/** A full queue accepts again at this share of QUEUE_MAX_BYTES. */
const ACCEPT_AGAIN_SHARE = 0.95;

/** The thread's line to the main thread: `parentPort`. */
export interface ReplyPort {
  postMessage(reply: QueueReply, transfer?: readonly ArrayBuffer[]): void;
  close(): void;
}

const bytesOnDisk = (file: string): number =>
  ['', '-wal'].reduce((sum, ending) => sum + (statSync(file + ending, { throwIfNoEntry: false })?.size ?? 0), 0);

export class QueueThread {
  readonly #options: QueueWorkerData;
  readonly #port: ReplyPort;
  readonly #file: QueueFile;
  readonly #modes = new QueueModes();
  readonly #commitTimer: CommitTimer;
  #pending: Append[] = [];
  #pendingRows = 0;
  #progressTimer: NodeJS.Timeout | undefined;
  #recheckTimer: NodeJS.Timeout | undefined;
  /**
   * Counts refusals. The main thread sends the last epoch that it knows with each append; an append of an earlier epoch was sent before
   * its sender knew of the refusal, so the readings before it are missing, and it is refused, too.
   */
  #epoch = 0;

  constructor(options: QueueWorkerData, port: ReplyPort) {
    this.#options = options;
    this.#port = port;
    this.#file = new QueueFile(options);
    this.#commitTimer = new CommitTimer(options.commitIntervalMs, () => this.#commit());
  }

  #post(reply: QueueReply): void {
    this.#port.postMessage(reply);
  }

  #state(): QueueState {
    const { current: mode, reason } = this.#modes;
    return { ...(isFileOpen(mode) ? this.#file.contents() : NO_CONTENTS), mode, reason };
  }

  #postState(): void {
    this.#post({ kind: 'state', state: this.#state() });
  }

  /** Opens the file, and waits for space if its disk is full. False if the file cannot be opened: `failed` was posted. */
  async start(): Promise<boolean> {
    const bytes = bytesOnDisk(this.#options.file);
    this.#modes.set('checking', {
      code: 'queue_checking',
      detail: `checking ${Math.round(bytes / 1e6)} MB before they are used`,
    });
    if (bytes > LARGE_BYTES) this.#post({ kind: 'waiting', state: this.#state() });
    while (!this.#tryOpen()) {
      if (this.#modes.current === 'closed') return false;
      await sleep(RECHECK_MS);
    }
    this.#modes.set('open', null);
    try {
      this.#applyLimits();
    } catch (error) {
      this.#diskTrouble(error, []);
    }
    this.#recheckLater();
    this.#post({ kind: 'opened', queue: this.#file.queueId, watermarks: this.#file.watermarks, state: this.#state() });
    return true;
  }

  /** False: the disk is too full, or, if the mode is `closed` now, the file cannot be opened at all, or a stop came first. */
  #tryOpen(): boolean {
    const opening = new Int32Array(this.#options.opening);
    const mayOpen = (): boolean => Atomics.compareExchange(opening, 0, OPENING.idle, OPENING.opening) !== OPENING.given_up;
    try {
      if (this.#file.open(mayOpen)) return true;
      this.#modes.set('closed', null);
      return false;
    } catch (error) {
      Atomics.compareExchange(opening, 0, OPENING.opening, OPENING.idle);
      const reason = diskTroubleOf(error, this.#options.file);
      if (reason.code === 'disk_full') {
        this.#modes.set('waiting_for_space', reason);
        this.#post({ kind: 'waiting', state: this.#state() });
      } else {
        this.#modes.set('closed', null);
        const code = error instanceof NewerSchemaError ? 'queue_too_new' : (systemCodeOf(error) ?? '');
        this.#post({ kind: 'failed', code, message: messageOf(error) });
      }
      return false;
    }
  }

  handle(request: QueueRequest): void {
    switch (request.kind) {
      case 'append':
        return this.#append(request.appends, request.epoch);
      case 'take':
        return this.#take(request.id, request.maxRows, request.maxBytes);
      case 'acknowledge':
        this.#file.shipped(request.ids);
        return this.#deletesPending();
      case 'evict':
        this.#file.evict(request.ids, request.cause);
        return this.#deletesPending();
      case 'bury':
        try {
          this.#file.bury(request.rowId, request.reason, request.detail);
        } catch (error) {
          this.#diskTrouble(error, []);
        }
        return this.#postState();
      case 'deadLetters':
        return this.#answer(request.id, () => this.#file.deadLetters(request.limit, request.before));
      case 'retryDead':
        // Only this request needs the compiler of schemas, which takes 4 MB.
        return void import('./retried-letters.ts').then(({ retryRules }) =>
          this.#answer(request.id, () => this.#file.retryDead(request.ids, retryRules(this.#options.gateway))),
        );
      case 'discardDead':
        return this.#answer(request.id, () => this.#file.discardDead(request.ids));
      case 'acknowledgeDamage':
        return this.#answer(request.id, () => this.#file.acknowledgeDamage());
      case 'backup':
        void this.#file.backup(request.file).then(
          (value) => this.#post({ kind: 'answer', id: request.id, value }),
          (error: unknown) => this.#post({ kind: 'error', id: request.id, message: messageOf(error) }),
        );
        return undefined;
      case 'stop':
        return this.#stop();
    }
  }

  #append(appends: readonly Append[], epoch: number): void {
    if (epoch < this.#epoch) return this.#postRefused(appends);
    if (!this.#modes.accepts) return this.#refuse(appends);
    this.#pending.push(...appends);
    for (const { rows, dead } of appends) this.#pendingRows += rows.data.length + dead.length;
    this.#schedule();
  }

  #schedule(): void {
    this.#commitTimer.schedule({ appends: this.#pending.length, rows: this.#pendingRows });
  }

  /** Refuses appends, and with the new epoch everything that was sent before the main thread knows of it. */
  #refuse(appends: readonly Append[]): void {
    this.#epoch += 1;
    this.#postRefused(appends);
  }

  /**
   * Numbered readings are sent again by their bridge; un-numbered ones are lost. Does not raise the epoch: if refusing an append of an
   * earlier epoch did, a steady flow would be refused for ever.
   */
  #postRefused(appends: readonly Append[]): void {
    const { accepted, refused } = unnumberedOf(appends);
    this.#post({
      kind: 'refused',
      queue: this.#file.queueId,
      state: this.#state(),
      watermarks: this.#file.watermarks,
      lostUnnumbered: accepted + refused.length,
      epoch: this.#epoch,
    });
  }

  #takePending(): Append[] {
    const appends = this.#pending;
    this.#pending = [];
    this.#pendingRows = 0;
    return appends;
  }

  #commit(): void {
    this.#commitTimer.clear();
    clearTimeout(this.#progressTimer);
    this.#progressTimer = undefined;
    if (this.#pending.length === 0 && this.#file.pendingDeletes === 0) return;
    const rows = this.#pendingRows;
    const appends = this.#takePending();
    const startedAt = performance.now();
    try {
      this.#file.commit(appends);
    } catch (error) {
      this.#commitTimer.committed();
      return this.#diskTrouble(error, appends);
    }
    this.#commitTimer.committed();
    this.#writeSucceeded();
    let evicted: EvictedSpan[] = [];
    let limitsError: unknown;
    try {
      evicted = this.#applyLimits();
    } catch (error) {
      limitsError = error;
    }
    const watermarks = appends.flatMap((append) => append.watermarks);
    const commitMs = performance.now() - startedAt;
    const unnumbered = unnumberedOf(appends);
    this.#post({ kind: 'committed', watermarks, unnumbered, state: this.#state(), rows, commitMs, evicted });
    if (limitsError !== undefined) this.#diskTrouble(limitsError, []);
  }

  #writeSucceeded(): void {
    if (this.#modes.current === 'write_failed') this.#modes.set('recovering', this.#modes.reason);
  }

  /** After a failed read or write, which changed nothing. The reserve is released, so that shipped rows can still be deleted. */
  #diskTrouble(error: unknown, appends: readonly Append[]): void {
    if (isDamage(error)) return this.#replaceFile(appends);
    this.#modes.set('write_failed', diskTroubleOf(error, this.#options.file));
    this.#file.releaseReserve();
    if (appends.length > 0) this.#refuse(appends);
    this.#commitDeletes();
    this.#recheckLater();
    this.#postState();
  }

  /** The open file is damaged: a new one takes its place. What was pending is refused: its bridge sends it again. */
  #replaceFile(appends: readonly Append[]): void {
    this.#modes.set('replacing', null);
    this.#file.reopen();
    this.#modes.set('open', null);
    this.#refuse([...appends, ...this.#takePending()]);
    this.#postState();
  }

  /** Deletes shipped rows after deletes had failed; a truncated WAL makes room for that. */
  #commitDeletes(): void {
    if (this.#modes.current !== 'write_failed' || this.#file.pendingDeletes === 0) return;
    try {
      this.#file.checkpoint();
    } catch {
      // The commit may find room without it.
    }
    try {
      this.#file.commit([]);
    } catch {
      return;
    }
    this.#writeSucceeded();
  }

  /** Runs for as long as nothing is accepted. */
  #recheckLater(): void {
    if (this.#modes.accepts || this.#modes.current === 'closed') return;
    this.#recheckTimer ??= setTimeout(() => {
      this.#recheckTimer = undefined;
      this.#recheck();
      this.#recheckLater();
    }, RECHECK_MS);
  }

  #recheck(): void {
    if (this.#modes.accepts) return;
    try {
      const before = this.#modes.current;
      this.#commitDeletes();
      // The drain received nothing while deletes failed: notify it that there are rows again.
      if (before === 'write_failed' && this.#modes.current === 'recovering') this.#postState();
      if (!this.#mayAcceptAgain()) return;
    } catch (error) {
      return this.#diskTrouble(error, []);
    }
    this.#modes.set('open', null);
    this.#postState();
  }

  #mayAcceptAgain(): boolean {
    if (this.#modes.current !== 'full') return this.#file.hasSpace();
    this.#file.checkpoint();
    return this.#file.bytes() <= this.#options.maxBytes * ACCEPT_AGAIN_SHARE;
  }

  #applyLimits(): EvictedSpan[] {
    const { minFreeDiskBytes, maxBytes, whenFull } = this.#options;
    let evicted: EvictedSpan[] = [];
    if (minFreeDiskBytes > 0 && this.#file.freeDiskBytes() < minFreeDiskBytes) {
      this.#modes.set('disk_low', { code: 'disk_low', detail: 'less disk space is free than QUEUE_MIN_FREE_DISK_BYTES' });
      this.#recheckLater();
    }
    if (this.#file.bytes() <= maxBytes) return evicted;
    this.#file.checkpoint();
    if (whenFull === 'evict-oldest' && this.#file.bytes() > maxBytes) evicted = this.#file.evictOverLimit();
    if (this.#file.bytes() > maxBytes) {
      this.#modes.set('full', { code: 'queue_full', detail: 'QUEUE_MAX_BYTES is reached' });
      this.#recheckLater();
    }
    return evicted;
  }

  #take(id: number, maxRows: number, maxBytes: number): void {
    if (this.#file.pendingDeletes > UNDELETED_MAX) this.#commitDeletes();
    const stopped = this.#modes.current === 'write_failed' && this.#file.pendingDeletes > UNDELETED_MAX;
    let rows;
    try {
      rows = this.#file.take(stopped ? 0 : maxRows, maxBytes);
    } catch (error) {
      this.#post({ kind: 'error', id, message: messageOf(error) });
      return this.#diskTrouble(error, []);
    }
    this.#port.postMessage({ kind: 'taken', id, rows }, [
      rows.ids.buffer as ArrayBuffer,
      rows.acceptedAtMs.buffer as ArrayBuffer,
    ]);
  }

  /** Runs a request that expects an answer, then reports the state that it may have changed. */
  #answer(id: number, work: () => unknown): void {
    try {
      this.#post({ kind: 'answer', id, value: work() });
    } catch (error) {
      this.#post({ kind: 'error', id, message: messageOf(error) });
      if (isDamage(error)) return this.#replaceFile([]);
    }
    this.#postState();
  }

  #deletesPending(): void {
    if (this.#file.pendingDeletes >= PENDING_DELETES_MAX) return this.#commit();
    this.#schedule();
    this.#progressTimer ??= setTimeout(() => {
      this.#progressTimer = undefined;
      this.#post({ kind: 'progress', state: this.#state() });
    }, PROGRESS_DELAY_MS);
  }

  #stop(): void {
    this.#commit();
    this.#close();
    this.#post({ kind: 'stopped' });
    this.#port.close();
  }

  /** After a programming error in this thread: closes the file in order, so that the next start does not find it damaged. */
  fail(): void {
    if (isFileOpen(this.#modes.current)) this.#close();
  }

  #close(): void {
    this.#commitTimer.stop();
    clearTimeout(this.#recheckTimer);
    clearTimeout(this.#progressTimer);
    this.#modes.set('closed', null);
    this.#file.close();
  }
}
