/**
 * Reads a write-ahead log frame by frame, whatever its size. A frame's checksum continues that of the frame before it, which stands in
 * that frame's header: so each frame can be verified beside a damaged one.
 * Format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { PAGE_BYTES } from './schema.ts';

export const WAL_HEADER_BYTES = 32;
export const FRAME_HEADER_BYTES = 24;
export const FRAME_BYTES = FRAME_HEADER_BYTES + PAGE_BYTES;
export const WAL_MAGIC = 0x377f0682;
const CHUNK_FRAMES = 256;

export type Sums = readonly [number, number];

/** SQLite's running checksum over `bytes` (a multiple of 8). */
export function walSum([first, second]: Sums, bytes: Buffer, bigEndian: boolean): Sums {
  let [a, b] = [first, second];
  for (let at = 0; at < bytes.length; at += 8) {
    a = (a + (bigEndian ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at)) + b) >>> 0;
    b = (b + (bigEndian ? bytes.readUInt32BE(at + 4) : bytes.readUInt32LE(at + 4)) + a) >>> 0;
  }
  return [a, b];
}

/** The checksum after a frame whose header begins with `head` (8 bytes) and whose page is `page`. */
export const frameSum = (before: Sums, head: Buffer, page: Buffer, bigEndian: boolean): Sums =>
  walSum(walSum(before, head, bigEndian), page, bigEndian);

export const isSameSum = (a: Sums, b: Sums): boolean => a[0] === b[0] && a[1] === b[1];

export interface WalFrame {
  pageNumber: number;
  /** Size of the database in pages after the commit that this frame ends; 0 if it ends none. */
  commitPages: number;
  /** All frames since the last restart of the log have the same. */
  salts: string;
  /** Checksum as the frame states it. */
  sums: Sums;
  head: Buffer;
  page: Buffer;
}

export interface WalHeader {
  bigEndian: boolean;
  salts: string;
  sums: Sums;
  isIntact: boolean;
}

/** Calls `use` with the header, undefined if the file has no complete frame, and an iterator over the frames. */
export function withWal<T>(walFile: string, use: (header: WalHeader | undefined, frames: Iterable<WalFrame>) => T): T {
  const fd = openSync(walFile, 'r');
  try {
    const bytes = Buffer.alloc(WAL_HEADER_BYTES);
    const isWhole = readSync(fd, bytes, 0, WAL_HEADER_BYTES, 0) === WAL_HEADER_BYTES;
    return use(isWhole ? headerOf(bytes) : undefined, isWhole ? framesOf(fd) : []);
  } finally {
    closeSync(fd);
  }
}

function headerOf(bytes: Buffer): WalHeader {
  const magic = bytes.readUInt32BE(0);
  const bigEndian = magic === WAL_MAGIC + 1;
  const sums: Sums = [bytes.readUInt32BE(24), bytes.readUInt32BE(28)];
  const isIntact =
    (magic === WAL_MAGIC || bigEndian) &&
    bytes.readUInt32BE(8) === PAGE_BYTES &&
    isSameSum(walSum([0, 0], bytes.subarray(0, 24), bigEndian), sums);
  return { bigEndian, salts: bytes.toString('latin1', 16, 24), sums, isIntact };
}

function* framesOf(fd: number): Generator<WalFrame> {
  for (let at = WAL_HEADER_BYTES; ;) {
    const chunk = Buffer.alloc(CHUNK_FRAMES * FRAME_BYTES);
    const read = readSync(fd, chunk, 0, chunk.length, at);
    const frames = Math.floor(read / FRAME_BYTES);
    for (let index = 0; index < frames; index += 1) {
      const frame = chunk.subarray(index * FRAME_BYTES, (index + 1) * FRAME_BYTES);
      yield {
        pageNumber: frame.readUInt32BE(0),
        commitPages: frame.readUInt32BE(4),
        salts: frame.toString('latin1', 8, 16),
        sums: [frame.readUInt32BE(16), frame.readUInt32BE(20)],
        head: frame.subarray(0, 8),
        page: frame.subarray(FRAME_HEADER_BYTES),
      };
    }
    if (frames < CHUNK_FRAMES) return;
    at += frames * FRAME_BYTES;
  }
}
