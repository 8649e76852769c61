/**
 * Salvages what SQLite would not replay from a damaged write-ahead log. The frames that can be used are written into a new log beside a
 * second name of the database file, so SQLite reads both together and the damaged files stay unchanged.
 */
import { closeSync, copyFileSync, ftruncateSync, linkSync, openSync, rmSync, writeSync } from 'node:fs';
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

/** A frame, where it belongs, and the checksum that it continues. */
interface NextFrame {
  at: number;
  before: Sums;
  head: Buffer;
  page: Buffer;
}

/** Writes a log of its own checksums. All frames up to the end of the last commit are one commit; the others are cut off. */
class WalWriter {
  readonly #fd: number;
  #sums: Sums;
  #at = WAL_HEADER_BYTES;
  #last: NextFrame | undefined;
  #lastOfCommit: NextFrame | undefined;
  #added = 0;
  /** Frames up to the end of the last commit. */
  frames = 0;

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
    const head = Buffer.alloc(8);
    head.writeUInt32BE(pageNumber, 0);
    this.#last = { at: this.#at, before: this.#sums, head, page };
    this.#write(this.#last);
    this.#added += 1;
  }

  /** A commit ends here. */
  commit(): void {
    this.#lastOfCommit = this.#last;
    this.frames = this.#added;
  }

  #write({ at, before, head, page }: NextFrame): void {
    this.#sums = frameSum(before, head, page, false);
    const frame = Buffer.alloc(FRAME_BYTES);
    head.copy(frame, 0);
    SALTS.copy(frame, 8);
    frame.writeUInt32BE(this.#sums[0], 16);
    frame.writeUInt32BE(this.#sums[1], 20);
    page.copy(frame, FRAME_HEADER_BYTES);
    writeSync(this.#fd, frame, 0, frame.length, at);
    this.#at = at + FRAME_BYTES;
  }

  /** Ends the last commit, after which the database has this many pages. */
  end(pages: number): void {
    const last = this.#lastOfCommit;
    if (last === undefined) return;
    last.head.writeUInt32BE(pages, 4);
    this.#write(last);
    ftruncateSync(this.#fd, this.#at);
  }

  close(): void {
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
    try {
      const { pages, commitsUnknown } = keepFrames(frames, writer, {
        salts,
        bigEndian: header.isIntact && header.bigEndian,
        before: header.isIntact ? header.sums : undefined,
        keepsAll: which === 'all',
      });
      writer.end(pages);
      return { frames: writer.frames, commitsUnknown };
    } finally {
      writer.close();
    }
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

/** Frames behind the last commit belong to one that a power cut or a kill tore: nobody was told that it was stored. */
function keepFrames(
  frames: Iterable<WalFrame>,
  writer: WalWriter,
  { salts, bigEndian, before, keepsAll }: Keeping,
): { pages: number; commitsUnknown: number } {
  const kept = { pages: 0, commitsUnknown: 0 };
  let sums = before;
  let isCommitWhole = true;
  for (const { pageNumber, commitPages, head, page, ...frame } of frames) {
    const isVerified =
      sums !== undefined && frame.salts === salts && isSameSum(frameSum(sums, head, page, bigEndian), frame.sums);
    sums = frame.sums;
    isCommitWhole &&= isVerified;
    const isOfThisLog = frame.salts === salts;
    if (isVerified || (keepsAll && isOfThisLog && pageNumber > 0)) writer.add(pageNumber, page);
    if (!isOfThisLog || commitPages === 0) continue;
    writer.commit();
    if (isVerified) kept.pages = commitPages;
    kept.commitsUnknown = isCommitWhole ? 0 : kept.commitsUnknown + 1;
    isCommitWhole = true;
  }
  return kept;
}
