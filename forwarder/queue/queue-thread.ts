/**
 * What the queue thread does with its file: it commits appends and deletes in groups, applies the limits after each commit, and changes
 * the mode of the queue (queue-mode.ts) when the disk, the limits or the file demand it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../service/errors/errors.ts';
import { SingleTimer } from '../../service/pacing/single-timer.ts';
import { CommitTimer } from './commit-timer.ts';
import { diskTroubleOf, isDamage } from './disk-trouble.ts';
import { QueueFile } from './queue-file.ts';
import {
  NO_CONTENTS,
  buffersOf,
  mayBeReadable,
  nothingTaken,
  unnumberedOf,
  type Append,
  type EvictedSpan,
  type QueueContents,
  type QueueReply,
  type QueueRequest,
  type QueueState,
  type QueueWorkerData,
  type ReplyPort,
  type TakeRequest,
} from './queue-messages.ts';
import { QueueLimits } from './queue-limits.ts';
import { isFileOpen, QueueModes, REPLACING } from './queue-mode.ts';
import { QueueOpener } from './queue-opener.ts';

/** Checking a larger file takes seconds on a small box, minutes from a slow card. */
const LARGE_BYTES = 64 * 1024 * 1024;
/** With this many pending deletes a commit is made for them alone. */
const PENDING_DELETES_MAX = 4000;
/** After an unclean start, deletes do not wait for this long: in a crash loop each process would ship the same rows, and delete none. */
const DELETES_AT_ONCE_MS = 60_000;
/** Shipped rows are reported as shipped after this time, although their deletion is not due. */
const PROGRESS_DELAY_MS = 100;
/** How often a queue that does not accept checks whether it can again. */
const RECHECK_MS = 1000;
/** While deletes fail, taking stops at this many pending deletes: the same rows would be shipped again after every restart. */
const UNDELETED_MAX = 2000;

export class QueueThread {
  readonly #options: QueueWorkerData;
  readonly #port: ReplyPort;
  readonly #file: QueueFile;
  readonly #opener: QueueOpener;
  readonly #modes = new QueueModes();
  readonly #limits: QueueLimits;
  readonly #commitTimer: CommitTimer;
  #pending: Append[] = [];
  #pendingRows = 0;
  /** As last read: what counts while the file is not open. */
  #contents: Readonly<QueueContents> = NO_CONTENTS;
  #deletesAtOnceUntilMs = Number.NEGATIVE_INFINITY;
  #waitingTake: TakeRequest | undefined;
  readonly #progress = new SingleTimer(PROGRESS_DELAY_MS, () => this.#post({ kind: 'progress', state: this.#state() }));
  readonly #rechecks = new SingleTimer(RECHECK_MS, () => {
    this.#recheck();
    this.#recheckLater();
  });
  /**
   * Counts refusals. The main thread sends the last epoch that it knows with each append; an append of an earlier epoch was sent before
   * its sender knew of the refusal, so the readings before it are missing, and it is refused, too.
   */
  #epoch = 0;

  constructor(options: QueueWorkerData, port: ReplyPort) {
    this.#options = options;
    this.#port = port;
    this.#file = new QueueFile(options);
    this.#opener = new QueueOpener(this.#file, options);
    this.#limits = new QueueLimits(this.#file, this.#modes, options, () => {
      // After a failed write the next commit applies them.
      if (isFileOpen(this.#modes.current) && this.#modes.current !== 'write_failed') this.#applyLimits();
    });
    this.#commitTimer = new CommitTimer(options.commitIntervalMs, () => this.#commit());
  }

  #post(reply: QueueReply): void {
    this.#port.postMessage(reply);
    if (this.#waitingTake !== undefined && mayBeReadable(reply)) this.#take(this.#waitingTake);
  }

  #state(): QueueState {
    const { current: mode, reason } = this.#modes;
    try {
      if (isFileOpen(mode)) this.#contents = this.#file.contents();
    } catch {
      // The disk does not return a page: what was read last counts.
    }
    return { ...this.#contents, mode, reason };
  }

  #postState(): void {
    this.#post({ kind: 'state', state: this.#state() });
  }

  /** Opens the file, and waits as long as its disk does not allow that. False if it cannot be opened: `failed` was posted. */
  async start(): Promise<boolean> {
    this.#contents = this.#file.contentsBeforeOpen();
    const { bytes } = this.#contents;
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
    if (this.#file.wasUnclean) this.#deletesAtOnceUntilMs = performance.now() + DELETES_AT_ONCE_MS;
    this.#post({ kind: 'opened', queue: this.#file.queueId, watermarks: [...this.#file.watermarks], state: this.#state() });
    this.#applyLimits();
    return true;
  }

  /** False: to be tried again, or, if the mode is `closed` now, never. */
  #tryOpen(): boolean {
    const outcome = this.#opener.tryOpen();
    switch (outcome.kind) {
      case 'open':
        return true;
      case 'waiting':
        this.#modes.set(this.#modes.current === 'replacing' ? 'replacing' : 'waiting_to_open', outcome.reason);
        this.#post({ kind: 'waiting', state: this.#state() });
        return false;
      default:
        this.#modes.set('closed', null);
        if (outcome.kind === 'failed') this.#post(outcome);
        return false;
    }
  }

  handle(request: QueueRequest): void {
    switch (request.kind) {
      case 'append':
        return this.#append(request.appends, request.epoch);
      case 'take':
        return this.#take(request);
      case 'goLive':
        return isFileOpen(this.#modes.current) ? this.#file.readAhead.goLive(request.sinceMs) : undefined;
      case 'acknowledge':
        this.#file.shipped(request.ids);
        if (this.#file.readAhead.isReadable) this.#post({ kind: 'readable' });
        return this.#deletesPending();
      case 'evict':
        this.#file.evict(request.ids, request.cause);
        return this.#deletesPending();
      case 'putBack':
        return this.#file.readAhead.putBack(request.device, request.ids);
      case 'release':
        this.#file.readAhead.release(request.device);
        return this.#post({ kind: 'readable' });
      case 'bury':
        this.#file.bury(request.rowId, request.reason, request.detail);
        // As soon as a reading would be committed: it is news.
        return this.#commitTimer.schedule({ isUrgent: true, rows: this.#pendingRows });
      case 'deadLetters':
        return this.#answer(request.id, () => this.#file.deadLetters(request.limit, request.before));
      case 'retryDead':
        // Only this request needs the compiler of schemas, which takes 4 MB.
        return void import('./retried-letters.ts').then(({ retryRules }) =>
          this.#answer(request.id, () => this.#file.retryDead(request.ids, retryRules(this.#options.gateway))),
        );
      case 'discardDead':
        return this.#answer(request.id, () => this.#file.discardDead(request.ids));
      case 'showRun':
        return this.#answerCommitted(request.id, () => this.#file.showRun(request.run, request.gateway, request.from));
      case 'runSpans':
        return this.#answerCommitted(request.id, () => this.#file.runSpans(request.run, request.since, request.upTo));
      case 'accounts':
        return this.#answerCommitted(request.id, () => this.#file.accounts(request.request));
      case 'acknowledgeDamage':
        return this.#answer(request.id, () => this.#file.acknowledgeDamage());
      case 'backup':
        return void this.#file.backup(request.file).then(
          (value) => this.#post({ kind: 'answer', id: request.id, value }),
          (error: unknown) => this.#post({ kind: 'error', id: request.id, message: messageOf(error) }),
        );
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
    const deletesAreUrgent = this.#file.pendingDeletes > 0 && performance.now() < this.#deletesAtOnceUntilMs;
    this.#commitTimer.schedule({ isUrgent: this.#pending.length > 0 || deletesAreUrgent, rows: this.#pendingRows });
  }

  /** Refuses appends, and with the new epoch everything that was sent before the main thread knows of it. */
  #refuse(appends: readonly Append[]): void {
    this.#epoch += 1;
    this.#postRefused(appends);
  }

  /** Numbered readings are sent again; un-numbered ones are lost. Does not raise the epoch: a steady flow would be refused for ever. */
  #postRefused(appends: readonly Append[]): void {
    const { accepted, refused } = unnumberedOf(appends);
    this.#post({
      kind: 'refused',
      queue: this.#file.queueId,
      state: this.#state(),
      watermarks: [...this.#file.watermarks],
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
    this.#progress.clear();
    if (!isFileOpen(this.#modes.current)) return;
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
    this.#modes.writeSucceeded();
    this.#applyLimits({ appends, rows, startedAt });
  }

  /** Applies the limits, reports the commit before it, and what was evicted. */
  #applyLimits(commit?: { appends: Append[]; rows: number; startedAt: number }): void {
    const { appends = [], rows = 0, startedAt = performance.now() } = commit ?? {};
    let evicted: EvictedSpan[] = [];
    let limitsError: unknown;
    try {
      evicted = this.#limits.apply();
    } catch (error) {
      limitsError = error;
    }
    this.#recheckLater();
    const watermarks = appends.flatMap((append) => append.watermarks);
    const commitMs = performance.now() - startedAt;
    const unnumbered = unnumberedOf(appends);
    if (commit !== undefined || evicted.length > 0 || !this.#modes.accepts)
      this.#post({ kind: 'committed', watermarks, unnumbered, state: this.#state(), rows, commitMs, evicted });
    if (limitsError !== undefined) this.#diskTrouble(limitsError, []);
  }

  /**
   * After a failed read or write, which changed nothing. What waits for a commit is refused with the appends that failed: their sequencers
   * learn of the same watermarks, so nothing that was reported as refused may be committed later.
   */
  #diskTrouble(error: unknown, appends: readonly Append[]): void {
    const refused = [...appends, ...this.#takePending()];
    if (isDamage(error)) return this.#replaceFile(refused);
    const reason = diskTroubleOf(error, this.#options.file);
    this.#modes.set('write_failed', reason);
    // So that shipped rows can still be deleted.
    if (reason.code === 'disk_full') this.#file.releaseReserve();
    if (refused.length > 0) this.#refuse(refused);
    // A lock was already waited for.
    if (reason.code !== 'queue_busy') this.#commitDeletes();
    this.#recheckLater();
    this.#postState();
  }

  /** The open file may be damaged: it is checked, and a new one takes its place if it is. What was pending is refused. */
  #replaceFile(appends: readonly Append[]): void {
    this.#modes.set('replacing', REPLACING);
    this.#file.abandon();
    this.#refuse(appends);
    this.#openAgain();
  }

  #openAgain(): void {
    if (this.#tryOpen()) {
      this.#modes.set('open', null);
      this.#postState();
    } else this.#recheckLater();
  }

  /**
   * Deletes shipped rows after a write failed; a truncated log makes room for that. Afterwards the log is truncated again: behind its end
   * it may still hold a commit that failed, and was refused.
   */
  #commitDeletes(): void {
    if (this.#modes.current !== 'write_failed') return;
    try {
      this.#file.checkpoint();
    } catch {
      // The commit may find room without it.
    }
    try {
      this.#file.commit([]);
      this.#file.checkpoint();
    } catch {
      return;
    }
    this.#modes.writeSucceeded();
  }

  /** Runs for as long as nothing is accepted. */
  #recheckLater(): void {
    if (this.#modes.accepts || this.#modes.current === 'closed') return;
    this.#rechecks.set();
  }

  #recheck(): void {
    if (this.#modes.accepts) return;
    if (this.#modes.current === 'replacing') return this.#openAgain();
    try {
      const before = this.#modes.current;
      this.#commitDeletes();
      // The drain received nothing while deletes failed: notify it that there are rows again.
      if (before === 'write_failed' && this.#modes.current === 'recovering') this.#postState();
      if (!this.#limits.mayAcceptAgain()) return;
    } catch (error) {
      return this.#diskTrouble(error, []);
    }
    this.#modes.set('open', null);
    this.#postState();
  }

  #take(request: TakeRequest): void {
    if (this.#waitingTake === request) this.#waitingTake = undefined;
    if (this.#file.pendingDeletes > UNDELETED_MAX) this.#commitDeletes();
    const isStuck = this.#modes.current === 'write_failed' && this.#file.pendingDeletes > UNDELETED_MAX;
    let rows;
    try {
      rows = isFileOpen(this.#modes.current) && !isStuck ? this.#file.take(request) : nothingTaken();
    } catch (error) {
      this.#post({ kind: 'error', id: request.id, message: messageOf(error) });
      return this.#diskTrouble(error, []);
    }
    if (rows === undefined) return void setImmediate(() => this.#take(request));
    if (request.waits === true && rows.ids.length === 0) return void (this.#waitingTake = request);
    this.#port.postMessage({ kind: 'taken', id: request.id, rows }, buffersOf(rows));
  }

  /** Rows that were shipped are in the account of their run once their deletion is committed. */
  #answerCommitted(id: number, work: () => unknown): void {
    if (this.#file.pendingDeletes > 0) this.#commit();
    this.#answer(id, work);
  }

  /** Runs a request that expects an answer, then reports the state that it may have changed. */
  #answer(id: number, work: () => unknown): void {
    try {
      this.#post({ kind: 'answer', id, value: work() });
    } catch (error) {
      this.#post({ kind: 'error', id, message: messageOf(error) });
      if (isDamage(error)) return this.#replaceFile(this.#takePending());
    }
    this.#postState();
  }

  #deletesPending(): void {
    if (this.#file.pendingDeletes >= PENDING_DELETES_MAX) return this.#commit();
    this.#schedule();
    this.#progress.set();
  }

  #stop(): void {
    this.#commit();
    this.close();
    this.#post({ kind: 'stopped' });
    this.#port.close();
  }

  /** Closes the file in order, also after a programming error in this thread: else the next start would find it damaged. */
  close(): void {
    this.#commitTimer.stop();
    this.#rechecks.clear();
    this.#progress.clear();
    this.#limits.stop();
    const isOpen = isFileOpen(this.#modes.current);
    this.#modes.set('closed', null);
    if (isOpen) this.#file.close();
  }
}
