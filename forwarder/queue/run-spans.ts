/**
 * The table of spans: seqs of a run that became the same. Spans of a run never overlap, and neighbours with the same code are one span.
 * Every method runs inside the caller's transaction.
 */
import { crc32 } from 'node:zlib';
import type { Database, Statement } from '../../service/storage/sqlite.ts';

export const CREATE_SPANS = `
  CREATE TABLE spans (run INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, code TEXT NOT NULL,
    revision INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (run, first)) WITHOUT ROWID;`;

/** Seqs `first` to `last`. */
export interface Span {
  first: number;
  last: number;
  /** span-codes.ts. */
  code: string;
}

export interface StoredSpan extends Span {
  run: number;
  /** Of the audit when this span was written (run-audit.ts). */
  revision: number;
  crc: number;
}

export const spanChecksum = ({ run, first, last, code, revision }: Omit<StoredSpan, 'crc'>): number =>
  crc32([run, first, last, code, revision].join('\n'));

export const spanLength = ({ first, last }: Pick<Span, 'first' | 'last'>): number => last - first + 1;

export class RunSpans {
  readonly #insert: Statement;
  readonly #delete: Statement;
  readonly #deleteUpTo: Statement;
  readonly #selectBelow: Statement;
  readonly #selectOldest: Statement;
  readonly #selectFrom: Statement;
  readonly #selectChanged: Statement;
  readonly #sums: Statement;
  readonly #count: Statement;
  /** Spans of a run, once they were counted. */
  #counts = new Map<number, number>();

  constructor(database: Database) {
    this.#insert = database.prepare('INSERT INTO spans (run, first, last, code, revision, crc) VALUES (?, ?, ?, ?, ?, ?)');
    this.#delete = database.prepare('DELETE FROM spans WHERE run = ? AND first = ?');
    this.#deleteUpTo = database.prepare('DELETE FROM spans WHERE run = ? AND first <= ?');
    const columns = 'first, last, code';
    this.#selectBelow = database.prepare(`SELECT ${columns} FROM spans WHERE run = ? AND first <= ? ORDER BY first DESC LIMIT 1`);
    this.#selectOldest = database.prepare(`SELECT ${columns} FROM spans WHERE run = ? ORDER BY first LIMIT ?`);
    this.#selectFrom = database.prepare(`SELECT ${columns} FROM spans WHERE run = ? AND first >= ? ORDER BY first LIMIT ?`);
    this.#selectChanged = database.prepare(
      `SELECT ${columns} FROM spans WHERE run = ? AND revision > ? AND first <= ? ORDER BY first LIMIT ?`,
    );
    this.#sums = database.prepare('SELECT code, sum(last - first + 1) AS seqs FROM spans WHERE run = ? GROUP BY code');
    this.#count = database.prepare('SELECT count(*) FROM spans WHERE run = ?').pluck();
  }

  count(run: number): number {
    const known = this.#counts.get(run) ?? (this.#count.get(run) as number);
    this.#counts.set(run, known);
    return known;
  }

  add(run: number, { first, last, code }: Span, revision: number): void {
    const count = this.count(run);
    this.#insert.run(run, first, last, code, revision, spanChecksum({ run, first, last, code, revision }));
    this.#counts.set(run, count + 1);
  }

  remove(run: number, { first }: Pick<Span, 'first'>): void {
    const count = this.count(run);
    this.#counts.set(run, count - this.#delete.run(run, first).changes);
  }

  /** The span with the highest seqs that begins at or below a seq. */
  highestFrom(run: number, seq: number): Span | undefined {
    return this.#selectBelow.get(run, seq) as Span | undefined;
  }

  /** Says what became of `first` to `last`; null: queued. What was recorded of these seqs before is overwritten. */
  assign(run: number, { first, last, code }: Omit<Span, 'code'> & { code: string | null }, revision: number): void {
    const whole = { first, last };
    const keep: Span[] = [];
    for (let below = last + 1; ;) {
      const other = this.highestFrom(run, below);
      if (other === undefined || other.last < first - 1) break;
      below = other.first - 1;
      const isNeighbour = other.first > last || other.last < first;
      if (isNeighbour && other.code !== code) continue;
      this.remove(run, other);
      if (other.code === code) {
        whole.first = Math.min(whole.first, other.first);
        whole.last = Math.max(whole.last, other.last);
        continue;
      }
      if (other.first < first) keep.push({ ...other, last: Math.min(other.last, first - 1) });
      if (other.last > last) keep.push({ ...other, first: Math.max(other.first, last + 1) });
    }
    for (const rest of keep) this.add(run, rest, revision);
    if (code !== null) this.add(run, { ...whole, code }, revision);
  }

  /** Removes the oldest spans and returns them. */
  takeOldest(run: number, limit: number): Span[] {
    const oldest = this.#selectOldest.all(run, limit) as Span[];
    const last = oldest.at(-1);
    if (last === undefined) return [];
    const count = this.count(run);
    this.#counts.set(run, count - this.#deleteUpTo.run(run, last.first).changes);
    return oldest;
  }

  /** In order, from the first that touches `first`. */
  list(run: number, first: number, limit: number): Span[] {
    const touching = this.highestFrom(run, first);
    const from = touching !== undefined && touching.last >= first ? touching.first : first;
    return this.#selectFrom.all(run, from, limit) as Span[];
  }

  /** Written after `revision` and beginning at or below `upTo`, in order. */
  changedSince(run: number, revision: number, upTo: number, limit: number): Span[] {
    return this.#selectChanged.all(run, revision, upTo, limit) as Span[];
  }

  /** How many seqs have each code. */
  sums(run: number): Map<string, number> {
    const rows = this.#sums.all(run) as { code: string; seqs: number }[];
    return new Map(rows.map(({ code, seqs }) => [code, seqs]));
  }

  removeAll(run: number): void {
    this.#deleteUpTo.run(run, Number.MAX_SAFE_INTEGER);
    this.#counts.delete(run);
  }

  /** The transaction failed. */
  rolledBack(): void {
    this.#counts.clear();
  }
}
