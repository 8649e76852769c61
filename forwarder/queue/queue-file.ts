/**
 * The queue on its file, used by the queue thread alone: every change of rows, dead letters, marks and ledger in one transaction.
 * Rows that were shipped are deleted with the next commit: a delete of its own would double the bytes written.
 */
import { rmSync, statfsSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Database, Statement } from '../../service/sqlite.ts';
import { addTo, causesOf, imbalance, ledgerOf, moveMark, type LedgerState } from './ledger.ts';
import { openQueue, rowChecksum, writeState } from './open-queue.ts';
import type { Append, DeadLetter, DeadLetterInput, EvictedSpan, QueueState, QueueWorkerData, RunMark, TakenColumns } from './queue-messages.ts';

const RESERVE_BYTES = 1024 * 1024;
const EVICT_ROWS = 1000;

interface Row {
  id: number;
  accepted_ms: number;
  source: number;
  device: string;
  data: string;
}

export class QueueFile {
  readonly #options: QueueWorkerData;
  readonly #database: Database;
  #state: LedgerState;
  readonly #insertRow: Statement;
  readonly #insertDead: Statement;
  readonly #deleteRow: Statement;
  readonly #selectRows: Statement;
  /** Last row id that was taken: what is at or below it is in flight, or gone. */
  #cursor = 0;
  /** Shipped or given up, not yet deleted. */
  #settled: { ids: number[]; shipped: number; evicted: Record<string, number> } = { ids: [], shipped: 0, evicted: {} };
  accepting = true;
  trouble = '';
  commits = 0;

  constructor(options: QueueWorkerData) {
    this.#options = options;
    const { database, state } = openQueue(options.file);
    this.#database = database;
    this.#state = state;
    this.#insertRow = database.prepare('INSERT INTO rows (id, accepted_ms, source, device, data, crc) VALUES (?, ?, ?, ?, ?, ?)');
    this.#insertDead = database.prepare('INSERT INTO dead (at_ms, reason, detail, device, run, seq, bytes, payload, whole) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)');
    this.#deleteRow = database.prepare('DELETE FROM rows WHERE id = ?');
    this.#selectRows = database.prepare('SELECT id, accepted_ms, source, device, data FROM rows WHERE id > ? ORDER BY id LIMIT ?');
    this.#reserve();
  }

  get marks(): RunMark[] {
    return this.#state.marks;
  }

  get unsettled(): number {
    return this.#settled.ids.length;
  }

  get #reserveFile(): string {
    return `${this.#options.file}.reserve`;
  }

  /** Keeps some space that can be given back when the disk is full, so that deletes can be committed. */
  #reserve(): void {
    try {
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
    if (this.freeDiskBytes() < this.#options.minFreeDiskBytes + 2 * RESERVE_BYTES) return false;
    this.#reserve();
    return true;
  }

  /** Writes the WAL into the file and empties it: what it takes is not needed. */
  checkpoint(): void {
    this.#database.pragma('wal_checkpoint(TRUNCATE)');
  }

  /** Used pages and the WAL. */
  bytes(): number {
    const pages = (this.#database.pragma('page_count', { simple: true }) as number) - (this.#database.pragma('freelist_count', { simple: true }) as number);
    const pageBytes = this.#database.pragma('page_size', { simple: true }) as number;
    let wal = 0;
    try {
      wal = statSync(`${this.#options.file}-wal`).size;
    } catch {
      wal = 0;
    }
    return pages * pageBytes + wal;
  }

  /** Commits appends and all settled rows at once; on failure nothing of it has happened. */
  commit(appends: readonly Append[]): void {
    const settled = this.#settled;
    const next = structuredClone(this.#state);
    this.#database
      .transaction(() => {
        for (const id of settled.ids) this.#deleteRow.run(id);
        for (const append of appends) this.#apply(next, append);
        next.shipped += settled.shipped;
        next.queued -= settled.ids.length;
        for (const [cause, count] of Object.entries(settled.evicted)) addTo(next.evictedBy, cause, count);
        this.#write(next);
      })
      .immediate();
    this.#state = next;
    this.#settled = { ids: [], shipped: 0, evicted: {} };
    this.commits += 1;
    if (this.#options.slowCommitMs > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, this.#options.slowCommitMs);
  }

  #apply(next: LedgerState, { rows, dead, marks }: Append): void {
    const now = Date.now();
    for (const [index, data] of rows.data.entries()) {
      const device = rows.devices[index] ?? '';
      const source = rows.sources[index] ?? 0;
      this.#addRow(next, { accepted_ms: now, source, device, data });
    }
    next.accepted += rows.data.length + dead.length;
    next.queued += rows.data.length;
    for (const letter of dead) this.#addDead(next, letter);
    for (const mark of marks) moveMark(next, mark);
  }

  #addRow(next: LedgerState, row: Omit<Row, 'id'>): void {
    this.#insertRow.run(next.nextRowId, row.accepted_ms, row.source, row.device, row.data, rowChecksum(row));
    next.nextRowId += 1;
  }

  #addDead(next: LedgerState, letter: DeadLetterInput): void {
    this.#insertDead.run(Date.now(), letter.reason, letter.detail, letter.device, letter.run, letter.seq, letter.bytes, letter.payload, letter.whole ? 1 : 0);
    next.dead += 1;
    addTo(next.deadBy, letter.reason, 1);
  }

  /** Writes the state, after a look at the equation: a wrong account must never be committed. */
  #write(next: LedgerState): void {
    const wrong = imbalance(next);
    if (wrong !== undefined) throw new Error(`ledger: ${wrong}`);
    writeState(this.#database, next);
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

  /** Takes the next rows, oldest first. */
  take(maxRows: number, maxBytes: number): TakenColumns {
    const taken: Row[] = [];
    let bytes = 0;
    for (const row of this.#selectRows.iterate(this.#cursor, maxRows) as IterableIterator<Row>) {
      bytes += row.data.length;
      if (taken.length > 0 && bytes > maxBytes) break;
      taken.push(row);
    }
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
    for (const id of ids) this.#settled.ids.push(id);
    this.#settled.shipped += ids.length;
  }

  settleEvicted(ids: Float64Array, cause: string): void {
    for (const id of ids) this.#settled.ids.push(id);
    addTo(this.#settled.evicted, cause, ids.length);
  }

  /** Moves one row that was taken to the dead letters. */
  bury(rowId: number, reason: string, detail: string): void {
    const row = this.#database.prepare('SELECT * FROM rows WHERE id = ?').get(rowId) as Row | undefined;
    if (row === undefined) return;
    this.#change((next) => {
      this.#deleteRow.run(rowId);
      next.queued -= 1;
      this.#addDead(next, { reason, detail, device: row.device, run: null, seq: null, bytes: Buffer.byteLength(row.data), payload: row.data, whole: true });
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
        const span = spans.get(row.device) ?? { device: row.device, fromMs: row.accepted_ms, toMs: row.accepted_ms, count: 0 };
        spans.set(row.device, { ...span, toMs: row.accepted_ms, count: span.count + 1 });
      }
      this.checkpoint();
    }
    return [...spans.values()];
  }

  deadLetters(limit: number, before: number | null): { dead_letters: DeadLetter[]; total: number } {
    const rows = this.#database.prepare('SELECT * FROM dead WHERE id < ? ORDER BY id DESC LIMIT ?').all(before ?? Number.MAX_SAFE_INTEGER, limit) as (DeadLetterInput & { id: number; at_ms: number; whole: number | boolean })[];
    return { total: this.#state.dead, dead_letters: rows.map(({ at_ms, ...row }) => ({ ...row, whole: Boolean(row.whole), at: new Date(at_ms).toISOString(), payload: row.payload.slice(0, 4096) })) };
  }

  #deadOf(ids: readonly number[] | null): (DeadLetterInput & { id: number })[] {
    if (ids === null) return this.#database.prepare('SELECT * FROM dead ORDER BY id LIMIT 10000').all() as (DeadLetterInput & { id: number })[];
    const one = this.#database.prepare('SELECT * FROM dead WHERE id = ?');
    return ids.flatMap((id) => (one.get(id) as (DeadLetterInput & { id: number }) | undefined) ?? []);
  }

  /** Puts dead letters that are whole readings back into the queue; `accepts` says whether one is a reading. */
  retryDead(ids: readonly number[] | null, accepts: (payload: string) => boolean): { retried: number; left: number } {
    const letters = this.#deadOf(ids);
    const good = letters.filter((letter) => Boolean(letter.whole) && accepts(letter.payload));
    if (good.length > 0)
      this.#change((next) => {
        const now = Date.now();
        for (const { id, device, payload, reason } of good) {
          this.#database.prepare('DELETE FROM dead WHERE id = ?').run(id);
          this.#addRow(next, { accepted_ms: now, source: 0, device, data: payload });
          addTo(next.deadBy, reason, -1);
        }
        next.dead -= good.length;
        next.queued += good.length;
      });
    return { retried: good.length, left: letters.length - good.length };
  }

  discardDead(ids: readonly number[] | null): { discarded: number } {
    const letters = this.#deadOf(ids);
    if (letters.length > 0)
      this.#change((next) => {
        for (const { id, reason } of letters) {
          this.#database.prepare('DELETE FROM dead WHERE id = ?').run(id);
          addTo(next.deadBy, reason, -1);
        }
        next.dead -= letters.length;
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
    return { file, bytes: statSync(file).size };
  }

  #oldestUnsettled(): Row | undefined {
    const settled = new Set(this.#settled.ids);
    for (const row of this.#selectRows.iterate(0, settled.size + 1) as IterableIterator<Row>) if (!settled.has(row.id)) return row;
    return undefined;
  }

  /** The state as it stands with what is settled and not yet deleted: what was shipped is shipped. */
  state(): QueueState {
    const ledger = ledgerOf(this.#state);
    const oldest = this.#oldestUnsettled();
    const evicted = Object.values(this.#settled.evicted).reduce((sum, n) => sum + n, 0);
    const causes = causesOf(this.#state);
    for (const [cause, count] of Object.entries(this.#settled.evicted)) addTo(causes.evicted, cause, count);
    return {
      ledger: { ...ledger, shipped: ledger.shipped + this.#settled.shipped, queued: ledger.queued - this.#settled.ids.length, evicted: ledger.evicted + evicted },
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
    this.#database.close();
  }
}
