/**
 * In containers each service has a volume of its own as its DATA_DIR, so that the bridge, which strangers reach by radio, can read neither
 * the queue nor keys, token and users. `prepareVolumes` runs before the services: it moves what belongs to other services out of the one
 * volume of 1.0.0, which becomes the forwarder's (the queue never moves), and gives every service its key and the name of this box.
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  utimesSync,
  type Stats,
} from 'node:fs';
import path from 'node:path';
import { SERVICE_NAMES, type ServiceName } from '../../contract/topics.ts';
import { HrError, messageOf, systemCodeOf } from '../errors/errors.ts';
import type { Logger } from '../log/log.ts';
import { gatewayName, lockDataDir, readOrCreateSecret, syncFolder, writeFileAtomic } from './data-dir.ts';

/** The volume of 1.0.0, which stays the forwarder's. */
const FIRST: ServiceName = 'forwarder';
/** Names whose service a volume belongs to. */
const OWNER_FILE = 'volume-of';
/** What moves out of the first volume: these files and folders, and those whose names continue one after a `.` or `-`. */
const MOVES: Readonly<Partial<Record<ServiceName, readonly string[]>>> = {
  gateway: ['users.json', 'outbox-gateway', 'device-claims.json'],
  'ble-bridge': ['outbox', 'devices.json', 'last-readings.json'],
  'admin-api': ['token'],
  'local-kinesis': ['local-kinesis.db'],
};

/** `outbox` does not own `outbox-gateway`. */
function ownerOf(entry: string): ServiceName | undefined {
  let owner: ServiceName | undefined;
  let longest = 0;
  for (const service of SERVICE_NAMES)
    for (const name of MOVES[service] ?? []) {
      const isOwn = entry === name || entry.startsWith(`${name}.`) || entry.startsWith(`${name}-`);
      if (!isOwn || name.length <= longest) continue;
      owner = service;
      longest = name.length;
    }
  return owner;
}

const isSame = (a: Stats, b: Stats): boolean => a.size === b.size && Math.abs(a.mtimeMs - b.mtimeMs) < 2;

/** The volume's files are replaced by those of 1.0.0, which ran last; what is replaced is kept. */
function setAside(target: string, source: Stats): void {
  if (!existsSync(target) || isSame(lstatSync(target), source)) return;
  renameSync(target, `${target}.replaced-${randomBytes(4).toString('hex')}`);
}

/** Moves a file to another volume: it is complete there, on the disk, before it is removed here. Can be repeated after a kill. */
function moveFile(from: string, to: string): void {
  const source = lstatSync(from);
  setAside(to, source);
  const temporary = `${to}.moving`;
  rmSync(temporary, { force: true });
  copyFileSync(from, temporary, constants.COPYFILE_FICLONE);
  const fd = openSync(temporary, 'r+');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  utimesSync(temporary, source.atime, source.mtime);
  renameSync(temporary, to);
  syncFolder(path.dirname(to));
  rmSync(from);
}

function moveEntry(from: string, to: string): number {
  const { mode } = lstatSync(from);
  if ((mode & constants.S_IFMT) !== constants.S_IFDIR) {
    moveFile(from, to);
    return 1;
  }
  mkdirSync(to, { recursive: true, mode: 0o700 });
  let moved = 0;
  for (const entry of readdirSync(from).sort()) moved += moveEntry(path.join(from, entry), path.join(to, entry));
  syncFolder(path.dirname(to));
  rmdirSync(from);
  return moved;
}

export interface PrepareOptions {
  /** Holds a folder for each service: the root of its volume. */
  root: string;
  log: Logger;
}

/**
 * Can be killed and repeated at any time; writes nothing if there is nothing to do, so that a full disk keeps no box from starting. Throws
 * HrError `data_dir_in_use` if a service still uses the volume of 1.0.0, `data_dir_unusable` if something cannot be moved: nothing is lost
 * then.
 */
export function prepareVolumes({ root, log }: PrepareOptions): void {
  const volume = (service: ServiceName): string => path.join(root, service);
  const first = volume(FIRST);
  try {
    const entries = readdirSync(first).sort();
    for (const service of SERVICE_NAMES) {
      const own = entries.filter((entry) => ownerOf(entry) === service);
      if (own.length === 0) continue;
      // Taken with the file of 1.0.0: a service of 1.0.0 that still runs holds it.
      const lock = lockDataDir({ DATA_DIR: first }, service);
      try {
        let files = 0;
        for (const entry of own) files += moveEntry(path.join(first, entry), path.join(volume(service), entry));
        log.info({ event: 'volume_moved', to: service, files }, `moved the files of ${service} into its own volume`);
      } finally {
        lock.release();
      }
    }
    distributeKeys(volume);
    const name = gatewayName({ DATA_DIR: first, GATEWAY_NAME: undefined });
    for (const service of SERVICE_NAMES) {
      keepText(path.join(volume(service), 'gateway-name'), name, 0o644);
      keepText(path.join(volume(service), OWNER_FILE), service, 0o644);
    }
  } catch (error) {
    if (error instanceof HrError) throw error;
    const isFull = systemCodeOf(error) === 'ENOSPC';
    throw new HrError('data_dir_unusable', {
      operation: 'prepare the volumes of the services',
      detail: messageOf(error),
      cause: error,
      ...(isFull
        ? { hint: 'Free space on the disk of the volumes and start again. Nothing is lost: what is not moved stays.' }
        : {}),
    });
  }
}

/** The gateway has the keys of all services, every other service its own. The gateway's copy counts; the first volume had all of them. */
function distributeKeys(volume: (service: ServiceName) => string): void {
  const gateway = volume('gateway');
  const first = path.join(volume(FIRST), 'keys');
  const keys = path.join(gateway, 'keys');
  for (const service of SERVICE_NAMES) {
    const own = path.join(volume(service), 'keys', service);
    const known = [path.join(keys, service), path.join(first, service), own].map(textOf).find((text) => text !== '');
    if (known !== undefined) keepText(path.join(keys, service), known, 0o600);
    const key = readOrCreateSecret({ DATA_DIR: gateway }, service);
    keepText(own, key, 0o600);
  }
  for (const entry of readdirSync(first)) if (entry !== FIRST) rmSync(path.join(first, entry));
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCodeOf(error) ?? '')) return '';
    throw error;
  }
}

function keepText(file: string, text: string, mode: number): void {
  if (textOf(file) === text) return;
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  writeFileAtomic(file, `${text}\n`, mode);
}

/**
 * For commands that need the files of one service: throws HrError `wrong_container` if DATA_DIR is the volume of another. Outside
 * containers all services share DATA_DIR.
 */
export function requireVolumeOf(service: ServiceName, { DATA_DIR }: { DATA_DIR: string }): void {
  const owner = textOf(path.join(DATA_DIR, OWNER_FILE));
  if (owner === '' || owner === service) return;
  throw new HrError('wrong_container', {
    operation: `use the files of ${service}`,
    detail: `this is the container of ${owner}`,
    hint: `docker compose exec ${service} hr-gateway …`,
  });
}
