/** What the services share in DATA_DIR: the lock of each service, its key, the box's name, and atomic file writes. */
import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, linkSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { open, rename, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import { GATEWAY_PATTERN, type ServiceName } from '../../contract/topics.ts';
import type { Config } from '../config/config.ts';
import { HrError, messageOf, systemCodeOf } from '../errors/errors.ts';
import type { Logger } from '../log/log.ts';
import { readIfExists } from './read-file.ts';
import { registerSecret } from '../secrets/mask.ts';
import { openDatabase, type Database } from './sqlite.ts';

type Located = Pick<Config, 'DATA_DIR'>;

/** An operation on DATA_DIR failed. */
export function unusable(operation: string, error: unknown): HrError {
  return new HrError('data_dir_unusable', { operation, detail: messageOf(error), cause: error });
}

/** Creates a folder below DATA_DIR (mode 0700) if it is missing, and returns its path. Throws HrError `data_dir_unusable`. */
export function dataFolder(config: Located, ...parts: string[]): string {
  const folder = path.join(config.DATA_DIR, ...parts);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw unusable(`create the folder ${folder}`, error);
  }
  return folder;
}

export interface DataDirLock {
  release(): void;
}

/** Keeps the locks reachable: the garbage collector would close the database of an unreachable one, and so release it. */
const heldLocks = new Set<Database>();

/** Why a file cannot be opened for writing: SQLite says CANTOPEN or READONLY for a failing disk and for missing rights alike. */
function openErrorOf(file: string): unknown {
  try {
    closeSync(openSync(file, 'r+'));
    return undefined;
  } catch (error) {
    return error;
  }
}

/**
 * Locks DATA_DIR for one service by an exclusive transaction on a small database. The kernel releases the lock when the process ends,
 * however it ends. Throws HrError `data_dir_in_use` if another process holds the lock, else `data_dir_unusable`. Call it in `start()`.
 */
export function lockDataDir(config: Located, service: ServiceName): DataDirLock {
  const file = path.join(dataFolder(config, 'locks'), `${service}.lock`);
  let database: Database | undefined;
  try {
    database = openDatabase(file, { timeout: 0 });
    // Without a journal file the lock needs no space: a full disk must not keep a service from starting.
    database.pragma('journal_mode = MEMORY');
    database.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    database?.close();
    if (systemCodeOf(error)?.startsWith('SQLITE_BUSY') === true)
      throw new HrError('data_dir_in_use', {
        operation: `lock ${path.resolve(config.DATA_DIR)}`,
        detail: `another ${service} uses it`,
        cause: error,
      });
    throw unusable(`lock ${file}`, openErrorOf(file) ?? error);
  }
  const held = database;
  heldLocks.add(held);
  return {
    release() {
      if (heldLocks.delete(held)) held.close();
    },
  };
}

/** Removes a temporary file. On a failing disk it stays: the error that matters is the one of the write. */
function removeLeftover(file: string): void {
  try {
    rmSync(file, { force: true });
  } catch {
    // Nothing reads it.
  }
}

/** Replaces a file completely or not at all, even if the process is killed or power fails meanwhile. Throws what `node:fs` throws. */
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
    removeLeftover(temporary);
    throw error;
  }
}

/** As `writeFileAtomic`, without blocking the event loop: a slow disk may take half a second. For files written while a service runs. */
export async function replaceFile(file: string, text: string, mode = 0o644): Promise<void> {
  const temporary = `${file}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`;
  try {
    await writeFile(temporary, text, { flag: 'wx', mode, flush: true });
    await rename(temporary, file);
    await syncFolderAsync(path.dirname(file));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw error;
  }
}

/** As `syncFolder`, without blocking the event loop. */
export async function syncFolderAsync(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes creations, renames and removals in a folder survive a power failure. */
export function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Reads a file, or creates it with the result of `make()`. If several processes do so at once, all of them return the first one's text. */
function readOrCreate(file: string, make: () => string, mode: number): string {
  for (;;) {
    try {
      const text = readIfExists(file)?.trim();
      if (text !== undefined && text !== '') return text;
      if (text === '') rmSync(file, { force: true });
    } catch (error) {
      throw unusable(`read ${file}`, error);
    }
    const temporary = `${file}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`;
    try {
      writeFileAtomic(temporary, `${make()}\n`, mode);
      // A link fails if the file exists: another process was first, and its file is read.
      linkSync(temporary, file);
    } catch (error) {
      if (systemCodeOf(error) !== 'EEXIST') throw unusable(`write ${file}`, error);
    } finally {
      removeLeftover(temporary);
    }
  }
}

/** As `readOrCreate`, for the owner only (0600); the text appears in no output of this process. */
function readOrCreateHidden(file: string, bytes: number): string {
  const secret = readOrCreate(file, () => randomBytes(bytes).toString('base64url'), 0o600);
  registerSecret(secret);
  return secret;
}

/** A secret of 32 random bytes in DATA_DIR/keys, created at first use and readable only by its owner (0600). */
export function readOrCreateSecret(config: Located, name: string): string {
  const folder = dataFolder(config, 'keys');
  return readOrCreateHidden(path.join(folder, name), 32);
}

const TOKEN_FILE = 'token';
const TOKEN_BYTES = 24;

/** The operator's token in DATA_DIR/token (0600), created at first use. */
export function operatorToken(config: Located): string {
  return readOrCreateHidden(path.join(dataFolder(config), TOKEN_FILE), TOKEN_BYTES);
}

/** The operator's token, or undefined if there is none yet; writes nothing. Throws HrError `data_dir_unusable`. */
export function readOperatorToken({ DATA_DIR }: Located): string | undefined {
  const file = path.join(DATA_DIR, TOKEN_FILE);
  try {
    const token = readIfExists(file)?.trim();
    if (token === undefined || token === '') return undefined;
    registerSecret(token);
    return token;
  } catch (error) {
    throw unusable(`read ${file}`, error);
  }
}

/** Replaces the operator's token, and returns the new one. Throws HrError `data_dir_unusable`. */
export function rotateOperatorToken(config: Located): string {
  const file = path.join(dataFolder(config), TOKEN_FILE);
  try {
    writeFileAtomic(file, `${randomBytes(TOKEN_BYTES).toString('base64url')}\n`, 0o600);
  } catch (error) {
    throw unusable(`write ${file}`, error);
  }
  return operatorToken(config);
}

/** Turns any text into a name for topics and readings: lower case, digits and hyphens, at most 64 characters. */
export function slug(text: string): string {
  return text
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 64);
}

type Named = Located & Pick<Config, 'GATEWAY_NAME'>;

/**
 * Replaces a stored name that cannot be part of a topic by its slug. Several services may find it at once: the one that keeps the old file
 * under another name logs the WARN, all of them store the same slug.
 */
function renameBox(file: string, name: string, log: Logger | undefined): string {
  const renamed = slug(name) || 'gateway';
  try {
    let isFirst = true;
    try {
      linkSync(file, `${file}.replaced`);
    } catch (error) {
      if (systemCodeOf(error) !== 'EEXIST') throw error;
      isFirst = false;
    }
    writeFileAtomic(file, `${renamed}\n`);
    if (isFirst)
      log?.warn(
        { event: 'gateway_renamed', name: name.slice(0, 200), renamed },
        'the name of this box cannot be part of a topic and was replaced; readings carry the new name from now on',
      );
  } catch (error) {
    throw unusable(`write ${file}`, error);
  }
  return renamed;
}

/**
 * The name of this box: the configured one, else the one stored at first start, which is the slug of the host name at that time. A stored
 * name that does not match GATEWAY_PATTERN is replaced by its slug, once, with a WARN. Throws HrError `data_dir_unusable`.
 */
export function gatewayName(config: Named, log?: Logger): string {
  if (config.GATEWAY_NAME !== undefined) return config.GATEWAY_NAME;
  const file = path.join(dataFolder(config), 'gateway-name');
  const name = readOrCreate(file, () => slug(hostname()) || 'gateway', 0o644);
  return GATEWAY_PATTERN.test(name) ? name : renameBox(file, name, log);
}

/** The name that is kept in DATA_DIR, or undefined; writes nothing. Throws HrError `data_dir_unusable`. */
export function storedGatewayName({ DATA_DIR }: Located): string | undefined {
  const file = path.join(DATA_DIR, 'gateway-name');
  try {
    const name = readIfExists(file)?.trim();
    return name === undefined || !GATEWAY_PATTERN.test(name) ? undefined : name;
  } catch (error) {
    throw unusable(`read ${file}`, error);
  }
}

/** The name of this box as a function that reads it at its first call: constructors do no I/O. Call it from `start()` on. */
export function gatewayNameOf(config: Named, log: Logger): () => string {
  let name: string | undefined;
  return () => (name ??= gatewayName(config, log));
}
