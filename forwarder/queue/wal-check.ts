/**
 * Finds commits in a write-ahead log that SQLite will not replay: it stops silently at the first frame with a wrong checksum. A power cut
 * tears only the last commit, since each is synced before the next begins. Complete commits after a damaged frame would be lost, and so
 * would a damaged commit behind which another one has begun.
 */
import { existsSync } from 'node:fs';
import { frameSum, isSameSum, withWal, type Sums, type WalFrame, type WalHeader } from './wal-frames.ts';

/** Commits by salts, which all commits since the last restart of the log share. */
function commitsBySalts(frames: Iterable<WalFrame>): Map<string, number> {
  const commits = new Map<string, number>();
  for (const { salts, commitPages } of frames) if (commitPages > 0) commits.set(salts, (commits.get(salts) ?? 0) + 1);
  return commits;
}

/** The salts that most commits of a log have, if its header cannot be read; undefined if there is no commit. */
export function saltsOfMost(walFile: string): { salts: string; commits: number } | undefined {
  const bySalts = withWal(walFile, (_, frames) => commitsBySalts(frames));
  const [most] = [...bySalts].sort(([, a], [, b]) => b - a);
  return most === undefined ? undefined : { salts: most[0], commits: most[1] };
}

/** Commits from the first damaged frame on, and whether another one has begun behind the last of them. */
function beyondDamage(
  { bigEndian, salts, sums: first }: WalHeader,
  frames: Iterable<WalFrame>,
): { commits: number; isFollowed: boolean } {
  let sums: Sums = first;
  let intact = true;
  let commits = 0;
  let isFollowed = false;
  for (const frame of frames) {
    const isOfThisLog = frame.salts === salts;
    if (intact) {
      sums = frameSum(sums, frame.head, frame.page, bigEndian);
      intact = isOfThisLog && isSameSum(sums, frame.sums);
    }
    if (intact || !isOfThisLog) continue;
    isFollowed = commits > 0 && frame.commitPages === 0;
    if (frame.commitPages > 0) commits += 1;
  }
  return { commits, isFollowed };
}

/** Describes the damage of the log beside a database file, or returns undefined. A torn last commit is no damage. */
export function walDamage(walFile: string): string | undefined {
  if (!existsSync(walFile)) return undefined;
  return withWal(walFile, (header, frames) => {
    if (header === undefined) return undefined;
    // The header is synced with the first commit: it may be torn only if there is no other.
    if (!header.isIntact)
      return (saltsOfMost(walFile)?.commits ?? 0) > 1 ? 'the header of the write-ahead log is damaged' : undefined;
    const { commits, isFollowed } = beyondDamage(header, frames);
    if (commits > 1) return `the write-ahead log is damaged before its last ${commits} commits`;
    return commits === 1 && isFollowed
      ? 'the write-ahead log is damaged in a commit behind which another one had begun'
      : undefined;
  });
}
