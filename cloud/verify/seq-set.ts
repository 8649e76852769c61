/**
 * A set of seqs, from 1 on, in bounded memory: a chunk of 65,536 seqs is nothing but a mark while it is complete, a few intervals while
 * there are few, and a bit for each seq at most, whatever the order in which they come.
 */
const CHUNK = 65_536;
/** Numbers in the intervals of a chunk, two for each; with more, a bitmap is smaller. */
const INTERVALS_MAX = 2048;

export interface Interval {
  from: number;
  to: number;
}

type Bits = Uint8Array;

/** Offsets of one chunk. `content`: bounds of intervals in order (from, to, from, to …), or a bit for each offset. */
class Chunk {
  #content: number[] | Bits = [];
  size = 0;

  /** False if it was there. */
  add(offset: number): boolean {
    const isNew = Array.isArray(this.#content)
      ? this.#addToIntervals(this.#content, offset)
      : Chunk.#addToBits(this.#content, offset);
    if (isNew) this.size += 1;
    return isNew;
  }

  static #addToBits(bits: Bits, offset: number): boolean {
    const bit = 1 << (offset & 7);
    const byte = bits[offset >> 3] ?? 0;
    bits[offset >> 3] = byte | bit;
    return (byte & bit) === 0;
  }

  #addToIntervals(bounds: number[], offset: number): boolean {
    let low = 0;
    let high = bounds.length / 2;
    // Finds the first interval that begins above the offset. Usually it is beyond the last one.
    if (high > 0 && offset >= (bounds.at(-2) ?? 0)) low = high;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((bounds[middle * 2] ?? 0) <= offset) low = middle + 1;
      else high = middle;
    }
    const at = low * 2;
    const before = bounds[at - 1] ?? -2;
    if (offset <= before) return false;
    const joinsBefore = before === offset - 1;
    const joinsAfter = bounds[at] === offset + 1;
    if (joinsBefore && joinsAfter) bounds.splice(at - 1, 2);
    else if (joinsBefore) bounds[at - 1] = offset;
    else if (joinsAfter) bounds[at] = offset;
    else bounds.splice(at, 0, offset, offset);
    if (bounds.length > INTERVALS_MAX) this.#toBits(bounds);
    return true;
  }

  #toBits(bounds: readonly number[]): void {
    const bits = new Uint8Array(CHUNK / 8);
    for (let index = 0; index < bounds.length; index += 2)
      for (let offset = bounds[index] ?? 0; offset <= (bounds[index + 1] ?? -1); offset += 1) Chunk.#addToBits(bits, offset);
    this.#content = bits;
  }

  /** The intervals of offsets that are there, in order. */
  *intervals(): Generator<Interval> {
    const content = this.#content;
    if (Array.isArray(content)) {
      for (let index = 0; index < content.length; index += 2) yield { from: content[index] ?? 0, to: content[index + 1] ?? 0 };
      return;
    }
    let from = -1;
    for (let offset = 0; offset <= CHUNK; offset += 1) {
      const isThere = offset < CHUNK && ((content[offset >> 3] ?? 0) & (1 << (offset & 7))) !== 0;
      if (isThere && from < 0) from = offset;
      if (!isThere && from >= 0) {
        yield { from, to: offset - 1 };
        from = -1;
      }
    }
  }
}

export class SeqSet {
  /** `complete`: every seq of the chunk is there. */
  readonly #chunks = new Map<number, Chunk | 'complete'>();
  size = 0;
  /** The lowest and the highest seq; 0 if there is none. */
  first = 0;
  last = 0;

  /** False if the seq was there. */
  add(seq: number): boolean {
    const index = Math.floor((seq - 1) / CHUNK);
    let chunk = this.#chunks.get(index);
    if (chunk === 'complete') return false;
    if (chunk === undefined) this.#chunks.set(index, (chunk = new Chunk()));
    if (!chunk.add((seq - 1) % CHUNK)) return false;
    if (chunk.size === CHUNK) this.#chunks.set(index, 'complete');
    this.size += 1;
    this.last = Math.max(this.last, seq);
    if (this.first === 0 || seq < this.first) this.first = seq;
    return true;
  }

  /** Intervals of seqs from 1 to `upTo` that are not there, in order. */
  *missing(upTo: number): Generator<Interval> {
    let next = 1;
    for (const [index, chunk] of [...this.#chunks].sort(([a], [b]) => a - b)) {
      const base = index * CHUNK + 1;
      const there = chunk === 'complete' ? [{ from: 0, to: CHUNK - 1 }] : chunk.intervals();
      for (const { from, to } of there) {
        if (base + from > next) yield { from: next, to: base + from - 1 };
        next = base + to + 1;
      }
    }
    if (next <= upTo) yield { from: next, to: upTo };
  }
}
