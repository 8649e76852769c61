/**
 * Watermarks: a row for each (gateway, run), with the seq up to which every reading is stored or accounted for. A row is written in the
 * transaction of the readings that move it, and is never removed while its sequencer may return.
 */
import { crc32 } from 'node:zlib';
import { isBeforeBuild } from '../../service/process/clock-state.ts';
import type { Database, Statement } from '../../service/storage/sqlite.ts';
import type { PassesOver } from './disk-trouble.ts';
import { addTo, type LedgerState } from './ledger.ts';
import type { RunWatermark } from './queue-messages.ts';
import { watermarkKey } from './watermark-key.ts';

/** A watermark that was not used for this long belongs to a sequencer that will not return. */
export const UNUSED_MAX_MS = 90 * 24 * 3_600_000;

export const CREATE_WATERMARKS = `
  CREATE TABLE watermarks (gateway TEXT NOT NULL, run TEXT NOT NULL, stored INTEGER NOT NULL, missed TEXT NOT NULL,
    used_ms INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (gateway, run)) WITHOUT ROWID;
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
  INSERT INTO meta (key, value) VALUES ('queue', lower(hex(randomblob(8))));`;

interface StoredWatermark {
  gateway: string;
  run: string;
  stored: number;
  /** JSON. */
  missed: string;
  used_ms: number;
  crc: number;
}

const checksum = ({ gateway, run, stored, missed, used_ms }: Omit<StoredWatermark, 'crc'>): number =>
  crc32([gateway, run, stored, missed, used_ms].join('\n'));

const INSERT =
  'INSERT INTO watermarks (gateway, run, stored, missed, used_ms, crc) VALUES (?, ?, ?, ?, ?, ?) ' +
  'ON CONFLICT (gateway, run) DO UPDATE SET stored = excluded.stored, missed = excluded.missed, used_ms = excluded.used_ms, ' +
  'crc = excluded.crc';

function write(statement: Statement, watermark: RunWatermark, usedMs: number): void {
  const { gateway, run, stored } = watermark;
  const missed = JSON.stringify(watermark.missed);
  statement.run(gateway, run, stored, missed, usedMs, checksum({ gateway, run, stored, missed, used_ms: usedMs }));
}

/** Writes watermarks into a file that has none: what was in the state row of version 1, or was salvaged. */
export function insertWatermarks(database: Database, watermarks: readonly RunWatermark[], usedMs: number): void {
  const statement = database.prepare(INSERT);
  for (const watermark of watermarks) write(statement, watermark, usedMs);
}

function rowsOf(database: Database): StoredWatermark[] {
  return database.prepare('SELECT * FROM watermarks').all() as StoredWatermark[];
}

const fromRow = ({ gateway, run, stored, missed }: StoredWatermark): RunWatermark => ({
  gateway,
  run,
  stored,
  missed: JSON.parse(missed) as Record<string, number>,
});

/** All of them, as they are stored. */
export const watermarksOf = (database: Database): RunWatermark[] => rowsOf(database).map(fromRow);

/** What is wrong with the table, or undefined. */
export function watermarkDamage(database: Database): string | undefined {
  if (queueIdOf(database) === undefined) return 'the id of the queue is missing';
  const damaged = rowsOf(database).find((row) => checksum(row) !== row.crc);
  return damaged === undefined ? undefined : `the watermark of ${watermarkKey(damaged)} has a wrong checksum`;
}

/** The watermarks of a damaged file that can still be read. Throws what `passesOver` throws. */
export function salvageWatermarks(database: Database, passesOver: PassesOver): RunWatermark[] {
  const found = new Map<string, RunWatermark>();
  for (const order of ['ASC', 'DESC'])
    try {
      const rows = database.prepare(`SELECT * FROM watermarks ORDER BY gateway ${order}, run ${order}`).iterate();
      for (const row of rows as IterableIterator<StoredWatermark>)
        if (checksum(row) === row.crc) found.set(watermarkKey(row), fromRow(row));
    } catch (error) {
      passesOver(error);
    }
  return [...found.values()];
}

/** The identity of the queue file (16 hexadecimal digits, made with it), or undefined if it has none. Throws what SQLite throws. */
export function queueIdOf(database: Database): string | undefined {
  const id: unknown = database.prepare("SELECT value FROM meta WHERE key = 'queue'").pluck().get();
  return typeof id === 'string' && /^[0-9a-f]{16}$/.test(id) ? id : undefined;
}

/** Lets a replacement continue under the identity of the file that it replaces. */
export function setQueueId(database: Database, id: string): void {
  database.prepare("UPDATE meta SET value = ? WHERE key = 'queue'").run(id);
}

/**
 * Removes watermarks that were not used for 90 days, or for as long as accounts are kept if that is longer. One that was written while
 * the clock of this box was wrong, in the past or the future, has no known age: it counts as used now.
 */
function expire(database: Database, nowMs: number, keptMs: number): void {
  if (isBeforeBuild(new Date(nowMs))) return;
  const statement = database.prepare(INSERT);
  const remove = database.prepare('DELETE FROM watermarks WHERE gateway = ? AND run = ?');
  for (const row of rowsOf(database))
    if (isBeforeBuild(new Date(row.used_ms)) || row.used_ms > nowMs + keptMs) write(statement, fromRow(row), nowMs);
    else if (nowMs - row.used_ms > keptMs) remove.run(row.gateway, row.run);
}

export class Watermarks {
  readonly #write: Statement;
  readonly #selectUsed: Statement;
  readonly #committed = new Map<string, RunWatermark>();
  /** Moved in the transaction that is open. */
  #moved = new Map<string, RunWatermark>();
  readonly queueId: string;

  /** Reads the table of an open and checked file. Throws if the file has no identity. */
  constructor(database: Database, nowMs = Date.now(), keptMs = UNUSED_MAX_MS) {
    const id = queueIdOf(database);
    if (id === undefined) throw new Error('the queue file has no id');
    this.queueId = id;
    database.transaction(() => expire(database, nowMs, keptMs)).immediate();
    for (const row of rowsOf(database)) this.#committed.set(watermarkKey(row), fromRow(row));
    this.#write = database.prepare(INSERT);
    this.#selectUsed = database.prepare('SELECT used_ms FROM watermarks WHERE gateway = ? AND run = ?').pluck();
  }

  /** As they are committed. */
  get all(): RunWatermark[] {
    return [...this.#committed.values()];
  }

  /** The watermark as it is committed: 0 if the open transaction makes it, undefined if there is none. */
  stored(run: Pick<RunWatermark, 'gateway' | 'run'>): number | undefined {
    const key = watermarkKey(run);
    return this.#committed.get(key)?.stored ?? (this.#moved.has(key) ? 0 : undefined);
  }

  /** When it moved last, or its sequencer returned. */
  usedMs({ gateway, run }: Pick<RunWatermark, 'gateway' | 'run'>): number | undefined {
    return this.#selectUsed.get(gateway, run) as number | undefined;
  }

  /** Moves a watermark inside a transaction, and adds the growth of its `missed` to the ledger. */
  move(next: LedgerState, watermark: RunWatermark): void {
    const key = watermarkKey(watermark);
    const before = this.#moved.get(key) ?? this.#committed.get(key);
    for (const [cause, count] of Object.entries(watermark.missed))
      addTo(next.missedBy, cause, count - (before?.missed[cause] ?? 0));
    write(this.#write, watermark, Date.now());
    this.#moved.set(key, watermark);
  }

  /** The transaction was committed. */
  committed(): void {
    for (const [key, watermark] of this.#moved) this.#committed.set(key, watermark);
    this.#moved.clear();
  }

  /** The transaction failed: nothing has moved. */
  rolledBack(): void {
    this.#moved.clear();
  }
}
