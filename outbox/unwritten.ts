/** Readings that wait to be written to disk, ascending by seq. */
import type { NumberedReading } from '../contract/delivery.ts';
import type { SeqSpan } from './dropped-seqs.ts';

/** Readings that follow each other without a gap. */
export interface Stretch extends SeqSpan {
  readings: readonly NumberedReading[];
}

export class Unwritten {
  #readings: NumberedReading[] = [];

  get length(): number {
    return this.#readings.length;
  }

  /** Highest seq; 0 if none waits. */
  get last(): number {
    return this.#readings.at(-1)?.seq ?? 0;
  }

  /** How many have this seq or a higher one. */
  countFrom(seq: number): number {
    return this.#readings.length - this.#indexOf(seq);
  }

  /** At most `max`, from a seq on. */
  from(seq: number, max: number): NumberedReading[] {
    const at = this.#indexOf(seq);
    return this.#readings.slice(at, at + max);
  }

  push(reading: NumberedReading): void {
    this.#readings.push(reading);
  }

  replace(readings: NumberedReading[]): void {
    this.#readings = readings;
  }

  /** Removes those up to a seq. */
  removeThrough(seq: number): void {
    this.#readings.splice(0, this.#indexOf(seq + 1));
  }

  /** Takes the oldest, at most `max`, and no more than `maxBytes` beyond the first. */
  take(max: number, maxBytes = Number.POSITIVE_INFINITY): NumberedReading[] {
    let count = 0;
    let bytes = 0;
    for (const { payload } of this.#readings) {
      bytes += payload.length;
      if (count === max || (count > 0 && bytes > maxBytes)) break;
      count += 1;
    }
    return this.#readings.splice(0, count);
  }

  /** As `take`, in stretches. */
  takeStretches(max: number): Stretch[] {
    const taken = this.take(max);
    const stretches: Stretch[] = [];
    for (let at = 0; at < taken.length;) {
      const from = taken[at]?.seq ?? 0;
      let end = at + 1;
      while (taken[end]?.seq === from + end - at) end += 1;
      stretches.push({ from, to: from + end - at - 1, readings: taken.slice(at, end) });
      at = end;
    }
    return stretches;
  }

  /** Puts back what was taken last. */
  putBack(readings: readonly NumberedReading[]): void {
    this.#readings.unshift(...readings);
  }

  /** Index of the first with at least this seq. */
  #indexOf(seq: number): number {
    let low = 0;
    let high = this.#readings.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#readings[middle]?.seq ?? Number.POSITIVE_INFINITY) < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
