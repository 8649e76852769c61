/** Rows, dead letters and state as the file holds them, each with a checksum, so that the content of a damaged page is never used. */
import { crc32 } from 'node:zlib';
import type { Database } from '../../service/storage/sqlite.ts';
import { emptyAudit, type LedgerState } from './ledger.ts';
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
  /** Number of its run in the audit, and its seq. Null or absent: a row of an older version, or one that nobody numbered. */
  run?: number | null;
  seq?: number | null;
  /** Fields that the forwarder adds to the JSON when it is sent (stream-accounts.ts): `"account":{…}`. Null: none. */
  account?: string | null;
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

/** Rows of older versions have no run, and their checksums do not count it. */
export const rowChecksum = ({
  accepted_ms,
  source,
  device,
  data,
  run = null,
  seq = null,
  account = null,
}: Omit<StoredRow, 'id' | 'crc'>): number =>
  run === null || seq === null
    ? checksum(accepted_ms, source, device, data)
    : checksum(accepted_ms, source, device, data, run, seq, ...(account === null ? [] : [account]));

/** The JSON of a row as it is sent. */
export const sentData = ({ data, account = null }: Pick<StoredRow, 'data' | 'account'>): string =>
  account === null ? data : `${data.slice(0, data.lastIndexOf('}'))},${account}}`;

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
  const state = readRow(database, STATE_ROW) as (Omit<LedgerState, 'audit'> & Partial<LedgerState>) | undefined;
  return state === undefined ? undefined : { ...state, audit: state.audit ?? emptyAudit() };
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
  const insert = database.prepare(
    'INSERT INTO rows (id, accepted_ms, source, device, data, crc, run, seq, account) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
  );
  return (row) => {
    const { id, accepted_ms, source, device, data, run = null, seq = null, account = null } = row;
    insert.run(id, accepted_ms, source, device, data, rowChecksum(row), run, seq, account);
  };
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

/** Rows that were deleted. */
export interface RemovedRows {
  count: number;
  /** Their seqs, by the number of their run. */
  spans: { run: number; first: number; last: number }[];
  /** Rows that name no run: what their JSON says. */
  unnumbered: Pick<DeadLetterInput, 'gateway' | 'run' | 'seq'>[];
}

/** Ids as ranges of consecutive ones. */
function rangesOf(ids: Iterable<number>): [from: number, to: number][] {
  const ranges: [from: number, to: number][] = [];
  for (const id of Float64Array.from(ids).sort()) {
    const last = ranges.at(-1);
    if (last !== undefined && id === last[1] + 1) last[1] = id;
    else if (id !== last?.[1]) ranges.push([id, id]);
  }
  return ranges;
}

/** The last four are null, which compares as 0, if `numbered` is 0. */
type RangeSums = [rows: number, numbered: number, run: number, mostRun: number, first: number, last: number];

/** Which seqs a range of rows holds. Rows of one run with consecutive seqs, the usual case, take one query that returns one row. */
function seqsIn(database: Database): (from: number, to: number, into: RemovedRows) => void {
  const range = 'FROM rows WHERE id BETWEEN ? AND ?';
  const sums = database.prepare(`SELECT count(*), count(run), min(run), max(run), min(seq), max(seq) ${range}`).raw();
  const runs = database.prepare(`SELECT run, min(seq), max(seq), count(*) ${range} AND run IS NOT NULL GROUP BY run`).raw();
  const seqs = database.prepare(`SELECT seq ${range} AND run = ? ORDER BY seq`).pluck();
  const others = database.prepare(`SELECT data ${range} AND run IS NULL`).pluck();
  return (from, to, into) => {
    const [rows, numbered, run, mostRun, first, last] = sums.get(from, to) as RangeSums;
    if (rows === 0) return;
    if (rows === numbered && run === mostRun && last - first + 1 === rows) {
      into.spans.push({ run, first, last });
      return;
    }
    for (const [id, least, most, count] of runs.all(from, to) as [number, number, number, number][])
      if (most - least + 1 === count) into.spans.push({ run: id, first: least, last: most });
      else
        for (const [start, end] of rangesOf(seqs.all(from, to, id) as number[]))
          into.spans.push({ run: id, first: start, last: end });
    if (rows > numbered) for (const data of others.all(from, to) as string[]) into.unnumbered.push(identityIn(data));
  };
}

/** Deletes rows, consecutive ids by one statement, at half the cost of one statement per row. */
export function removeRows(database: Database): (ids: Iterable<number>) => RemovedRows {
  const remove = database.prepare('DELETE FROM rows WHERE id BETWEEN ? AND ?');
  const read = seqsIn(database);
  return (ids) => {
    const removed: RemovedRows = { count: 0, spans: [], unnumbered: [] };
    for (const [from, to] of rangesOf(ids)) {
      read(from, to, removed);
      removed.count += remove.run(from, to).changes;
    }
    return removed;
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
