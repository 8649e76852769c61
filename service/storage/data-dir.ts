/** What services keep in DATA_DIR in common: the lock of each service, its key, the box's name, whole-file writes. */
import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, linkSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { open, rename, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import type { ServiceName } from '../../contract/topics.ts';
import type { Config } from '../config/config.ts';
import { HrError, messageOf, systemCodeOf } from '../errors/errors.ts';
import { openDatabase, type Database } from './sqlite.ts';

type Located = Pick<Config, 'DATA_DIR'>;

function unusable(operation: string, error: unknown): HrError {
  return new HrError('data_dir_unusable', { operation, detail: messageOf(error), cause: error });
}

/** Makes a folder below DATA_DIR (0700) and returns its path. Throws HrError `data_dir_unusable`. */
export function dataFolder(config: Located, ...parts: string[]): string {
  const folder = path.join(config.DATA_DIR, ...parts);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw unusable(`make the folder ${folder}`, error);
  }
  return folder;
}

export interface DataDirLock {
  release(): void;
}

/** Held for as long as the process lives: a lock that the garbage collector closes is none. */
const heldLocks = new Set<Database>();

/**
 * Locks DATA_DIR for one service by an exclusive transaction on a small database: the kernel gives the lock back when the
 * process ends, however it ends. Throws HrError `data_dir_in_use` where another process holds it, else `data_dir_unusable`.
 */
export function lockDataDir(config: Located, service: ServiceName): DataDirLock {
  const file = path.join(dataFolder(config, 'locks'), `${service}.lock`);
  let database: Database | undefined;
  try {
    database = openDatabase(file, { timeout: 0 });
    database.pragma('journal_mode = DELETE');
    database.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    database?.close();
    if (systemCodeOf(error)?.startsWith('SQLITE_BUSY') === true)
      throw new HrError('data_dir_in_use', {
        operation: `lock ${path.resolve(config.DATA_DIR)}`,
        detail: `another ${service} uses it`,
        cause: error,
      });
    throw unusable(`lock ${file}`, error);
  }
  const held = database;
  heldLocks.add(held);
  return {
    release() {
      if (heldLocks.delete(held)) held.close();
    },
  };
}

/** Replaces a file whole or not at all, whenever the writer is killed or the power goes. */
export function writeFileAtomic(file: string, text: string | Buffer, mode = 0o644): void {
  const temporary = `${file}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`;
  try {
    const fd = openSync(temporary, 'wx', mode);
    try {
      writeSync(fd, typeof text === 'string' ? Buffer.from(text) : text);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, file);
    syncFolder(path.dirname(file));
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** As writeFileAtomic, off the event loop: for what is written while a service runs, since a disk may take half a second for it. */
export async function replaceFile(file: string, text: string, mode = 0o644): Promise<void> {
  const temporary = `${file}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`;
  try {
    await writeFile(temporary, text, { flag: 'wx', mode, flush: true });
    await rename(temporary, file);
    const folder = await open(path.dirname(file), 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Makes creations, renames and removals in a folder survive a power cut. */
export function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Reads a file, or makes it with `make()` where it is missing; of many processes at once the first wins for all. */
function readOrCreate(file: string, make: () => string, mode: number): string {
  for (;;) {
    try {
      const text = readFileSync(file, 'utf8').trim();
      if (text !== '') return text;
      rmSync(file, { force: true });
    } catch (error) {
      if (systemCodeOf(error) !== 'ENOENT') throw unusable(`read ${file}`, error);
    }
    const temporary = `${file}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`;
    try {
      writeFileAtomic(temporary, `${make()}\n`, mode);
      // A link fails where the file exists: the loser reads the winner's.
      linkSync(temporary, file);
    } catch (error) {
      if (systemCodeOf(error) !== 'EEXIST') throw unusable(`write ${file}`, error);
    } finally {
      rmSync(temporary, { force: true });
    }
  }
}

/** A secret of 32 random bytes in DATA_DIR/keys, made at first use, for the owner alone (0600). */
export function readOrCreateSecret(config: Located, name: string): string {
  const folder = dataFolder(config, 'keys');
  return readOrCreate(path.join(folder, name), () => randomBytes(32).toString('base64url'), 0o600);
}

/** The operator's token, in DATA_DIR/token (0600), made at first use. */
export function operatorToken(config: Located): string {
  return readOrCreate(path.join(dataFolder(config), 'token'), () => randomBytes(24).toString('base64url'), 0o600);
}

/** A name as it may stand in topics and readings. */
export function slug(text: string): string {
  return text
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 64);
}

/** The box's name: the configured one, else the one kept at first start (slug of the host name then). */
export function gatewayName(config: Located & Pick<Config, 'GATEWAY_NAME'>): string {
  if (config.GATEWAY_NAME !== undefined) return config.GATEWAY_NAME;
  return readOrCreate(path.join(dataFolder(config), 'gateway-name'), () => slug(hostname()) || 'gateway', 0o644);
}
