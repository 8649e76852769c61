/** Rows, dead letters and state as the file holds them, each with a checksum, so that the content of a damaged page is never used. */
import { crc32 } from 'node:zlib';
import type { Database } from '../../service/storage/sqlite.ts';
import type { LedgerState } from './ledger.ts';
import type { DeadLetterInput, RunWatermark } from './queue-messages.ts';
import { insertWatermarks } from './watermarks.ts';

export interface StoredRow {
  /** Grows in the order of acceptance. */
  id: number;
  accepted_ms: number;
  /** Index into ROW_SOURCES. */
  source: number;
  device: string;
  data: string;
  crc: number;
}

/** A dead letter as its table holds it: flags are 0 or 1. The last four columns do not exist in files of version 1 and 2. */
export interface StoredDead extends Omit<DeadLetterInput, 'whole' | 'gateway' | 'publication'> {
  id: number;
  at_ms: number;
  whole: number;
  crc: number;
  gateway?: string | null;
  /** Null: not a publication of another client. */
  arrived_at?: string | null;
  publisher?: string | null;
  base64?: number | null;
}

/** The columns of a letter. */
export function storedDead(letter: DeadLetterInput, atMs: number): Omit<StoredDead, 'id' | 'crc'> {
  const { reason, detail, device, run, seq, bytes, payload, publication } = letter;
  return {
    at_ms: atMs,
    reason,
    detail,
    device,
    run,
    seq,
    bytes,
    payload,
    whole: letter.whole ? 1 : 0,
    gateway: letter.gateway ?? null,
    arrived_at: publication?.arrivedAt ?? null,
    publisher: publication?.publisher ?? null,
    base64: publication?.isBase64 === true ? 1 : null,
  };
}

const checksum = (...parts: readonly (string | number | null)[]): number => crc32(parts.join('\n'));

export const rowChecksum = (row: Omit<StoredRow, 'id' | 'crc'>): number =>
  checksum(row.accepted_ms, row.source, row.device, row.data);

/** Letters of older versions have none of the later columns, and their checksums do not count them. */
export function deadChecksum(dead: Omit<StoredDead, 'id' | 'crc'>): number {
  const { at_ms, reason, detail, device, run, seq, bytes, payload, whole } = dead;
  const later = [dead.gateway ?? null, dead.arrived_at ?? null, dead.publisher ?? null, dead.base64 ?? null];
  const isLater = later.some((value) => value !== null);
  return checksum(at_ms, reason, detail, device, run, seq, bytes, payload, whole, ...(isLater ? later : []));
}

/** Has SQLite's code for damage, so that it is handled like damage that SQLite finds. */
export class DamagedRowError extends Error {
  readonly code = 'SQLITE_CORRUPT';

  constructor(id: number) {
    super(`row ${id} has a wrong checksum`);
  }
}

const STATE_ROW = 1;
/** Version 1 kept the watermarks of earlier runs in a second row, those of current runs in the ledger's. */
const EARLIER_MARKS_ROW = 2;

interface StateOfVersion1 extends LedgerState {
  marks: Omit<RunWatermark, 'gateway'>[];
}

function readRow(database: Database, id: number): unknown {
  const row = database.prepare('SELECT json, crc FROM state WHERE id = ?').get(id) as { json: string; crc: number } | undefined;
  return row === undefined || checksum(row.json) !== row.crc ? undefined : JSON.parse(row.json);
}

function readVersion1(database: Database): { state: LedgerState; marks: StateOfVersion1['marks'] } | undefined {
  const both = readRow(database, STATE_ROW) as StateOfVersion1 | undefined;
  const earlier = readRow(database, EARLIER_MARKS_ROW) as StateOfVersion1['marks'] | undefined;
  if (both === undefined || earlier === undefined) return undefined;
  const { marks, ...state } = both;
  return { state, marks: [...earlier, ...marks] };
}

/** The state, or undefined if any of it is missing or damaged. */
export function readState(database: Database): LedgerState | undefined {
  if (database.pragma('user_version', { simple: true }) === 1) return readVersion1(database)?.state;
  return readRow(database, STATE_ROW) as LedgerState | undefined;
}

/** The watermarks of a file of version 1; all of them served the sequencers of this box. */
export function watermarksOfVersion1(database: Database, gateway: string): RunWatermark[] {
  return (readVersion1(database)?.marks ?? []).map((mark) => ({ gateway, ...mark }));
}

/** Migrates a file of version 1, inside the migration's transaction. */
export function moveWatermarksToRows(database: Database, gateway: string): void {
  const state = readVersion1(database)?.state;
  // A new file has no state yet.
  if (state === undefined) return;
  insertWatermarks(database, watermarksOfVersion1(database, gateway), Date.now());
  writeState(database, state);
  database.prepare('DELETE FROM state WHERE id = ?').run(EARLIER_MARKS_ROW);
}

const WRITE_STATE =
  'INSERT INTO state (id, json, crc) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET json = excluded.json, crc = excluded.crc';

export function writeState(database: Database, state: LedgerState): void {
  const json = JSON.stringify(state);
  database.prepare(WRITE_STATE).run(STATE_ROW, json, checksum(json));
}

export function insertRows(database: Database): (row: Omit<StoredRow, 'crc'>) => void {
  const insert = database.prepare('INSERT INTO rows (id, accepted_ms, source, device, data, crc) VALUES (?, ?, ?, ?, ?, ?)');
  return (row) => void insert.run(row.id, row.accepted_ms, row.source, row.device, row.data, rowChecksum(row));
}

/** Returns the letter's id: without one, SQLite assigns the next. */
export function insertDead(database: Database): (dead: Omit<StoredDead, 'id' | 'crc'> & { id?: number }) => number {
  const insert = database.prepare(
    'INSERT INTO dead (id, at_ms, reason, detail, device, run, seq, bytes, payload, whole, gateway, arrived_at, publisher, base64, crc) ' +
      'VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
  );
  return (dead) => {
    const { lastInsertRowid } = insert.run(
      dead.id ?? null,
      dead.at_ms,
      dead.reason,
      dead.detail,
      dead.device,
      dead.run,
      dead.seq,
      dead.bytes,
      dead.payload,
      dead.whole,
      dead.gateway ?? null,
      dead.arrived_at ?? null,
      dead.publisher ?? null,
      dead.base64 ?? null,
      deadChecksum(dead),
    );
    return Number(lastInsertRowid);
  };
}

/** Deletes rows, consecutive ids by one statement, at half the cost of one statement per row. Returns how many existed. */
export function deleteRows(database: Database): (ids: Iterable<number>) => number {
  const remove = database.prepare('DELETE FROM rows WHERE id BETWEEN ? AND ?');
  return (ids) => {
    let removed = 0;
    let run: [from: number, to: number] | undefined;
    for (const id of Float64Array.from(ids).sort()) {
      if (run !== undefined && id === run[1] + 1) run[1] = id;
      else {
        if (run !== undefined) removed += remove.run(...run).changes;
        run = [id, id];
      }
    }
    return run === undefined ? removed : removed + remove.run(...run).changes;
  };
}

/** Gateway, run and seq of a row, as far as it has them. */
export function identityIn(data: string): Pick<DeadLetterInput, 'gateway' | 'run' | 'seq'> {
  try {
    const { gateway, run, seq } = JSON.parse(data) as { gateway?: unknown; run?: unknown; seq?: unknown };
    return {
      ...(typeof gateway === 'string' ? { gateway } : {}),
      run: typeof run === 'string' ? run : null,
      seq: typeof seq === 'number' ? seq : null,
    };
  } catch {
    return { run: null, seq: null };
  }
}

/** Migrates the dead letters of a file of version 2, inside the migration's transaction. */
export function addDeadColumns(database: Database): void {
  for (const column of ['gateway TEXT', 'arrived_at TEXT', 'publisher TEXT', 'base64 INTEGER'])
    database.exec(`ALTER TABLE dead ADD COLUMN ${column}`);
  const state = readRow(database, STATE_ROW) as LedgerState | undefined;
  // A new file has no state yet.
  if (state === undefined) return;
  const deadBytes = database.prepare('SELECT coalesce(sum(octet_length(payload)), 0) FROM dead').pluck().get() as number;
  writeState(database, { ...state, deadBytes });
}
