/**
 * What a process did to its files, recorded by strace: writes with their bytes, syncs, creations, renames, removals, and what it sent
 * on its sockets, in order. From it, what a disk may hold after a power failure (test/support/power-cut.ts).
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';

export type DiskEvent =
  | { kind: 'write'; inode: number; offset: number; bytes: Buffer }
  | { kind: 'size'; inode: number; size: number }
  /** `since`: index of the first event that the sync does not cover. */
  | { kind: 'synced'; inode: number; since: number }
  | { kind: 'create'; inode: number; path: string }
  | { kind: 'rename'; from: string; to: string }
  | { kind: 'unlink'; path: string }
  | { kind: 'folderSynced'; path: string; since: number }
  | { kind: 'said'; text: string };

const CALLS =
  'openat,write,pwrite64,writev,pwritev,sendto,sendmsg,lseek,read,ftruncate,fsync,fdatasync,' +
  'rename,renameat2,unlink,link,copy_file_range,fallocate';

/** True if processes can be traced on this machine. */
export const canTrace = (): boolean => spawnSync('strace', ['-f', '-o', '/dev/null', 'true']).status === 0;

/** Arguments for strace to record a command into a file. */
export const straceArgs = (log: string): string[] => [
  '-f',
  '--seccomp-bpf',
  '-ttt',
  '-xx',
  '-s',
  '2000000',
  '-e',
  `trace=${CALLS}`,
  '-o',
  log,
];

const decode = (text: string): Buffer => Buffer.from(text.replaceAll('\\x', ''), 'hex');

/** The strings of a call, decoded and joined; for a writev, all of its parts. */
const stringsOf = (call: string): Buffer =>
  Buffer.concat([...call.matchAll(/"((?:\\x[0-9a-f]{2})*)"/g)].map((match) => decode(match[1] ?? '')));
const numbersAfterStrings = (call: string): number[] =>
  call
    .slice(call.lastIndexOf('"') + 1)
    .split(',')
    .map((part) => Number.parseInt(part.trim(), 10))
    .filter((part) => !Number.isNaN(part));

interface OpenFile {
  inode: number;
  position: number;
  append: boolean;
  folder?: string;
}

interface Started {
  call: string;
  index: number;
}

/**
 * Reads the logs of consecutive processes. Only files directly in `folder` count, without `-shm` files: those do not survive a power
 * failure.
 */
export class TraceReader {
  readonly events: DiskEvent[] = [];
  /** When each event was logged, by the clock of this machine. */
  readonly timesMs: number[] = [];
  readonly #folder: string;
  readonly #inodes = new Map<string, number>();
  readonly #sizes = new Map<number, number>();
  #nextInode = 1;
  #open = new Map<number, OpenFile>();
  #started = new Map<string, Started>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Adds the log of one process. */
  read(log: string): void {
    this.#open = new Map();
    this.#started = new Map();
    for (const line of readFileSync(log, 'latin1').split('\n')) {
      const match = /^(\d+)\s+(\d+\.\d+)\s+(.*)$/.exec(line);
      if (match === null) continue;
      const [, thread = '', seconds = '', text = ''] = match;
      const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(text);
      if (resumed !== null) {
        const started = this.#started.get(thread);
        this.#started.delete(thread);
        if (started !== undefined) this.#finish(started.call + (resumed[1] ?? ''), started.index);
      } else if (text.endsWith('<unfinished ...>')) {
        const call = text.slice(0, -'<unfinished ...>'.length).trimEnd();
        // The bytes may reach the disk before the call returns.
        const index = this.events.length;
        this.#started.set(thread, { call: this.#write(call) ? '' : call, index });
      } else if (/^\w+\(/.test(text) && !this.#write(text)) this.#finish(text, this.events.length);
      while (this.timesMs.length < this.events.length) this.timesMs.push(Number(seconds) * 1000);
    }
  }

  #isOurs(file: string): boolean {
    return path.dirname(file) === this.#folder && !file.endsWith('-shm');
  }

  /** Records a write to a file or socket. Returns true if the call was one. */
  #write(call: string): boolean {
    const match = /^(write|pwrite64|writev|pwritev|sendto|sendmsg)\((\d+)/.exec(call);
    if (match === null) return false;
    const file = this.#open.get(Number(match[2]));
    const bytes = stringsOf(call);
    if (file === undefined) {
      if (bytes.includes('/stored/')) this.events.push({ kind: 'said', text: bytes.toString('latin1') });
      return true;
    }
    const positioned = match[1]?.startsWith('p') === true;
    const size = this.#sizes.get(file.inode) ?? 0;
    const numbers = numbersAfterStrings(call.replace(/\)\s+=.*$/, ''));
    const end = file.append ? size : file.position;
    const offset = positioned ? (numbers.at(-1) ?? 0) : end;
    if (!positioned) file.position = offset + bytes.length;
    this.#sizes.set(file.inode, Math.max(size, offset + bytes.length));
    this.events.push({ kind: 'write', inode: file.inode, offset, bytes });
    return true;
  }

  /** Records a call that has returned. Failed calls changed nothing. */
  #finish(call: string, index: number): void {
    const result = Number(/\)\s+=\s+(-?\d+)/.exec(call)?.[1] ?? Number.NaN);
    if (call === '' || Number.isNaN(result) || result < 0) return;
    const name = call.slice(0, call.indexOf('('));
    const names = [...call.matchAll(/"((?:\\x[0-9a-f]{2})*)"/g)].map((match) => path.resolve(decode(match[1] ?? '').toString()));
    switch (name) {
      case 'openat':
        return this.#opened(names[0] ?? '', result, call);
      case 'rename':
      case 'renameat2':
        return this.#renamed(names[0] ?? '', names[1] ?? '');
      case 'unlink':
        return this.#unlinked(names[0] ?? '');
      default: {
        const file = this.#open.get(Number(/^\w+\((\d+)/.exec(call)?.[1] ?? Number.NaN));
        if (file !== undefined) this.#finishOn(file, { name, call, result, index });
      }
    }
  }

  /** Records a call on an open file in the folder. */
  #finishOn(file: OpenFile, { name, call, result, index }: { name: string; call: string; result: number; index: number }): void {
    switch (name) {
      case 'lseek':
        file.position = result;
        return undefined;
      case 'read':
        file.position += result;
        return undefined;
      case 'ftruncate': {
        const size = numbersAfterStrings(call.replace(/\)\s+=.*$/, '').replace(/^\w+\(\d+,/, '"'))[0] ?? 0;
        this.#sizes.set(file.inode, size);
        return void this.events.push({ kind: 'size', inode: file.inode, size });
      }
      case 'fsync':
      case 'fdatasync':
        return void this.events.push(
          file.folder === undefined
            ? { kind: 'synced', inode: file.inode, since: index }
            : { kind: 'folderSynced', path: file.folder, since: index },
        );
      default:
        throw new Error(`unknown call in the trace: ${call.slice(0, 200)}`);
    }
  }

  #renamed(from: string, to: string): void {
    const inode = this.#inodes.get(from);
    if (inode === undefined) return;
    this.#inodes.delete(from);
    this.#inodes.set(to, inode);
    this.events.push({ kind: 'rename', from, to });
  }

  #unlinked(removed: string): void {
    if (this.#inodes.delete(removed)) this.events.push({ kind: 'unlink', path: removed });
  }

  #opened(file: string, fd: number, call: string): void {
    if (file === this.#folder) return void this.#open.set(fd, { inode: 0, position: 0, append: false, folder: file });
    if (!this.#isOurs(file)) return void this.#open.delete(fd);
    let inode = this.#inodes.get(file);
    if (inode === undefined) {
      inode = this.#nextInode;
      this.#nextInode += 1;
      this.#inodes.set(file, inode);
      this.events.push({ kind: 'create', inode, path: file });
    } else if (call.includes('O_TRUNC')) {
      this.#sizes.set(inode, 0);
      this.events.push({ kind: 'size', inode, size: 0 });
    }
    this.#open.set(fd, { inode, position: 0, append: call.includes('O_APPEND') });
  }
}
