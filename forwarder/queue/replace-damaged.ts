/**
 * Replaces a damaged queue file: everything that can still be read is copied into a new file, and the damaged one is kept unchanged
 * under a dated name. This is safe against a power cut at any instant: the new file is complete before the damaged one is renamed, and
 * the next start finishes the replacement.
 */
import { existsSync, readdirSync, renameSync } from 'node:fs';
import path from 'node:path';
import { syncFolder } from '../../service/storage/data-dir.ts';
import { openDatabase, type Database } from '../../service/storage/sqlite.ts';
import { addTo, damageText, emptyLedger, total, type LedgerState } from './ledger.ts';
import type { RunWatermark } from './queue-messages.ts';
import { readableAudit, salvageAudit, type ReadableAudit } from './salvaged-audit.ts';
import {
  deadChecksum,
  insertDead,
  insertRows,
  readState,
  rowChecksum,
  watermarksOfVersion1,
  writeState,
  type StoredDead,
  type StoredRow,
} from './stored-rows.ts';
import { insertWatermarks, queueIdOf, salvageWatermarks, setQueueId } from './watermarks.ts';

const REPLACEMENT = /^queue\.replacement-(.+)\.db$/;

const asideName = (stamp: string): string => `queue.damaged-${stamp}.db`;

/** Reads a table forward and then backward, each time up to the first page that cannot be read. */
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
  watermarks: RunWatermark[];
  audit: ReadableAudit;
  queueId: string | undefined;
}

function salvage(file: string, gateway: string): Salvaged {
  let database: Database | undefined;
  try {
    database = openDatabase(file, { readonly: true, fileMustExist: true });
    const version: unknown = database.pragma('user_version', { simple: true });
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
      watermarks: version === 1 ? watermarksOfVersion1(database, gateway) : salvageWatermarks(database),
      audit: readableAudit(database),
      queueId: queueIdOf(database),
    };
  } catch {
    return { rows: [], dead: [], state: undefined, watermarks: [], audit: { runs: [], spans: [] }, queueId: undefined };
  } finally {
    database?.close();
  }
}

/** The ledger of what was salvaged: readings that the damaged file had accepted and that can no longer be read are evicted (`damaged`). */
function accountOf({ rows, dead, state: known }: Salvaged, why: string, aside: string): LedgerState {
  const state = known ?? { ...emptyLedger(), accepted: rows.length + dead.length };
  state.queued = rows.length;
  state.dead = dead.length;
  state.deadBytes = dead.reduce((sum, { payload }) => sum + Buffer.byteLength(payload), 0);
  state.deadBy = {};
  for (const { reason } of dead) addTo(state.deadBy, reason, 1);
  const lost = state.accepted - state.shipped - state.queued - state.dead - total(state.evictedBy);
  if (lost > 0) addTo(state.evictedBy, 'damaged', lost);
  else state.accepted -= lost;
  state.nextRowId = Math.max(state.nextRowId, (rows.at(-1)?.id ?? 0) + 1);
  state.open = false;
  const lostText = known === undefined ? 'an unknown number' : `${Math.max(0, lost)}`;
  const counts = `${rows.length} readings and ${dead.length} dead letters salvaged, ${lostText} lost`;
  state.damage = damageText(`${why}; put aside as ${aside}; ${counts}`);
  return state;
}

/** Writes the replacement, then moves it into the damaged file's place. Throws errors of the disk; then nothing has changed. */
export function replaceDamaged(
  file: string,
  gateway: string,
  why: string,
  createFile: (file: string, fill: (database: Database) => void) => void,
): void {
  const stamp = new Date().toISOString().replaceAll(/[:.]/g, '-');
  const salvaged = salvage(file, gateway);
  const state = accountOf(salvaged, why, asideName(stamp));
  createFile(path.join(path.dirname(file), `queue.replacement-${stamp}.db`), (database) => {
    const row = insertRows(database);
    const letter = insertDead(database);
    for (const stored of salvaged.rows) row(stored);
    for (const stored of salvaged.dead) letter(stored);
    insertWatermarks(database, salvaged.watermarks, Date.now());
    writeState(database, { ...state, audit: salvageAudit(database, salvaged.audit, state) });
    if (salvaged.queueId !== undefined) setQueueId(database, salvaged.queueId);
  });
  finishReplacement(file);
}

/** Moves a complete replacement into its place, if there is one. */
export function finishReplacement(file: string): void {
  const folder = path.dirname(file);
  for (const name of readdirSync(folder)) {
    const stamp = REPLACEMENT.exec(name)?.[1];
    if (stamp === undefined) continue;
    const aside = path.join(folder, asideName(stamp));
    for (const ending of ['-wal', '-shm', '']) if (existsSync(file + ending)) renameSync(file + ending, aside + ending);
    // The old log must be gone, durably, before a new file appears that SQLite would apply it to.
    syncFolder(folder);
    renameSync(path.join(folder, name), file);
    syncFolder(folder);
  }
}
