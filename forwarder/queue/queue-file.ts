/**
 * The queue's file, used by the queue thread only. Every change of rows, dead letters, watermarks and ledger is one transaction, and the
 * ledger is checked before each commit: accepted = shipped + queued + dead + evicted.
 * Shipped rows are deleted with the next commit: a commit of its own would double the bytes written.
 */
import { statSync } from 'node:fs';
import type { DeadLetters as DeadLetterList } from '../../contract/dead-letter.ts';
import type { AccountRecord } from '../../contract/stream-account.ts';
import { bytesOnDisk, freeDiskBytes, pageBytes, Reserve, RESERVE_BYTES, returnFreePages, usedBytes } from './disk-space.ts';
import { addTo, causesOf, commitsLostOf, damageReport, ledgerOf, total, type LedgerState } from './ledger.ts';
import { addToSpans } from './eviction.ts';
import { OpenFile, type FileLimits, type Row } from './open-file.ts';
import { closeKeepingLog, markClosed, openQueue, peek, type OpenedQueue, type OpenOptions } from './open-queue.ts';
import {
  NO_CONTENTS,
  type AccountsRequest,
  type Append,
  type EvictedSpan,
  type QueueContents,
  type QueueWorkerData,
  type RunIdentity,
  type RunWatermark,
  type TakenColumns,
} from './queue-messages.ts';
import { ReadAhead } from './read-ahead.ts';
import type { LastKnown } from './replace-damaged.ts';
import type { Retried, RetryRules } from './retried-letters.ts';
import { accountOf, spansSince, type ChangedSpans, type FoundRun } from './run-account.ts';
import { NewerSchemaError } from './schema.ts';
import { sentData, type StoredDead } from './stored-rows.ts';
import { accountsOptions } from './stream-accounts.ts';

/** One step of an eviction: at most so many rows, and at most so large a share of the limit more than necessary. */
const EVICT_ROWS = 1000;
const DAY_MS = 24 * 3_600_000;
const EVICT_SHARE = 1 / 16;

export type QueueFileOptions = Omit<QueueWorkerData, 'opening'> & Pick<FileLimits, 'spansMax'> & { accountsEveryMs?: number };

/** `isUnreadableDamaged`: see OpenOptions. */
export type Opening = Pick<OpenOptions, 'mayOpen' | 'isUnreadableDamaged'>;

/**
 * A file that is replaced while it is open begins a new epoch: its rows get ids above all that were used before, so whatever is still
 * acknowledged, evicted or buried of the earlier file cannot touch them, and all of them are taken again.
 */
export class QueueFile {
  readonly #options: QueueFileOptions;
  readonly #reserve: Reserve;
  #opened: OpenFile | undefined;
  /** What was last committed, while a damaged file is not open. */
  #known: LastKnown | undefined;
  /** Rows with lower ids are of a file that was replaced. */
  #firstId = 0;
  #ahead: ReadAhead | undefined;
  /** Rows that the next commit deletes: shipped (empty text), or evicted (the cause). */
  #pendingDeletes = new Map<number, string>();
  /** Rows that the next commit moves to the dead letters. */
  #pendingBurials = new Map<number, { reason: string; detail: string }>();
  #commits = 0;
  #wasUnclean = false;

  constructor(options: QueueFileOptions) {
    this.#options = options;
    this.#reserve = new Reserve(options.file);
  }

  /**
   * Opens the file, on a full disk with the help of the reserve. False if `mayOpen`, which is asked after the check, says no. Throws
   * NewerSchemaError, or an error of the disk.
   */
  open(opening: Opening): boolean {
    const { file, gateway, maxBytes, auditDays, spansMax } = this.#options;
    const open = (): OpenedQueue | undefined => openQueue(file, { gateway, known: this.#known, ...opening });
    let opened: OpenedQueue | undefined;
    try {
      opened = open();
    } catch (error) {
      if (!this.#reserve.exists || error instanceof NewerSchemaError) throw error;
      this.#reserve.release();
      opened = open();
    }
    if (opened === undefined) return false;
    const accounts = accountsOptions(this.#options);
    this.#opened = new OpenFile(opened, { maxBytes, auditMs: auditDays * DAY_MS, spansMax, accounts });
    this.#wasUnclean = opened.wasUnclean;
    if (opened.isReplaced) this.#beginEpoch();
    this.#known = undefined;
    const isSettled = (id: number): boolean => this.#pendingDeletes.has(id) || this.#pendingBurials.has(id);
    if (this.#ahead === undefined)
      this.#ahead = new ReadAhead(opened.database, { nextRowId: opened.state.nextRowId, isSettled, owners: opened.owners });
    else this.#ahead.moveTo(opened.database);
    this.#reserve.fill();
    return true;
  }

  #beginEpoch(): void {
    this.#firstId = this.#known?.ledger.nextRowId ?? 0;
    this.#ahead = undefined;
    this.#pendingDeletes = new Map();
    this.#pendingBurials = new Map();
  }

  /** After damage was found in the open file: closes it as a kill would. `open` then checks it as at a start, and replaces it if needed. */
  abandon(): void {
    const { database, ledger, watermarks } = this.#file;
    this.#known = { ledger, watermarks: watermarks.all, queueId: watermarks.queueId };
    this.#opened = undefined;
    try {
      closeKeepingLog(database);
    } catch {
      // A damaged file may not even close.
    }
  }

  get #file(): OpenFile {
    if (this.#opened === undefined) throw new Error('the queue file is not open');
    return this.#opened;
  }

  /** Which rows the drain gets next, and which are in flight. */
  get readAhead(): ReadAhead {
    if (this.#ahead === undefined) throw new Error('the queue file is not open');
    return this.#ahead;
  }

  get watermarks(): readonly RunWatermark[] {
    return this.#known?.watermarks ?? this.#file.watermarks.all;
  }

  /** Identity of the file. */
  get queueId(): string {
    return this.#known?.queueId ?? this.#file.watermarks.queueId;
  }

  /** The process before did not close the file in order. */
  get wasUnclean(): boolean {
    return this.#wasUnclean;
  }

  /** Rows that were shipped, evicted or refused, and are not deleted yet. */
  get pendingDeletes(): number {
    return this.#pendingDeletes.size + this.#pendingBurials.size;
  }

  releaseReserve(): void {
    this.#reserve.release();
  }

  freeDiskBytes(): number {
    return freeDiskBytes(this.#options.file);
  }

  /** Whether the disk has space for accepting again: the minimum that must stay free, the reserve, and some room to work. */
  hasSpace(): boolean {
    const wanted = this.#options.minFreeDiskBytes + RESERVE_BYTES + (this.#reserve.exists ? 0 : RESERVE_BYTES);
    if (this.freeDiskBytes() < wanted) returnFreePages(this.#file.database);
    if (this.freeDiskBytes() < wanted) return false;
    this.#reserve.fill();
    return true;
  }

  checkpoint(): void {
    this.#file.pin.checkpoint();
  }

  bytes(): number {
    return usedBytes(this.#file.database);
  }

  /** As `bytes`, but without the log, which another process may keep from being written back: nothing is evicted for that. */
  pageBytes(): number {
    return pageBytes(this.#file.database);
  }

  /** Commits appends and all pending deletes at once; if it throws, nothing has changed. */
  commit(appends: readonly Append[]): void {
    const file = this.#file;
    let nextRowId = file.ledger.nextRowId;
    file.change((next) => {
      file.settleAll(next, this.#pendingDeletes);
      for (const [id, burial] of this.#pendingBurials) file.bury(next, id, burial);
      for (const append of appends) file.append(next, append);
      file.dead.evictOverLimit(next);
      file.expireAccounts(next);
      file.accounts.attach(next, nextRowId, appends);
    });
    this.#pendingDeletes = new Map();
    this.#pendingBurials = new Map();
    this.#commits += 1;
    file.pin.look();
    for (const { rows } of appends) {
      this.readAhead.accepted(
        nextRowId,
        rows.data.map((data, index) => ({ device: rows.devices[index] ?? '', data })),
      );
      nextRowId += rows.data.length;
    }
  }

  /** Takes the next rows; undefined if it found none so far and is to be called again. Throws DamagedRowError. */
  take(limits: Parameters<ReadAhead['take']>[0]): TakenColumns | undefined {
    const { rows: taken, isComplete, ...rest } = this.readAhead.take(limits);
    if (taken.length === 0 && !isComplete) return undefined;
    return {
      ...rest,
      ids: Float64Array.from(taken, ({ id }) => id),
      acceptedAtMs: Float64Array.from(taken, ({ accepted_ms }) => accepted_ms),
      sources: taken.map(({ source }) => source),
      devices: taken.map(({ device }) => device),
      data: taken.map(sentData),
    };
  }

  /** These rows were shipped; the next commit deletes them. */
  shipped(ids: Float64Array): void {
    this.#delete(ids, '');
  }

  /** These rows are not to be shipped at all; the next commit deletes them and counts them as evicted by this cause. */
  evict(ids: Float64Array, cause: string): void {
    this.#delete(ids, cause);
  }

  #delete(ids: Float64Array, cause: string): void {
    for (const id of ids) if (id >= this.#firstId) this.#pendingDeletes.set(id, cause);
    this.readAhead.settled(ids);
  }

  /** The next commit moves this row, which was taken, to the dead letters. */
  bury(rowId: number, reason: string, detail: string): void {
    if (rowId < this.#firstId) return;
    this.#pendingBurials.set(rowId, { reason, detail });
    this.readAhead.settled([rowId]);
  }

  /**
   * Evicts the oldest rows of those with the largest shares (eviction.ts), but none in flight, until the file is below its limit. Returns
   * what was evicted, by device.
   */
  evictOverLimit(): EvictedSpan[] {
    const file = this.#file;
    const spans = new Map<string, EvictedSpan>();
    const { maxBytes } = this.#options;
    for (let bytes = this.pageBytes(); bytes > maxBytes; bytes = this.pageBytes()) {
      const rows = this.readAhead.evictable(EVICT_ROWS, bytes - maxBytes * (1 - EVICT_SHARE));
      if (rows.length === 0) break;
      const ids = rows.map(({ id }) => id);
      file.change((next) => file.settle(next, ids, 'queue_full'));
      this.readAhead.evicted(rows);
      addToSpans(spans, rows);
      this.checkpoint();
    }
    return [...spans.values()];
  }

  deadLetters(limit: number, before: number | null): DeadLetterList {
    return { total: this.#file.ledger.dead, ...this.#file.dead.list(limit, before) };
  }

  /**
   * Returns dead letters that are readings now to the queue, under the identity that they have; a letter that is still refused stays,
   * with the reason that the rules give today. Each letter moves in one transaction.
   */
  retryDead(ids: readonly number[] | null, rules: RetryRules): { retried: number; left: number } {
    const { dead } = this.#file;
    const counts = { retried: 0, left: 0 };
    for (const letters of dead.groups(ids)) {
      const outcomes = letters.map((letter) => ({ letter, outcome: rules(letter) }));
      const retried = outcomes.filter(({ outcome }) => outcome.kind === 'row').length;
      const isRenamed = outcomes.some(({ letter, outcome }) => outcome.kind === 'dead' && outcome.reason !== letter.reason);
      counts.retried += retried;
      counts.left += letters.length - retried;
      if (retried === 0 && !isRenamed) continue;
      const { nextRowId } = this.#file.ledger;
      this.#file.change((next) => {
        for (const { letter, outcome } of outcomes) this.#retry(next, letter, outcome);
      });
      const rows = outcomes.flatMap(({ outcome }) => (outcome.kind === 'row' ? [outcome] : []));
      this.readAhead.accepted(nextRowId, rows);
    }
    return counts;
  }

  #retry(next: LedgerState, letter: StoredDead, outcome: Retried): void {
    const file = this.#file;
    if (outcome.kind === 'dead') {
      if (outcome.reason !== letter.reason) file.dead.rename(next, letter, outcome.reason, outcome.detail);
      return;
    }
    const { device, source, data } = outcome;
    file.requeue(next, letter, { device, source, data });
  }

  discardDead(ids: readonly number[] | null): { discarded: number } {
    const file = this.#file;
    let discarded = 0;
    for (const letters of file.dead.groups(ids)) {
      if (letters.length === 0) continue;
      file.change((next) => {
        for (const letter of letters) file.dead.remove(next, letter, 'discarded');
      });
      discarded += letters.length;
    }
    return { discarded };
  }

  /**
   * The account of a run at the last commit: what became of each of its seqs, from `from` on (null: from the beginning). `gateway`: null
   * if only one has this run.
   */
  showRun(run: string, gateway: string | null, from: number | null): FoundRun {
    return accountOf(this.#file.audit, this.#file.ledger, run, gateway, from);
  }

  /** What changed in a run's account (run-account.ts). */
  runSpans(run: RunIdentity, since: number, upTo: number): ChangedSpans | null {
    return spansSince(this.#file.audit, this.#file.ledger, run, since, upTo) ?? null;
  }

  /** Accounts in the stream. */
  accounts(request: AccountsRequest): AccountRecord[] | null {
    return this.#file.accounts.answer(request, this.#file.ledger);
  }

  acknowledgeDamage(): { acknowledged: boolean } {
    const had = this.#file.ledger.damage !== '';
    if (had) this.#file.change((next) => (next.damage = ''));
    return { acknowledged: had };
  }

  /** Writes a consistent copy to `file` while the queue keeps working. */
  async backup(file: string): Promise<{ file: string; bytes: number }> {
    await this.#file.database.backup(file);
    markClosed(file);
    return { file, bytes: statSync(file).size };
  }

  #oldestQueued(): Row | undefined {
    for (const row of this.#file.selectRows.iterate(0, this.#pendingDeletes.size + 1) as IterableIterator<Row>)
      if (!this.#pendingDeletes.has(row.id)) return row;
    return undefined;
  }

  /** What a file that is not open yet is said to hold: status and page show that while it is checked. */
  contentsBeforeOpen(): QueueContents {
    const found = peek(this.#options.file);
    const bytes = bytesOnDisk(this.#options.file);
    if (found === undefined) return { ...NO_CONTENTS, bytes };
    const { state, oldestAcceptedAtMs } = found;
    return {
      ...NO_CONTENTS,
      ledger: ledgerOf(state),
      causes: causesOf(state),
      bytes,
      oldestAcceptedAtMs,
      deadLetters: state.dead,
      damage: damageReport(state),
      commitsLost: commitsLostOf(state),
    };
  }

  /** What the queue holds. Rows with a pending delete already count as shipped or evicted. */
  contents(): QueueContents {
    const ledger = ledgerOf(this.#file.ledger);
    const causes = causesOf(this.#file.ledger);
    let shipped = 0;
    for (const cause of this.#pendingDeletes.values())
      if (cause === '') shipped += 1;
      else addTo(causes.evicted, cause, 1);
    return {
      ledger: {
        ...ledger,
        shipped: ledger.shipped + shipped,
        queued: ledger.queued - this.#pendingDeletes.size,
        evicted: total(causes.evicted),
      },
      causes,
      bytes: this.bytes(),
      oldestAcceptedAtMs: this.#oldestQueued()?.accepted_ms ?? null,
      deadLetters: ledger.dead,
      damage: damageReport(this.#file.ledger),
      commitsLost: commitsLostOf(this.#file.ledger),
      pinned: this.#file.pin.reason,
      commits: this.#commits,
    };
  }

  /** Closes the file in order, or as after a kill if the disk does not allow that. */
  close(): void {
    const { database } = this.#file;
    try {
      this.checkpoint();
      this.#file.change((next) => (next.open = false));
    } catch {
      return closeKeepingLog(database);
    }
    database.close();
  }
}
