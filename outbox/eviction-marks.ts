/**
 * How a file of the outbox is evicted so that a kill at any moment loses neither its readings nor their count, on a full disk too: it is
 * renamed to a name that says which seqs are evicted, and then emptied. That mark stays until the record of dropped seqs holds them.
 * A mark with bytes is an eviction that was not completed: it is read like the file that it was.
 *
 * If the folder has no room for that longer name, the file keeps its own, and its first line is overwritten by one that says the same. A
 * file that begins with it is evicted, whatever follows.
 */
import type { SeqSpan } from './dropped-seqs.ts';

const SUFFIX = /\.evicted-(\d{1,16})-(\d{1,16})$/;

export interface EvictionMark extends SeqSpan {
  /** Name of the file that is evicted. */
  of: string;
}

/** The name, or path, of the mark of a file; the file may have one already. */
export const markOf = (file: string, { from, to }: SeqSpan): string => `${file.replace(SUFFIX, '')}.evicted-${from}-${to}`;

/** What the name of a mark says; undefined if it is none. */
export function parseMark(name: string): EvictionMark | undefined {
  const match = SUFFIX.exec(name);
  return match === null ? undefined : { of: name.slice(0, match.index), from: Number(match[1]), to: Number(match[2]) };
}
