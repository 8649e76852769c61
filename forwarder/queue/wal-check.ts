/**
 * Finds commits in a write-ahead log that SQLite will not replay: it stops silently at the first frame with a wrong checksum. A power cut
 * tears only the last commit, since each is synced before the next begins. Complete commits after a damaged frame are lost.
 * Format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
 */
import { existsSync, readFileSync } from 'node:fs';
import { PAGE_BYTES } from './schema.ts';

const HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;
const MAGIC = 0x377f0682;

type Sums = [number, number];

/** SQLite's running checksum over `bytes` (a multiple of 8). */
function sum([first, second]: Sums, bytes: Buffer, bigEndian: boolean): Sums {
  let [a, b] = [first, second];
  for (let at = 0; at < bytes.length; at += 8) {
    a = (a + (bigEndian ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at)) + b) >>> 0;
    b = (b + (bigEndian ? bytes.readUInt32BE(at + 4) : bytes.readUInt32LE(at + 4)) + a) >>> 0;
  }
  return [a, b];
}

/** The most commits with the same salts, which all commits since the last restart of the log share. */
function mostCommitsOfOneLog(log: Buffer, frameBytes: number): number {
  const commits = new Map<string, number>();
  for (let at = HEADER_BYTES; at + frameBytes <= log.length; at += frameBytes) {
    const salts = log.toString('latin1', at + 8, at + 16);
    if (log.readUInt32BE(at + 4) > 0) commits.set(salts, (commits.get(salts) ?? 0) + 1);
  }
  return Math.max(0, ...commits.values());
}

/** Describes the damage of the log beside a database file, or returns undefined. A torn last commit is no damage. */
export function walDamage(walFile: string): string | undefined {
  if (!existsSync(walFile)) return undefined;
  const log = readFileSync(walFile);
  if (log.length < HEADER_BYTES + FRAME_HEADER_BYTES) return undefined;
  const magic = log.readUInt32BE(0);
  const bigEndian = (magic & 1) === 1;
  const frameBytes = FRAME_HEADER_BYTES + PAGE_BYTES;
  let sums = sum([0, 0], log.subarray(0, 24), bigEndian);
  const isHeaderIntact =
    magic >>> 1 === MAGIC >>> 1 &&
    log.readUInt32BE(8) === PAGE_BYTES &&
    sums[0] === log.readUInt32BE(24) &&
    sums[1] === log.readUInt32BE(28);
  // The header is synced with the first commit: it may be torn only if there is no other.
  if (!isHeaderIntact)
    return mostCommitsOfOneLog(log, frameBytes) > 1 ? 'the header of the write-ahead log is damaged' : undefined;
  let intact = true;
  let commitsBeyond = 0;
  for (let at = HEADER_BYTES; at + frameBytes <= log.length; at += frameBytes) {
    const isOfThisLog = log.compare(log, 16, 24, at + 8, at + 16) === 0;
    if (intact) {
      sums = sum(
        sum(sums, log.subarray(at, at + 8), bigEndian),
        log.subarray(at + FRAME_HEADER_BYTES, at + frameBytes),
        bigEndian,
      );
      intact = isOfThisLog && sums[0] === log.readUInt32BE(at + 16) && sums[1] === log.readUInt32BE(at + 20);
    }
    if (!intact && isOfThisLog && log.readUInt32BE(at + 4) > 0) commitsBeyond += 1;
  }
  return commitsBeyond > 1 ? `the write-ahead log is damaged before its last ${commitsBeyond} commits` : undefined;
}
