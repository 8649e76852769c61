/**
 * Opens the queue's file so that a commit survives a power cut, checks it, and deals with a damaged one: it is quarantined under a
 * dated name, readable rows are salvaged into a new file, and the report stays in health until acknowledged.
 */
import { closeSync, existsSync, fsyncSync, openSync, renameSync } from 'node:fs';
import path from 'node:path';
import { openDatabase, type Database } from '../../service/sqlite.ts';
import { messageOf } from '../../service/errors.ts';
import { addTo, emptyLedger, imbalance, type LedgerState } from './ledger.ts';
import { checksum, migrate, NewerSchemaError, PAGE_BYTES } from './schema.ts';

export interface OpenedQueue {
  database: Database;
  state: LedgerState;
}

interface StoredRow {
  id: number;
  accepted_ms: number;
  source: number;
  device: string;
  data: string;
  crc: number;
}

export const rowChecksum = (row: Omit<StoredRow, 'id' | 'crc'>): number => checksum(row.accepted_ms, row.source, row.device, row.data);

function connect(file: string): Database {
  const database = openDatabase(file);
  try {
    database.pragma(`page_size = ${PAGE_BYTES}`);
    if (database.pragma('journal_mode = WAL', { simple: true }) !== 'wal') throw new Error('WAL is refused');
    // A reopened WAL database runs NORMAL by its build's default: it is set, and looked at, at every open.
    database.pragma('synchronous = FULL');
    if (database.pragma('synchronous', { simple: true }) !== 2) throw new Error('synchronous is not FULL');
    database.pragma('wal_autocheckpoint = 1000');
    database.pragma('cache_size = -4096');
    migrate(database);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

export function readState(database: Database): LedgerState | undefined {
  const row = database.prepare('SELECT json, crc FROM state WHERE id = 1').get() as { json: string; crc: number } | undefined;
  if (row === undefined || checksum(row.json) !== row.crc) return undefined;
  return JSON.parse(row.json) as LedgerState;
}

export function writeState(database: Database, state: LedgerState): void {
  const json = JSON.stringify(state);
  database.prepare('INSERT INTO state (id, json, crc) VALUES (1, ?, ?) ON CONFLICT (id) DO UPDATE SET json = excluded.json, crc = excluded.crc').run(json, checksum(json));
}

/** Throws where anything in the file is not as it must be. */
function inspect(database: Database): LedgerState {
  const verdict = database.pragma('quick_check(1)', { simple: true });
  if (verdict !== 'ok') throw new Error(String(verdict));
  const { rows, dead } = database.prepare('SELECT (SELECT count(*) FROM rows) AS rows, (SELECT count(*) FROM dead) AS dead').get() as { rows: number; dead: number };
  const state = readState(database);
  if (state === undefined) {
    if (rows > 0 || dead > 0) throw new Error('the state row is missing or damaged');
    return emptyLedger();
  }
  if (state.queued !== rows || state.dead !== dead) throw new Error(`the ledger counts ${state.queued} rows and ${state.dead} dead letters, the file holds ${rows} and ${dead}`);
  const wrong = imbalance(state);
  if (wrong !== undefined) throw new Error(wrong);
  for (const row of database.prepare('SELECT * FROM rows').iterate() as IterableIterator<StoredRow>) if (rowChecksum(row) !== row.crc) throw new Error(`row ${row.id} has a wrong checksum`);
  return state;
}

/** Reads forward, then backward, up to the pages that cannot be read. */
function readableRows(database: Database): StoredRow[] {
  const rows = new Map<number, StoredRow>();
  for (const order of ['ASC', 'DESC'])
    try {
      for (const row of database.prepare(`SELECT * FROM rows ORDER BY id ${order}`).iterate() as IterableIterator<StoredRow>) {
        if (rows.has(row.id)) break;
        if (typeof row.data === 'string' && typeof row.device === 'string' && rowChecksum(row) === row.crc) rows.set(row.id, row);
      }
    } catch {
      continue;
    }
  return [...rows.values()].sort((a, b) => a.id - b.id);
}

function salvage(damaged: string): { rows: StoredRow[]; state: LedgerState | undefined } {
  let database: Database | undefined;
  try {
    database = openDatabase(damaged, { fileMustExist: true });
    let state: LedgerState | undefined;
    try {
      state = readState(database);
    } catch {
      state = undefined;
    }
    return { rows: readableRows(database), state };
  } catch {
    return { rows: [], state: undefined };
  } finally {
    database?.close();
  }
}

function syncFolderOf(file: string): void {
  const fd = openSync(path.dirname(file), 'r');
  fsyncSync(fd);
  closeSync(fd);
}

/** Puts the damaged file aside and makes a new one of what could be read. */
function replaceDamaged(file: string, why: string): OpenedQueue {
  const stamp = new Date().toISOString().replaceAll(/[:.]/g, '-');
  const aside = `${file.replace(/\.db$/, '')}.damaged-${stamp}.db`;
  for (const ending of ['', '-wal', '-shm']) if (existsSync(file + ending)) renameSync(file + ending, aside + ending);
  syncFolderOf(file);
  const { rows, state: known } = salvage(aside);
  const database = connect(file);
  const state = known ?? emptyLedger();
  if (known === undefined) state.accepted = rows.length;
  // Dead letters are not salvaged: they are in the file that was put aside. All that is not there any more is accounted for.
  state.dead = 0;
  state.queued = rows.length;
  const lost = state.accepted - state.shipped - rows.length - Object.values(state.evictedBy).reduce((sum, n) => sum + n, 0);
  if (lost > 0) addTo(state.evictedBy, 'damaged', lost);
  else state.accepted -= lost;
  state.nextRowId = Math.max(state.nextRowId, (rows.at(-1)?.id ?? 0) + 1);
  state.damage = `queue_damaged: ${why}; put aside as ${path.basename(aside)}; ${rows.length} readings salvaged, ${Math.max(0, lost)} given up`;
  database.transaction(() => {
    const insert = database.prepare('INSERT INTO rows (id, accepted_ms, source, device, data, crc) VALUES (?, ?, ?, ?, ?, ?)');
    for (const row of rows) insert.run(row.id, row.accepted_ms, row.source, row.device, row.data, row.crc);
    writeState(database, state);
  })();
  return { database, state };
}

/** Opens, checks, and where needed replaces the queue's file. Throws NewerSchemaError, or what the disk throws. */
export function openQueue(file: string): OpenedQueue {
  const existed = existsSync(file);
  let database: Database | undefined;
  try {
    database = connect(file);
    return { database, state: inspect(database) };
  } catch (error) {
    database?.close();
    const code = (error as { code?: unknown }).code;
    const isDisk = typeof code === 'string' && /^SQLITE_(FULL|IOERR|CANTOPEN|READONLY|BUSY|PERM)/.test(code) && code !== 'SQLITE_IOERR_SHORT_READ';
    if (error instanceof NewerSchemaError || isDisk || !existed) throw error;
    return replaceDamaged(file, messageOf(error));
  }
}
