/**
 * Opens the queue's file so that a commit survives a power cut. The file is checked first, over a connection that cannot write: a file of
 * a newer version is refused unchanged, a damaged one is replaced (replace-damaged.ts). A new file is completed under another name.
 */
import { existsSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { syncFolder } from '../../service/storage/data-dir.ts';
import { messageOf } from '../../service/errors/errors.ts';
import { openDatabase, type Database } from '../../service/storage/sqlite.ts';
import { LOCK_WAIT_MS } from './disk-space.ts';
import { isOfTheDisk } from './disk-trouble.ts';
import { emptyLedger, imbalance, type LedgerState } from './ledger.ts';
import { Owners } from './owners.ts';
import { finishReplacement, readThrough, replaceDamaged, type Damage, type LastKnown } from './replace-damaged.ts';
import { auditDamage } from './salvaged-audit.ts';
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
  /** The file is a new one, in the place of a damaged one. */
  isReplaced: boolean;
  /** The process before did not close the file in order. */
  wasUnclean: boolean;
  /** Whose rows are in the file, counted by the check; undefined if it was replaced. */
  owners: Owners | undefined;
}

export interface OpenOptions {
  /** Name of this box. */
  gateway: string;
  /** Asked after the check, which may take minutes; if it says no, the file stays closed. */
  mayOpen: () => boolean;
  /** What this process knows of the file, if it has had it open. */
  known?: LastKnown | undefined;
  /** A file whose pages the disk does not return counts as damaged. Otherwise that is an error of the disk, which a retry may cure. */
  isUnreadableDamaged?: boolean;
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
    database.pragma(`busy_timeout = ${LOCK_WAIT_MS}`);
    database.pragma('cache_size = -4096');
    migrate(database, undefined, context);
    return database;
  } catch (error) {
    closeKeepingLog(database);
    throw error;
  }
}

/** Creates a queue file. Its name appears only once the file is complete, with the content that `fill` writes. */
function createFile(file: string, fill: (database: Database) => void): void {
  const unfinished = path.join(path.dirname(file), 'queue.unfinished.db');
  for (const ending of ['', '-wal', '-shm', '-journal']) rmSync(unfinished + ending, { force: true });
  const database = connect(unfinished);
  try {
    fill(database);
    database.pragma('wal_checkpoint(TRUNCATE)');
  } finally {
    database.close();
  }
  renameSync(unfinished, file);
  syncFolder(path.dirname(file));
}

interface Checked {
  state: LedgerState;
  owners: Owners;
}

/**
 * Checks everything in a file over a connection that cannot write, and counts whose rows it holds. Throws an error that names the damage,
 * NewerSchemaError for a file of a newer version.
 */
export function checkFile(file: string): Checked {
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
    const wrong =
      imbalance(state) ??
      (version > 1 ? watermarkDamage(database) : undefined) ??
      (version > 3 ? auditDamage(database) : undefined);
    if (wrong !== undefined) throw new Error(wrong);
    const owners = new Owners();
    for (const row of database.prepare('SELECT * FROM rows ORDER BY id').iterate() as IterableIterator<StoredRow>) {
      if (rowChecksum(row) !== row.crc) throw new DamagedRowError(row.id);
      owners.add(row);
    }
    for (const letter of database.prepare('SELECT * FROM dead').iterate() as IterableIterator<StoredDead>)
      if (deadChecksum(letter) !== letter.crc) throw new Error(`dead letter ${letter.id} has a wrong checksum`);
    return { state, owners };
  } finally {
    database.close();
  }
}

/** What a file is said to hold before it is checked: its state, and when its oldest row was accepted. Undefined if that cannot be read. */
export function peek(file: string): { state: LedgerState; oldestAcceptedAtMs: number | null } | undefined {
  if (!existsSync(file)) return undefined;
  try {
    return withoutNewLog(file, () => {
      const database = openDatabase(file, { readonly: true, fileMustExist: true });
      try {
        if ((database.pragma('user_version', { simple: true }) as number) > SCHEMA_VERSION) return undefined;
        const state = readState(database);
        const oldest: unknown = database.prepare('SELECT accepted_ms FROM rows ORDER BY id LIMIT 1').pluck().get();
        return state && { state, oldestAcceptedAtMs: typeof oldest === 'number' ? oldest : null };
      } finally {
        database.close();
      }
    });
  } catch {
    return undefined;
  }
}

/** Opening a file creates an empty log if there is none: removes it, so that a missing log is still noticed. */
function withoutNewLog<T>(file: string, work: (hadLog: boolean) => T): T {
  // The WAL exists from opening the file until an orderly close.
  const hadLog = existsSync(`${file}-wal`);
  try {
    return work(hadLog);
  } finally {
    if (!hadLog) for (const ending of ['-wal', '-shm']) rmSync(file + ending, { force: true });
  }
}

interface Verdict {
  damage?: Damage;
  owners?: Owners;
}

/** The damage of a file, or whose rows it holds. Throws NewerSchemaError, or an error of the disk. */
function examine(file: string, isUnreadableDamaged: boolean): Verdict {
  return withoutNewLog(file, (hadLog) => {
    try {
      const { state, owners } = checkFile(file);
      if (!state.open || hadLog) return { owners };
      const reason = 'the write-ahead log is missing: commits since the last checkpoint are lost';
      return { damage: { reason, isLogLost: true } };
    } catch (error) {
      if (error instanceof NewerSchemaError || isOfTheDisk(error, isUnreadableDamaged)) throw error;
      return { damage: { reason: messageOf(error).replace(/\s+/g, ' '), isLogLost: false } };
    }
  });
}

/**
 * Checks and opens the queue's file, after creating or replacing it if necessary. Undefined if `mayOpen` says no. Throws NewerSchemaError,
 * or an error of the disk.
 */
export function openQueue(file: string, options: OpenOptions): OpenedQueue | undefined {
  const { gateway, mayOpen, known, isUnreadableDamaged = false } = options;
  finishReplacement(file);
  const examineAgain = (): Verdict => {
    const found = examine(file, isUnreadableDamaged);
    if (found.damage === undefined || isUnreadableDamaged) return found;
    // SQLite's check reports a failed read as if it were damage: what the disk returns now is checked once more.
    readThrough(file);
    return examine(file, isUnreadableDamaged);
  };
  const isMissing = !existsSync(file) && !existsSync(`${file}-wal`);
  if (isMissing && known === undefined) createFile(file, (database) => writeState(database, emptyLedger()));
  const isGone = isMissing && known !== undefined;
  const { damage, owners }: Verdict = isGone ? { damage: { reason: 'the file is missing', isLogLost: false } } : examineAgain();
  if (damage !== undefined) replaceDamaged(file, damage, { gateway, known, isUnreadableDamaged, createFile });
  if (!mayOpen()) return undefined;
  const database = connect(file, { gateway });
  try {
    const state = readState(database);
    if (state === undefined) throw new Error('the state row cannot be read after the check');
    const wasUnclean = damage !== undefined || state.open;
    state.open = true;
    writeState(database, state);
    database.pragma('wal_checkpoint(TRUNCATE)');
    return { database, state, isReplaced: damage !== undefined, wasUnclean, owners };
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
