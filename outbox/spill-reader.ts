/**
 * Reads the lines of one spill file in order: undamaged readings, and the seqs that should be there and are not. Pure: no I/O.
 *
 * Whatever line is damaged, the seqs that it held show: in the next reading, or in the next control line, or at the end of the file.
 */
import type { NumberedReading } from '../contract/delivery.ts';
import type { DroppedSpan } from './dropped-seqs.ts';
import { decodeControl, linesOf } from './spill-lines.ts';

export interface LostSpan extends DroppedSpan {
  /** The end of the last write of a process that was killed or lost its power: it was never confirmed to be on disk. */
  isCutShort: boolean;
}

/** What a piece of a file holds. */
export interface SpillPart {
  /** Ascending. */
  readings: NumberedReading[];
  /** Seqs that are not there: damaged, or dropped before the file was written. */
  lost: LostSpan[];
}

export class SpillReader {
  /** Every seq of this file up to here was read or reported as lost; undefined before the first line that tells where the file begins. */
  #accountedTo: number | undefined;
  /** Seqs up to here were written before the last write of the file. */
  readonly #confirmedTo: number;
  /** Whether what follows the last undamaged line is what a power cut leaves: sectors without content. */
  #isEmptied = true;

  /** `first`: seq of the file's first reading, if it is known from elsewhere; `confirmedTo`: what the last write of the file followed. */
  constructor(first?: number, confirmedTo = Number.POSITIVE_INFINITY) {
    this.#confirmedTo = confirmedTo;
    if (first !== undefined) this.#accountedTo = first - 1;
  }

  /** The next whole lines of the file. */
  read(text: string): SpillPart {
    const part: SpillPart = { readings: [], lost: [] };
    // The end of the file may be in the middle of a line.
    const unfinished = text.slice(text.lastIndexOf('\n') + 1);
    for (const line of linesOf(text))
      if ('damaged' in line) this.#isEmptied &&= line.damaged.includes('\0') || line.damaged === unfinished;
      else {
        if (line.seq === 0) this.#control(line.payload, part);
        else this.#reading(line, part);
        this.#isEmptied = true;
      }
    return part;
  }

  /** The end of the file, which should hold everything up to a seq. */
  end(lastSeq: number): SpillPart {
    const part: SpillPart = { readings: [], lost: [] };
    this.#expectThrough(lastSeq, part);
    return part;
  }

  #reading(reading: NumberedReading, part: SpillPart): void {
    if (reading.seq <= (this.#accountedTo ?? 0)) return;
    this.#expectThrough(reading.seq - 1, part);
    this.#accountedTo = reading.seq;
    part.readings.push(reading);
  }

  #control(payload: string, part: SpillPart): void {
    const control = decodeControl(payload);
    if (control?.kind === 'footer') return this.#expectThrough(control.footer.last, part);
    if (control?.kind === 'header') {
      const { prev, first } = control.header;
      if (prev === undefined || first === undefined) return;
      return this.#begins(prev, first);
    }
    if (control === undefined) return;
    const { prev, from, gap } = control.block;
    if (this.#accountedTo !== undefined) this.#expectThrough(prev, part);
    if (gap !== undefined) part.lost.push({ ...gap, isCutShort: false });
    this.#begins(prev, from);
  }

  /** Readings from a seq on follow; those between `prev` and it are not in the file. */
  #begins(prev: number, first: number): void {
    // Readings before this line are damaged: what follows reports them.
    if (this.#accountedTo !== undefined && this.#accountedTo < prev) return;
    this.#accountedTo = Math.max(this.#accountedTo ?? 0, first - 1);
  }

  #expectThrough(seq: number, part: SpillPart): void {
    const from = (this.#accountedTo ?? 0) + 1;
    const isCutShort = this.#isEmptied && from > this.#confirmedTo;
    if (this.#accountedTo !== undefined && seq >= from) part.lost.push({ from, to: seq, cause: 'damaged', isCutShort });
    this.#accountedTo = Math.max(this.#accountedTo ?? 0, seq);
  }
}
