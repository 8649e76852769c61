/**
 * Opens the queue's file so that a commit survives a power cut. The file is checked first, over a connection that cannot write: a file of
 * a newer version is refused unchanged, a damaged one is replaced (replace-damaged.ts). A new file is completed under another name.
 */
import { existsSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { syncFolder } from '../../service/storage/data-dir.ts';
import { messageOf, systemCodeOf } from '../../service/errors/errors.ts';
import { openDatabase, type Database } from '../../service/storage/sqlite.ts';
import { emptyLedger, imbalance, type LedgerState } from './ledger.ts';
import { finishReplacement, replaceDamaged } from './replace-damaged.ts';
import { migrate, NewerSchemaError, PAGE_BYTES, SCHEMA_VERSION, type MigrationContext } from './schema.ts';
import {
  DamagedRowError,
  deadChecksum,
  readState,
  rowChecksum,
  writeState,
  type StoredDead,
  type StoredRow,
} from './stored-rows.ts';
import { walDamage } from './wal-check.ts';
import { watermarkDamage } from './watermarks.ts';

export interface OpenedQueue {
  database: Database;
  state: LedgerState;
  /** The process before did not close the file in order. */
  wasUnclean: boolean;
}

/**
 * Closes the database as a kill would: the WAL is neither written back nor removed. The last connection does both unless it is read-only,
 * so a read-only one is opened here and closed last. Used if `open` in the state row is still true and cannot be changed.
 */
export function closeKeepingLog(database: Database): void {
  const last = openDatabase(database.name, { readonly: true });
  try {
    last.prepare('SELECT count(*) FROM sqlite_master').get();
    database.close();
  } finally {
    last.close();
  }
}

function connect(file: string, context?: MigrationContext): Database {
  const database = openDatabase(file);
  try {
    database.pragma(`page_size = ${PAGE_BYTES}`);
    if (database.pragma('journal_mode = WAL', { simple: true }) !== 'wal') throw new Error('SQLite refuses journal mode WAL');
    // SQLite's build default for a reopened WAL database is NORMAL: set and verify FULL at every open.
    database.pragma('synchronous = FULL');
    if (database.pragma('synchronous', { simple: true }) !== 2) throw new Error('synchronous is not FULL');
    database.pragma('wal_autocheckpoint = 1000');
    database.pragma('cache_size = -4096');
    migrate(database, undefined, context);
    return database;
  } catch (error) {
    closeKeepingLog(database);
    throw error;
  }
}

/** Creates a queue file. The name appears only once the file is complete, with the content that `fill` writes. */
function createFile(file: string, fill: (database: Database) => void): void {
  const unfinished = path.join(path.dirname(file), 'queue.unfinished.db');
  for (const ending of ['', '-wal', '-shm', '-journal']) rmSync(unfinished + ending, { force: true });
  const database = connect(unfinished);
  try {
    database.transaction(() => fill(database))();
    database.pragma('wal_checkpoint(TRUNCATE)');
  } finally {
    database.close();
  }
  renameSync(unfinished, file);
  syncFolder(path.dirname(file));
}

/** Checks everything in a file, and returns its state. Throws an error that names the damage. */
function checkFile(file: string): LedgerState {
  if (!existsSync(file)) throw new Error('the file is missing, but its write-ahead log exists');
  const database = openDatabase(file, { readonly: true, fileMustExist: true });
  try {
    const version = database.pragma('user_version', { simple: true }) as number;
    if (version > SCHEMA_VERSION) throw new NewerSchemaError(version);
    const wal = walDamage(`${file}-wal`);
    if (wal !== undefined) throw new Error(wal);
    const verdict = database.pragma('quick_check(1)', { simple: true });
    if (verdict !== 'ok') throw new Error(String(verdict));
    const state = readState(database);
    if (state === undefined) throw new Error('the state row is missing or damaged');
    const { rows, dead } = database
      .prepare('SELECT (SELECT count(*) FROM rows) AS rows, (SELECT count(*) FROM dead) AS dead')
      .get() as { rows: number; dead: number };
    if (state.queued !== rows || state.dead !== dead)
      throw new Error(
        `the ledger counts ${state.queued} rows and ${state.dead} dead letters, the file holds ${rows} and ${dead}`,
      );
    const wrong = imbalance(state) ?? (version > 1 ? watermarkDamage(database) : undefined);
    if (wrong !== undefined) throw new Error(wrong);
    for (const row of database.prepare('SELECT * FROM rows').iterate() as IterableIterator<StoredRow>)
      if (rowChecksum(row) !== row.crc) throw new DamagedRowError(row.id);
    for (const letter of database.prepare('SELECT * FROM dead').iterate() as IterableIterator<StoredDead>)
      if (deadChecksum(letter) !== letter.crc) throw new Error(`dead letter ${letter.id} has a wrong checksum`);
    return state;
  } finally {
    database.close();
  }
}

/** Failures of the disk, which say nothing about the file, so it is not replaced. A file that cannot be read counts as damaged. */
function isOfTheDisk(error: unknown): boolean {
  const code = systemCodeOf(error) ?? '';
  return (
    code.startsWith('E') ||
    (/^SQLITE_(FULL|IOERR|CANTOPEN|READONLY|BUSY|PERM)/.test(code) && !/^SQLITE_IOERR_(SHORT_READ|READ|CORRUPTFS)$/.test(code))
  );
}

/** Describes the damage of a file, or returns undefined. Throws NewerSchemaError, or an error of the disk. */
function damageOf(file: string): string | undefined {
  // The WAL exists from opening the file until an orderly close.
  const hadLog = existsSync(`${file}-wal`);
  try {
    const state = checkFile(file);
    return state.open && !hadLog ? 'the write-ahead log is missing: commits since the last checkpoint are lost' : undefined;
  } catch (error) {
    if (error instanceof NewerSchemaError || isOfTheDisk(error)) throw error;
    return messageOf(error).replace(/\s+/g, ' ');
  } finally {
    // Opening creates an empty WAL if there is none.
    if (!hadLog) for (const ending of ['-wal', '-shm']) rmSync(file + ending, { force: true });
  }
}

/**
 * Checks and opens the queue's file, after creating or replacing it if necessary. `gateway`: name of this box. `mayOpen` is asked after
 * the check, which may take minutes; if it says no, the file stays closed. Throws NewerSchemaError, or an error of the disk.
 */
export function openQueue(file: string, gateway: string, mayOpen: () => boolean): OpenedQueue | undefined {
  finishReplacement(file);
  if (!existsSync(file) && !existsSync(`${file}-wal`)) createFile(file, (database) => writeState(database, emptyLedger()));
  const damage = damageOf(file);
  if (damage !== undefined) replaceDamaged(file, gateway, damage, createFile);
  if (!mayOpen()) return undefined;
  const database = connect(file, { gateway });
  try {
    const state = readState(database);
    if (state === undefined) throw new Error('the state row cannot be read after the check');
    const wasUnclean = damage !== undefined || state.open;
    state.open = true;
    writeState(database, state);
    database.pragma('wal_checkpoint(TRUNCATE)');
    return { database, state, wasUnclean };
  } catch (error) {
    closeKeepingLog(database);
    throw error;
  }
}

/** Marks a copy of an open file as closed in order, so that it needs no WAL. */
export function markClosed(file: string): void {
  const database = connect(file);
  const state = readState(database);
  if (state !== undefined) writeState(database, { ...state, open: false });
  database.close();
}
