/**
 * The queue on its file, used by the queue thread alone: every change of rows, dead letters, marks and ledger in one transaction.
 * Rows that were shipped are deleted with the next commit: a delete of its own would double the bytes written.
 */
import { existsSync, rmSync, statfsSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Database, Statement } from '../../service/storage/sqlite.ts';
import { addTo, causesOf, imbalance, ledgerOf, moveWatermark, total, type LedgerState } from './ledger.ts';
import { closeKeepingLog, markClosed, openQueue } from './open-queue.ts';
import type {
  Append,
  DeadLetter,
  DeadLetterInput,
  EvictedSpan,
  QueueState,
  QueueWorkerData,
  RunWatermark,
  TakenColumns,
} from './queue-messages.ts';
import { NewerSchemaError } from './schema.ts';
import {
  identityIn,
  deleteRows,
  insertDead,
  insertRows,
  readRows,
  writeState,
  type StoredDead,
  type StoredRow,
} from './stored-rows.ts';

const RESERVE_BYTES = 1024 * 1024;
const EVICT_ROWS = 1000;
/** Dead letters never take more than about a tenth of the queue: whoever publishes rubbish must not push readings out. */
const DEAD_MAX = 10_000;
const DEAD_BYTES_ASSUMED = 4500;

type Row = Omit<StoredRow, 'crc'>;

/** A reading as it goes back into the queue, told from a dead letter's payload. */
export interface RetriedReading {
  device: string | undefined;
  /** Index into ROW_SOURCES. */
  source: number;
}

function byCause(settled: ReadonlyMap<number, string>): Map<string, number[]> {
  const groups = new Map<string, number[]>();
  for (const [id, cause] of settled) {
    const group = groups.get(cause);
    if (group === undefined) groups.set(cause, [id]);
    else group.push(id);
  }
  return groups;
}

export class QueueFile {
  readonly #options: QueueWorkerData;
  readonly #database: Database;
  #state: LedgerState;
  readonly #insertRow: ReturnType<typeof insertRows>;
  readonly #insertDead: ReturnType<typeof insertDead>;
  readonly #deleteRow: Statement;
  readonly #deleteDead: Statement;
  readonly #deleteRows: ReturnType<typeof deleteRows>;
  readonly #selectRows: Statement;
  readonly #readRows: ReturnType<typeof readRows>;
  /** Last row id that was taken: what is at or below it is in flight, or gone. */
  #cursor = 0;
  /** Rows that were shipped (empty) or given up (their cause), not yet deleted. */
  #settled = new Map<number, string>();
  accepting = true;
  trouble = '';
  commits = 0;

  /** Opens the file; on a full disk with the help of the reserve. Throws NewerSchemaError, or what the disk throws. */
  constructor(options: QueueWorkerData) {
    this.#options = options;
    const { database, state } = this.#open();
    this.#database = database;
    this.#state = state;
    this.#insertRow = insertRows(database);
    this.#insertDead = insertDead(database);
    this.#deleteRow = database.prepare('DELETE FROM rows WHERE id = ?');
    this.#deleteDead = database.prepare('DELETE FROM dead WHERE id = ?');
    this.#deleteRows = deleteRows(database);
    this.#readRows = readRows(database);
    this.#selectRows = database.prepare(
      'SELECT id, accepted_ms, source, device, data, crc FROM rows WHERE id > ? ORDER BY id LIMIT ?',
    );
    this.#reserve();
  }

  #open(): ReturnType<typeof openQueue> {
    try {
      return openQueue(this.#options.file);
    } catch (error) {
      if (!existsSync(this.#reserveFile) || error instanceof NewerSchemaError) throw error;
      this.releaseReserve();
      return openQueue(this.#options.file);
    }
  }

  /** The file was found damaged while it was open: it is looked at and replaced as at a start. What is in flight stays in flight. */
  reopened(): QueueFile {
    try {
      closeKeepingLog(this.#database);
    } catch {
      // What is damaged may not even close.
    }
    const next = new QueueFile(this.#options);
    next.#cursor = this.#cursor;
    next.#settled = this.#settled;
    next.commits = this.commits;
    return next;
  }

  get watermarks(): RunWatermark[] {
    return this.#state.marks;
  }

  get unsettled(): number {
    return this.#settled.size;
  }

  get #reserveFile(): string {
    return `${this.#options.file}.reserve`;
  }

  /** Keeps some space that can be given back when the disk is full, so that deletes can be committed. */
  #reserve(): void {
    try {
      if (existsSync(this.#reserveFile) && statSync(this.#reserveFile).size === RESERVE_BYTES) return;
      writeFileSync(this.#reserveFile, Buffer.alloc(RESERVE_BYTES));
    } catch {
      rmSync(this.#reserveFile, { force: true });
    }
  }

  releaseReserve(): void {
    rmSync(this.#reserveFile, { force: true });
  }

  freeDiskBytes(): number {
    const { bavail, bsize } = statfsSync(path.dirname(this.#options.file));
    return bavail * bsize;
  }

  /** Whether there is space again for accepting: the least that must stay free, the reserve, and something to work with. */
  hasSpace(): boolean {
    const wanted = this.#options.minFreeDiskBytes + RESERVE_BYTES + (existsSync(this.#reserveFile) ? 0 : RESERVE_BYTES);
    if (this.freeDiskBytes() < wanted) this.#giveFreePagesBack();
    if (this.freeDiskBytes() < wanted) return false;
    this.#reserve();
    return true;
  }

  /** Deletes leave free pages in the file. Where the disk needs them and little is in use, the file is rewritten without them. */
  #giveFreePagesBack(): void {
    const free = this.#pragma('freelist_count') * this.#pragma('page_size');
    const used = this.#pragma('page_count') * this.#pragma('page_size') - free;
    if (free < 2 * RESERVE_BYTES || used > free || 2 * used > this.freeDiskBytes()) return;
    this.#database.exec('VACUUM');
    this.checkpoint();
  }

  #pragma(name: string): number {
    return this.#database.pragma(name, { simple: true }) as number;
  }

  /** Writes the WAL into the file and empties it: what it takes is not needed. */
  checkpoint(): void {
    this.#database.pragma('wal_checkpoint(TRUNCATE)');
  }

  /** Used pages and the WAL. */
  bytes(): number {
    const pages = this.#pragma('page_count') - this.#pragma('freelist_count');
    let wal = 0;
    try {
      wal = statSync(`${this.#options.file}-wal`).size;
    } catch {
      wal = 0;
    }
    return pages * this.#pragma('page_size') + wal;
  }

  /** Commits appends and all settled rows at once; on failure nothing of it has happened. */
  commit(appends: readonly Append[]): void {
    const settled = this.#settled;
    const next = structuredClone(this.#state);
    this.#database
      .transaction(() => {
        for (const [cause, ids] of byCause(settled)) {
          // What is not there any more (acknowledged twice, or lost with a damaged file) is not counted again.
          const removed = this.#deleteRows(ids);
          next.queued -= removed;
          if (cause === '') next.shipped += removed;
          else addTo(next.evictedBy, cause, removed);
        }
        for (const append of appends) this.#apply(next, append);
        this.#limitDead(next);
        this.#write(next);
      })
      .immediate();
    this.#state = next;
    this.#settled = new Map();
    this.commits += 1;
  }

  #apply(next: LedgerState, { rows, dead, watermarks }: Append): void {
    const now = Date.now();
    for (const [index, data] of rows.data.entries()) {
      const device = rows.devices[index] ?? '';
      const source = rows.sources[index] ?? 0;
      this.#addRow(next, { accepted_ms: now, source, device, data });
    }
    next.accepted += rows.data.length + dead.length;
    next.queued += rows.data.length;
    for (const letter of dead) this.#addDead(next, letter);
    for (const watermark of watermarks) moveWatermark(next, watermark);
  }

  #addRow(next: LedgerState, row: Omit<Row, 'id'>): void {
    this.#insertRow({ id: next.nextRowId, ...row });
    next.nextRowId += 1;
  }

  #addDead(next: LedgerState, letter: DeadLetterInput): void {
    this.#insertDead({ ...letter, at_ms: Date.now(), whole: letter.whole ? 1 : 0 });
    next.dead += 1;
    addTo(next.deadBy, letter.reason, 1);
  }

  /** The oldest dead letters go where there are too many. */
  #limitDead(next: LedgerState): void {
    const excess = next.dead - Math.min(DEAD_MAX, Math.floor(this.#options.maxBytes / 10 / DEAD_BYTES_ASSUMED));
    if (excess <= 0) return;
    for (const { id, reason } of this.#database
      .prepare('SELECT id, reason FROM dead ORDER BY id LIMIT ?')
      .all(excess) as StoredDead[])
      this.#removeDead(next, id, reason);
    addTo(next.evictedBy, 'dead_letters_full', excess);
  }

  #removeDead(next: LedgerState, id: number, reason: string): void {
    this.#deleteDead.run(id);
    next.dead -= 1;
    addTo(next.deadBy, reason, -1);
    if (next.deadBy[reason] === 0) delete next.deadBy[reason];
  }

  /** Writes the state, after a look at the equation: a wrong account must never be committed. */
  #write(next: LedgerState): void {
    const wrong = imbalance(next);
    if (wrong !== undefined) throw new Error(`ledger: ${wrong}`);
    writeState(this.#database, next, this.#state);
  }

  #change(work: (next: LedgerState) => void): void {
    const next = structuredClone(this.#state);
    this.#database
      .transaction(() => {
        work(next);
        this.#write(next);
      })
      .immediate();
    this.#state = next;
  }

  /** Takes the next rows, oldest first. Throws DamagedRowError: a row that is not as it was written is never shipped. */
  take(maxRows: number, maxBytes: number): TakenColumns {
    const taken = this.#readRows(this.#cursor, maxRows, maxBytes);
    this.#cursor = taken.at(-1)?.id ?? this.#cursor;
    return {
      ids: Float64Array.from(taken, ({ id }) => id),
      acceptedAtMs: Float64Array.from(taken, ({ accepted_ms }) => accepted_ms),
      sources: taken.map(({ source }) => source),
      devices: taken.map(({ device }) => device),
      data: taken.map(({ data }) => data),
    };
  }

  settleShipped(ids: Float64Array): void {
    for (const id of ids) this.#settled.set(id, '');
  }

  settleEvicted(ids: Float64Array, cause: string): void {
    for (const id of ids) this.#settled.set(id, cause);
  }

  /** Moves one row that was taken to the dead letters. */
  bury(rowId: number, reason: string, detail: string): void {
    const row = this.#database.prepare('SELECT * FROM rows WHERE id = ?').get(rowId) as Row | undefined;
    if (row === undefined) return;
    this.#change((next) => {
      this.#deleteRow.run(rowId);
      next.queued -= 1;
      this.#addDead(next, {
        reason,
        detail,
        device: row.device,
        ...identityIn(row.data),
        bytes: Buffer.byteLength(row.data),
        payload: row.data,
        whole: true,
      });
      this.#limitDead(next);
    });
  }

  /** Gives up the oldest rows that are not in flight until there is room below the limit. Returns what was given up. */
  evictOverLimit(): EvictedSpan[] {
    const spans = new Map<string, EvictedSpan>();
    while (this.bytes() > this.#options.maxBytes) {
      const rows = this.#selectRows.all(this.#cursor, EVICT_ROWS) as Row[];
      if (rows.length === 0) break;
      this.#change((next) => {
        for (const row of rows) this.#deleteRow.run(row.id);
        next.queued -= rows.length;
        addTo(next.evictedBy, 'queue_full', rows.length);
      });
      for (const row of rows) {
        const at = /"timestamp":"([^"]+)"/.exec(row.data)?.[1] ?? new Date(row.accepted_ms).toISOString();
        const span = spans.get(row.device) ?? { device: row.device, from: at, to: at, count: 0 };
        spans.set(row.device, { ...span, to: at, count: span.count + 1 });
      }
      this.checkpoint();
    }
    return [...spans.values()];
  }

  deadLetters(limit: number, before: number | null): { dead_letters: DeadLetter[]; total: number } {
    const rows = this.#database
      .prepare(
        'SELECT id, at_ms, reason, detail, device, run, seq, bytes, payload, whole FROM dead WHERE id < ? ORDER BY id DESC LIMIT ?',
      )
      .all(before ?? Number.MAX_SAFE_INTEGER, limit) as Omit<StoredDead, 'crc'>[];
    return {
      total: this.#state.dead,
      dead_letters: rows.map(({ at_ms, ...row }) => ({
        ...row,
        payload: row.payload.slice(0, 4096),
        whole: row.whole === 1,
        at: new Date(at_ms).toISOString(),
      })),
    };
  }

  #deadOf(ids: readonly number[] | null): StoredDead[] {
    if (ids === null) return this.#database.prepare('SELECT * FROM dead ORDER BY id LIMIT ?').all(DEAD_MAX) as StoredDead[];
    const one = this.#database.prepare('SELECT * FROM dead WHERE id = ?');
    return [...new Set(ids)].flatMap((id) => (one.get(id) as StoredDead | undefined) ?? []);
  }

  /** Puts dead letters that are whole readings back into the queue; `read` tells of a payload what it is, or undefined for no reading. */
  retryDead(
    ids: readonly number[] | null,
    read: (payload: string) => RetriedReading | undefined,
  ): { retried: number; left: number } {
    const letters = this.#deadOf(ids);
    const good = letters.flatMap((letter) => {
      const reading = letter.whole === 1 ? read(letter.payload) : undefined;
      return reading === undefined ? [] : [{ letter, reading }];
    });
    if (good.length > 0)
      this.#change((next) => {
        const now = Date.now();
        for (const { letter, reading } of good) {
          this.#removeDead(next, letter.id, letter.reason);
          this.#addRow(next, {
            accepted_ms: now,
            source: reading.source,
            device: reading.device ?? letter.device,
            data: letter.payload,
          });
        }
        next.queued += good.length;
      });
    return { retried: good.length, left: letters.length - good.length };
  }

  discardDead(ids: readonly number[] | null): { discarded: number } {
    const letters = this.#deadOf(ids);
    if (letters.length > 0)
      this.#change((next) => {
        for (const { id, reason } of letters) this.#removeDead(next, id, reason);
        addTo(next.evictedBy, 'discarded', letters.length);
      });
    return { discarded: letters.length };
  }

  acknowledgeDamage(): { acknowledged: boolean } {
    const had = this.#state.damage !== '';
    if (had) this.#change((next) => (next.damage = ''));
    return { acknowledged: had };
  }

  async backup(file: string): Promise<{ file: string; bytes: number }> {
    await this.#database.backup(file);
    markClosed(file);
    return { file, bytes: statSync(file).size };
  }

  #oldestUnsettled(): Row | undefined {
    for (const row of this.#selectRows.iterate(0, this.#settled.size + 1) as IterableIterator<Row>)
      if (!this.#settled.has(row.id)) return row;
    return undefined;
  }

  /** The state as it stands with what is settled and not yet deleted: what was shipped is shipped. */
  state(): QueueState {
    const ledger = ledgerOf(this.#state);
    const oldest = this.#oldestUnsettled();
    const causes = causesOf(this.#state);
    let shipped = 0;
    for (const cause of this.#settled.values())
      if (cause === '') shipped += 1;
      else addTo(causes.evicted, cause, 1);
    return {
      ledger: {
        ...ledger,
        shipped: ledger.shipped + shipped,
        queued: ledger.queued - this.#settled.size,
        evicted: total(causes.evicted),
      },
      causes,
      bytes: this.bytes(),
      oldestAcceptedAtMs: oldest?.accepted_ms ?? null,
      deadLetters: ledger.dead,
      accepting: this.accepting,
      trouble: this.trouble,
      damage: this.#state.damage,
      commits: this.commits,
    };
  }

  close(): void {
    try {
      this.checkpoint();
      this.#change((next) => (next.open = false));
    } catch {
      closeKeepingLog(this.#database);
      return;
    }
    this.#database.close();
  }
}
