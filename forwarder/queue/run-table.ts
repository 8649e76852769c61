/**
 * The table of audited runs: one row for each (gateway, run), numbered, because rows and spans name their run by that number. What is
 * `counted` are the oldest seqs, up to `counted_to`, of which only numbers are kept.
 */
import { crc32 } from 'node:zlib';
import type { Database, Statement } from '../../service/storage/sqlite.ts';
import type { RunIdentity } from './queue-messages.ts';
import { watermarkKey } from './watermark-key.ts';

export const CREATE_RUNS = `
  CREATE TABLE runs (id INTEGER PRIMARY KEY, gateway TEXT NOT NULL, run TEXT NOT NULL, own INTEGER NOT NULL, up_to INTEGER NOT NULL,
    tail_first INTEGER NOT NULL, tail_last INTEGER NOT NULL, counted_to INTEGER NOT NULL, counted TEXT NOT NULL, closed_ms INTEGER,
    crc INTEGER NOT NULL, UNIQUE (gateway, run));`;

export interface StoredRun extends RunIdentity {
  id: number;
  /** 1: the forwarder numbered it itself, so there is no watermark, and `up_to` is the newest seq. */
  own: number;
  up_to: number;
  /** The newest span that is shipped, unless the state row has a newer one (run-audit.ts); none if `tail_last` < `tail_first`. */
  tail_first: number;
  tail_last: number;
  counted_to: number;
  /** JSON: numbers by code. */
  counted: string;
  /** Since when the run has ended: its process has, or its sequencer said so. */
  closed_ms: number | null;
  crc: number;
}

export type Run = Omit<StoredRun, 'counted' | 'crc'> & { counted: Record<string, number> };

export function runChecksum(run: Omit<StoredRun, 'crc'>): number {
  const { id, gateway, run: name, own, up_to, tail_first, tail_last, counted_to, counted, closed_ms } = run;
  return crc32([id, gateway, name, own, up_to, tail_first, tail_last, counted_to, counted, closed_ms].join('\n'));
}

/** A run of which nothing is known yet. */
export const newRun = ({ gateway, run }: RunIdentity): Omit<Run, 'id'> => ({
  gateway,
  run,
  own: 0,
  up_to: 0,
  tail_first: 1,
  tail_last: 0,
  counted_to: 0,
  counted: {},
  closed_ms: null,
});

export const fromStored = (run: StoredRun): Run => ({ ...run, counted: JSON.parse(run.counted) as Record<string, number> });

/** Inserts a run, or replaces the one with its number. Without a number, SQLite assigns the next one. Returns the number. */
export function insertRuns(database: Database): (run: Omit<Run, 'id'> & { id?: number }) => number {
  const next = database.prepare('SELECT coalesce(max(id), 0) + 1 FROM runs').pluck();
  const insert = database.prepare('INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)');
  return (run) => {
    const id = run.id ?? (next.get() as number);
    const counted = JSON.stringify(run.counted);
    const stored = { ...run, id, counted };
    insert.run(
      id,
      run.gateway,
      run.run,
      run.own,
      run.up_to,
      run.tail_first,
      run.tail_last,
      run.counted_to,
      counted,
      run.closed_ms,
      runChecksum(stored),
    );
    return id;
  };
}

export class RunTable {
  readonly #insert: ReturnType<typeof insertRuns>;
  readonly #select: Statement;
  readonly #selectByName: Statement;
  readonly #selectAll: Statement;
  readonly #delete: Statement;
  /** Runs that were used. */
  #known = new Map<string, Run>();
  #numbered = new Map<number, Run>();

  constructor(database: Database) {
    this.#insert = insertRuns(database);
    this.#select = database.prepare('SELECT * FROM runs WHERE id = ?');
    this.#selectByName = database.prepare('SELECT * FROM runs WHERE run = ?');
    this.#selectAll = database.prepare('SELECT * FROM runs ORDER BY id');
    this.#delete = database.prepare('DELETE FROM runs WHERE id = ?');
  }

  get all(): Run[] {
    return (this.#selectAll.all() as StoredRun[]).map(fromStored);
  }

  #remember(run: Run): Run {
    this.#known.set(watermarkKey(run), run);
    this.#numbered.set(run.id, run);
    return run;
  }

  byId(id: number): Run | undefined {
    const known = this.#numbered.get(id);
    if (known !== undefined) return known;
    const stored = this.#select.get(id) as StoredRun | undefined;
    return stored === undefined ? undefined : this.#remember(fromStored(stored));
  }

  /** The runs of every gateway that has this run. */
  named(run: string): Run[] {
    return (this.#selectByName.all(run) as StoredRun[]).map(fromStored);
  }

  find(identity: RunIdentity): Run | undefined {
    const known = this.#known.get(watermarkKey(identity));
    if (known !== undefined) return known;
    const found = this.named(identity.run).find(({ gateway }) => gateway === identity.gateway);
    return found === undefined ? undefined : this.#remember(found);
  }

  add(run: Omit<Run, 'id'>): Run {
    return this.#remember({ ...run, id: this.#insert(run) });
  }

  write(run: Run): void {
    this.#insert(run);
    this.#remember(run);
  }

  remove(run: Run): void {
    this.#delete.run(run.id);
    this.#known.delete(watermarkKey(run));
    this.#numbered.delete(run.id);
  }

  /** The transaction failed. */
  rolledBack(): void {
    this.#known.clear();
    this.#numbered.clear();
  }
}
