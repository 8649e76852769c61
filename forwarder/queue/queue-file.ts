/**
 * The queue's file, used by the queue thread only. Every change of rows, dead letters, watermarks and ledger is one transaction, and the
 * ledger is checked before each commit: accepted = shipped + queued + dead + evicted.
 * Shipped rows are deleted with the next commit: a commit of its own would double the bytes written.
 */
import { statSync } from 'node:fs';
import type { DeadLetters as DeadLetterList } from '../../contract/dead-letter.ts';
import { checkpoint, freeDiskBytes, Reserve, RESERVE_BYTES, returnFreePages, usedBytes } from './disk-space.ts';
import { addTo, causesOf, damageReport, ledgerOf, total, type LedgerState } from './ledger.ts';
import { OpenFile, type Row } from './open-file.ts';
import { closeKeepingLog, markClosed, openQueue, type OpenedQueue } from './open-queue.ts';
import { addToSpans } from './eviction.ts';
import { ReadAhead } from './read-ahead.ts';
import type { Append, EvictedSpan, QueueContents, QueueWorkerData, RunWatermark, TakenColumns } from './queue-messages.ts';
import { NewerSchemaError } from './schema.ts';
import type { Retried, RetryRules } from './retried-letters.ts';
import { identityIn, type StoredDead } from './stored-rows.ts';

/** One step of an eviction: at most so many rows, and at most so large a share of the limit more than necessary. */
const EVICT_ROWS = 1000;
const EVICT_SHARE = 1 / 16;

function idsByCause(causes: ReadonlyMap<number, string>): Map<string, number[]> {
  const groups = new Map<string, number[]>();
  for (const [id, cause] of causes) {
    const group = groups.get(cause);
    if (group === undefined) groups.set(cause, [id]);
    else group.push(id);
  }
  return groups;
}

export type QueueFileOptions = Omit<QueueWorkerData, 'opening'>;

export class QueueFile {
  readonly #options: QueueFileOptions;
  readonly #reserve: Reserve;
  #opened: OpenFile | undefined;
  #ahead: ReadAhead | undefined;
  /** Rows that the next commit deletes: shipped (empty text), or evicted (the cause). */
  readonly #pendingDeletes = new Map<number, string>();
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
  open(mayOpen: () => boolean): boolean {
    const open = (): OpenedQueue | undefined => openQueue(this.#options.file, this.#options.gateway, mayOpen);
    let opened: OpenedQueue | undefined;
    try {
      opened = open();
    } catch (error) {
      if (!this.#reserve.exists || error instanceof NewerSchemaError) throw error;
      this.#reserve.release();
      opened = open();
    }
    if (opened === undefined) return false;
    this.#opened = new OpenFile(opened, this.#options.maxBytes);
    this.#wasUnclean = opened.wasUnclean;
    if (this.#ahead === undefined) this.#ahead = new ReadAhead(opened.database, opened.state.nextRowId, this.#pendingDeletes);
    else this.#ahead.moveTo(opened.database);
    this.#reserve.fill();
    return true;
  }

  /** After damage was found in the open file: checks and replaces it as at a start. Rows in flight stay in flight. */
  reopen(): void {
    try {
      closeKeepingLog(this.#file.database);
    } catch {
      // A damaged file may not even close.
    }
    this.#opened = undefined;
    this.open(() => true);
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

  get watermarks(): RunWatermark[] {
    return this.#file.watermarks.all;
  }

  /** Identity of the file. */
  get queueId(): string {
    return this.#file.watermarks.queueId;
  }

  /** The process before did not close the file in order. */
  get wasUnclean(): boolean {
    return this.#wasUnclean;
  }

  /** Rows that were shipped or evicted, and are not deleted yet. */
  get pendingDeletes(): number {
    return this.#pendingDeletes.size;
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
    checkpoint(this.#file.database);
  }

  bytes(): number {
    return usedBytes(this.#file.database);
  }

  /** Commits appends and all pending deletes at once; if it throws, nothing has changed. */
  commit(appends: readonly Append[]): void {
    const file = this.#file;
    let nextRowId = file.ledger.nextRowId;
    file.change((next) => {
      for (const [cause, ids] of idsByCause(this.#pendingDeletes)) {
        // A row that is not there any more (acknowledged twice, or lost with a damaged file) is not counted again.
        const removed = file.deleteRows(ids);
        next.queued -= removed;
        if (cause === '') next.shipped += removed;
        else addTo(next.evictedBy, cause, removed);
      }
      for (const append of appends) this.#apply(next, append);
      file.dead.evictOverLimit(next);
    });
    this.#pendingDeletes.clear();
    this.#commits += 1;
    for (const { rows } of appends) {
      this.readAhead.accepted(
        nextRowId,
        rows.data.map((data, index) => ({ device: rows.devices[index] ?? '', data })),
      );
      nextRowId += rows.data.length;
    }
  }

  #apply(next: LedgerState, { rows, dead, watermarks }: Append): void {
    const now = Date.now();
    for (const [index, data] of rows.data.entries()) {
      const device = rows.devices[index] ?? '';
      const source = rows.sources[index] ?? 0;
      this.#file.addRow(next, { accepted_ms: now, source, device, data });
    }
    next.accepted += rows.data.length + dead.length;
    next.queued += rows.data.length;
    for (const letter of dead) this.#file.dead.add(next, letter);
    for (const watermark of watermarks) this.#file.watermarks.move(next, watermark);
  }

  /** Takes the next rows; undefined if it found none so far and is to be called again. Throws DamagedRowError. */
  take(maxRows: number, maxBytes: number): TakenColumns | undefined {
    const { rows: taken, isComplete } = this.readAhead.take(maxRows, maxBytes);
    if (taken.length === 0 && !isComplete) return undefined;
    return {
      ids: Float64Array.from(taken, ({ id }) => id),
      acceptedAtMs: Float64Array.from(taken, ({ accepted_ms }) => accepted_ms),
      sources: taken.map(({ source }) => source),
      devices: taken.map(({ device }) => device),
      data: taken.map(({ data }) => data),
    };
  }

  /** These rows were shipped; the next commit deletes them. */
  shipped(ids: Float64Array): void {
    this.evict(ids, '');
  }

  /** These rows are not to be shipped at all; the next commit deletes them and counts them as evicted by this cause. */
  evict(ids: Float64Array, cause: string): void {
    for (const id of ids) this.#pendingDeletes.set(id, cause);
    this.readAhead.settled(ids);
  }

  /** Moves one row that was taken to the dead letters. */
  bury(rowId: number, reason: string, detail: string): void {
    const file = this.#file;
    const row = file.selectRow.get(rowId) as Row | undefined;
    if (row === undefined) return;
    file.change((next) => {
      file.deleteRow.run(rowId);
      next.queued -= 1;
      file.dead.add(next, {
        reason,
        detail,
        device: row.device,
        ...identityIn(row.data),
        bytes: Buffer.byteLength(row.data),
        payload: row.data,
        whole: true,
      });
      file.dead.evictOverLimit(next);
    });
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
    for (let bytes = this.bytes(); bytes > maxBytes; bytes = this.bytes()) {
      const rows = this.readAhead.evictable(EVICT_ROWS, bytes - maxBytes * (1 - EVICT_SHARE));
      if (rows.length === 0) break;
      file.change((next) => {
        for (const row of rows) file.deleteRow.run(row.id);
        next.queued -= rows.length;
        addTo(next.evictedBy, 'queue_full', rows.length);
      });
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
    file.dead.remove(next, letter);
    file.addRow(next, { accepted_ms: Date.now(), source, device, data });
    next.queued += 1;
  }

  discardDead(ids: readonly number[] | null): { discarded: number } {
    const file = this.#file;
    let discarded = 0;
    for (const letters of file.dead.groups(ids)) {
      if (letters.length === 0) continue;
      file.change((next) => {
        for (const letter of letters) file.dead.remove(next, letter);
        addTo(next.evictedBy, 'discarded', letters.length);
      });
      discarded += letters.length;
    }
    return { discarded };
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
      closeKeepingLog(database);
      return;
    }
    database.close();
  }
}
