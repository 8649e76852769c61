/**
 * Salvages what SQLite would not replay from a damaged write-ahead log. The frames that can be used are written into a new log beside a
 * second name of the database file, so SQLite reads both together and the damaged files stay unchanged.
 */
import { closeSync, copyFileSync, linkSync, openSync, rmSync, writeSync } from 'node:fs';
import path from 'node:path';
import { PAGE_BYTES } from './schema.ts';
import { saltsOfMost } from './wal-check.ts';
import {
  FRAME_BYTES,
  FRAME_HEADER_BYTES,
  frameSum,
  isSameSum,
  WAL_HEADER_BYTES,
  WAL_MAGIC,
  walSum,
  withWal,
  type Sums,
  type WalFrame,
} from './wal-frames.ts';

const WAL_VERSION = 3_007_000;
const SALTS = Buffer.from('salvage!', 'latin1');

/** Writes a log of its own checksums. All frames are one commit. */
class WalWriter {
  readonly #fd: number;
  #sums: Sums;
  #at = WAL_HEADER_BYTES;
  #last: { head: Buffer; page: Buffer } | undefined;

  constructor(file: string) {
    this.#fd = openSync(file, 'wx', 0o600);
    const header = Buffer.alloc(WAL_HEADER_BYTES);
    header.writeUInt32BE(WAL_MAGIC, 0);
    header.writeUInt32BE(WAL_VERSION, 4);
    header.writeUInt32BE(PAGE_BYTES, 8);
    SALTS.copy(header, 16);
    this.#sums = walSum([0, 0], header.subarray(0, 24), false);
    header.writeUInt32BE(this.#sums[0], 24);
    header.writeUInt32BE(this.#sums[1], 28);
    writeSync(this.#fd, header, 0, header.length, 0);
  }

  add(pageNumber: number, page: Buffer): void {
    this.#flush();
    const head = Buffer.alloc(8);
    head.writeUInt32BE(pageNumber, 0);
    this.#last = { head, page };
  }

  #flush(): void {
    if (this.#last === undefined) return;
    const { head, page } = this.#last;
    this.#sums = frameSum(this.#sums, head, page, false);
    const frame = Buffer.alloc(FRAME_BYTES);
    head.copy(frame, 0);
    SALTS.copy(frame, 8);
    frame.writeUInt32BE(this.#sums[0], 16);
    frame.writeUInt32BE(this.#sums[1], 20);
    page.copy(frame, FRAME_HEADER_BYTES);
    writeSync(this.#fd, frame, 0, frame.length, this.#at);
    this.#at += FRAME_BYTES;
    this.#last = undefined;
  }

  /** Ends the commit; the database then has this many pages. */
  end(pages: number): void {
    this.#last?.head.writeUInt32BE(pages, 4);
    this.#flush();
    closeSync(this.#fd);
  }
}

export interface SalvagedLog {
  /** The database under its second name, to be removed with `removeSecondName`; undefined if no frame can be used. */
  file: string | undefined;
  /** Commits after the last one of which every frame can be verified: what they changed is not known. */
  commitsUnknown: number;
}

const secondName = (file: string): string => path.join(path.dirname(file), 'queue.salvage.db');

export function removeSecondName(file: string): void {
  for (const ending of ['', '-wal', '-shm']) rmSync(secondName(file) + ending, { force: true });
}

function linkOrCopy(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    // A file system without hard links.
    copyFileSync(from, to);
  }
}

/**
 * Prepares reading `file` together with the frames of its log: only those that can be verified, or, for what one flipped byte in a page
 * spoils, `all` of them (each row has a checksum of its own). Undefined if the log holds no commit.
 */
export function salvageLog(file: string, which: 'verified' | 'all'): SalvagedLog | undefined {
  const walFile = `${file}-wal`;
  removeSecondName(file);
  const found = withWal(walFile, (header, frames) => {
    if (header === undefined) return undefined;
    const salts = header.isIntact ? header.salts : saltsOfMost(walFile)?.salts;
    if (salts === undefined) return undefined;
    const writer = new WalWriter(`${secondName(file)}-wal`);
    const kept = keepFrames(frames, writer, {
      salts,
      bigEndian: header.isIntact && header.bigEndian,
      before: header.isIntact ? header.sums : undefined,
      keepsAll: which === 'all',
    });
    writer.end(kept.pages);
    return kept;
  });
  if (found === undefined) return undefined;
  if (found.frames === 0) return { file: undefined, commitsUnknown: found.commitsUnknown };
  linkOrCopy(file, secondName(file));
  return { file: secondName(file), commitsUnknown: found.commitsUnknown };
}

interface Keeping {
  salts: string;
  bigEndian: boolean;
  /** Checksum that the first frame continues; undefined if the header cannot be read. */
  before: Sums | undefined;
  keepsAll: boolean;
}

function keepFrames(
  frames: Iterable<WalFrame>,
  writer: WalWriter,
  { salts, bigEndian, before, keepsAll }: Keeping,
): { frames: number; pages: number; commitsUnknown: number } {
  const kept = { frames: 0, pages: 0, commitsUnknown: 0 };
  let sums = before;
  let isCommitWhole = true;
  for (const { pageNumber, commitPages, head, page, ...frame } of frames) {
    const isVerified =
      sums !== undefined && frame.salts === salts && isSameSum(frameSum(sums, head, page, bigEndian), frame.sums);
    sums = frame.sums;
    isCommitWhole &&= isVerified;
    const isOfThisLog = frame.salts === salts;
    if (isVerified || (keepsAll && isOfThisLog && pageNumber > 0)) {
      writer.add(pageNumber, page);
      kept.frames += 1;
    }
    if (!isOfThisLog || commitPages === 0) continue;
    if (isVerified) kept.pages = commitPages;
    kept.commitsUnknown = isCommitWhole ? 0 : kept.commitsUnknown + 1;
    isCommitWhole = true;
  }
  return kept;
}
