/** Failing file operations in real processes: a preloaded library (disk-faults.c) that a test instructs over a memory-mapped file. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, existsSync, openSync, readFileSync, readSync, renameSync, writeSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { cannotRun } from '../cannot-run.ts';
import { tempDir } from '../temp-dir.ts';

/** The bits of disk-faults.c. */
const CALL_BITS = {
  open: 1,
  read: 2,
  write: 4,
  sync: 8,
  rename: 16,
  unlink: 32,
  mkdir: 64,
  truncate: 128,
  readdir: 256,
  stat: 512,
  link: 1024,
} as const;
export type FileCall = keyof typeof CALL_BITS;
export const FILE_CALLS = Object.keys(CALL_BITS) as FileCall[];

export type DiskErrno = 'EIO' | 'ENOSPC' | 'EROFS' | 'EDQUOT';
/** `short`: a write takes half of what it is given. */
export type FaultKind = DiskErrno | 'short';

export interface DiskFault {
  /** Which files, as for fnmatch(3); `*` matches slashes too. */
  pattern: string;
  calls: readonly FileCall[];
  kind: FaultKind;
  /** How many calls fail; all of them if left out. */
  count?: number;
}

/** The layout is that of disk-faults.c: six numbers of 32 bits, then the pattern. */
const PATTERN_AT = 24;
const PATTERN_BYTES = 1000;
const HITS_AT = 16;

function library(): string | undefined {
  const source = fileURLToPath(new URL('./disk-faults.c', import.meta.url));
  const version = createHash('sha256').update(readFileSync(source)).digest('hex').slice(0, 16);
  const file = path.join(tmpdir(), `hr-gateway-disk-faults-${version}.so`);
  if (existsSync(file)) return file;
  // Several tests may compile it at once: the name appears once the file is complete.
  const unfinished = `${file}.${process.pid}`;
  if (spawnSync('gcc', ['-shared', '-fPIC', '-O1', '-o', unfinished, source, '-ldl']).status !== 0) return undefined;
  renameSync(unfinished, file);
  return file;
}

/** The faults of one process. */
export class DiskFaults {
  /** For the process whose files are to fail. */
  readonly environment: Record<string, string>;
  readonly #fd: number;

  private constructor(fd: number, environment: Record<string, string>) {
    this.#fd = fd;
    this.environment = environment;
  }

  /** Undefined, and the test is skipped, if the library cannot be compiled. */
  static make(t: Pick<TestContext, 'after' | 'skip'>): DiskFaults | undefined {
    const preloaded = library();
    if (preloaded === undefined) {
      cannotRun(t, 'gcc is missing: disk-faults.c cannot be compiled');
      return undefined;
    }
    const file = path.join(tempDir(t), 'disk-faults');
    const fd = openSync(file, 'wx+');
    t.after(() => closeSync(fd));
    writeSync(fd, Buffer.alloc(PATTERN_AT + PATTERN_BYTES));
    return new DiskFaults(fd, { LD_PRELOAD: preloaded, DISK_FAULTS_FILE: file, UV_USE_IO_URING: '0' });
  }

  /** Calls that have failed since the last `begin`. */
  get hits(): number {
    const number = Buffer.alloc(4);
    readSync(this.#fd, number, 0, 4, HITS_AT);
    return number.readUInt32LE();
  }

  /** From now on these calls fail, instead of earlier ones. */
  begin({ pattern, calls, kind, count = -1 }: DiskFault): void {
    this.end();
    const page = Buffer.alloc(PATTERN_AT + PATTERN_BYTES);
    page.writeInt32LE(kind === 'short' ? 0 : constants.errno[kind], 4);
    page.writeUInt32LE(
      calls.reduce((bits, call) => bits | CALL_BITS[call], 0),
      8,
    );
    page.writeInt32LE(count, 12);
    page.write(pattern, PATTERN_AT, PATTERN_BYTES - 1, 'utf8');
    writeSync(this.#fd, page, 0, page.length, 0);
    this.#activate(1);
  }

  /** No call fails any longer. Returns how many did. */
  end(): number {
    this.#activate(0);
    return this.hits;
  }

  #activate(value: 0 | 1): void {
    const number = Buffer.alloc(4);
    number.writeInt32LE(value);
    writeSync(this.#fd, number, 0, 4, 0);
  }
}
