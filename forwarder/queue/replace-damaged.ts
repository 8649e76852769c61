/**
 * Replaces a damaged queue file: what can be read of it goes into a new file, the damaged one is put aside as it was, under a dated
 * name. A power cut in between changes nothing: the new file is whole before the damaged one is touched, and a start goes on from there.
 */
import { existsSync, readdirSync, renameSync } from 'node:fs';
import path from 'node:path';
import { syncFolder } from '../../service/storage/data-dir.ts';
import { openDatabase, type Database } from '../../service/storage/sqlite.ts';
import { addTo, emptyLedger, total, type LedgerState } from './ledger.ts';
import {
  deadChecksum,
  insertDead,
  insertRows,
  readState,
  rowChecksum,
  writeState,
  type StoredDead,
  type StoredRow,
} from './stored-rows.ts';

const REPLACEMENT = /^queue\.replacement-(.+)\.db$/;

const asideName = (stamp: string): string => `queue.damaged-${stamp}.db`;

/** Reads a table forward, then backward, up to the pages that cannot be read. */
function readable<Row extends { id: number }>(database: Database, table: string, isWhole: (row: Row) => boolean): Row[] {
  const rows = new Map<number, Row>();
  for (const order of ['ASC', 'DESC'])
    try {
      for (const row of database.prepare(`SELECT * FROM ${table} ORDER BY id ${order}`).iterate() as IterableIterator<Row>) {
        if (rows.has(row.id)) break;
        if (isWhole(row)) rows.set(row.id, row);
      }
    } catch {
      continue;
    }
  return [...rows.values()].sort((a, b) => a.id - b.id);
}

interface Salvaged {
  rows: StoredRow[];
  dead: StoredDead[];
  state: LedgerState | undefined;
}

function salvage(file: string): Salvaged {
  let database: Database | undefined;
  try {
    database = openDatabase(file, { readonly: true, fileMustExist: true });
    let state: LedgerState | undefined;
    try {
      state = readState(database);
    } catch {
      state = undefined;
    }
    return {
      rows: readable<StoredRow>(database, 'rows', (row) => rowChecksum(row) === row.crc),
      dead: readable<StoredDead>(database, 'dead', (dead) => deadChecksum(dead) === dead.crc),
      state,
    };
  } catch {
    return { rows: [], dead: [], state: undefined };
  } finally {
    database?.close();
  }
}

/** The account of what was salvaged: what the damaged file had accepted and nobody can read any more is evicted (`damaged`). */
function accountOf({ rows, dead, state: known }: Salvaged, why: string, aside: string): LedgerState {
  const state = known ?? { ...emptyLedger(), accepted: rows.length + dead.length };
  state.queued = rows.length;
  state.dead = dead.length;
  state.deadBy = {};
  for (const { reason } of dead) addTo(state.deadBy, reason, 1);
  const lost = state.accepted - state.shipped - state.queued - state.dead - total(state.evictedBy);
  if (lost > 0) addTo(state.evictedBy, 'damaged', lost);
  else state.accepted -= lost;
  state.nextRowId = Math.max(state.nextRowId, (rows.at(-1)?.id ?? 0) + 1);
  state.open = false;
  const lostWords = known === undefined ? 'an unknown number' : `${Math.max(0, lost)}`;
  state.damage = `queue_damaged: ${why}; put aside as ${aside}; ${rows.length} readings and ${dead.length} dead letters salvaged, ${lostWords} given up`;
  return state;
}

/** Makes the replacement, then puts it in the damaged file's place. Throws what the disk throws; then nothing has happened. */
export function replaceDamaged(
  file: string,
  why: string,
  createFile: (file: string, fill: (database: Database) => void) => void,
): void {
  const stamp = new Date().toISOString().replaceAll(/[:.]/g, '-');
  const salvaged = salvage(file);
  const state = accountOf(salvaged, why, asideName(stamp));
  createFile(path.join(path.dirname(file), `queue.replacement-${stamp}.db`), (database) => {
    const row = insertRows(database);
    const letter = insertDead(database);
    for (const stored of salvaged.rows) row(stored);
    for (const stored of salvaged.dead) letter(stored);
    writeState(database, state);
  });
  finishReplacement(file);
}

/** Puts a finished replacement in its place, where there is one. */
export function finishReplacement(file: string): void {
  const folder = path.dirname(file);
  for (const name of readdirSync(folder)) {
    const stamp = REPLACEMENT.exec(name)?.[1];
    if (stamp === undefined) continue;
    const aside = path.join(folder, asideName(stamp));
    for (const ending of ['-wal', '-shm', '']) if (existsSync(file + ending)) renameSync(file + ending, aside + ending);
    // The old log must be gone for good before there is a new file that it could be taken to belong to.
    syncFolder(folder);
    renameSync(path.join(folder, name), file);
    syncFolder(folder);
  }
}
