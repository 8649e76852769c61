/**
 * The seqs of a run that were dropped before they were stored, by cause, as disjoint ascending spans. A seq counts once, under the cause
 * that was recorded first, however often it is found missing.
 */
import Type, { type Static } from 'typebox';
import { dropCauseSchema, droppedCountsSchema, type DropCause } from '../contract/delivery.ts';
import { parserOf } from '../contract/validate.ts';

export interface SeqSpan {
  from: number;
  to: number;
}
export interface DroppedSpan extends SeqSpan {
  cause: DropCause;
}
export type DroppedCounts = Partial<Record<DropCause, number>>;

/** Beyond this many, the oldest spans become counts. */
const SPANS_MAX = 10_000;

const seqSchema = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });
/** As kept beside the spill files. Version 1.0.0 kept only the counts. */
const recordSchema = Type.Object({
  counts: droppedCountsSchema,
  spans: Type.Array(Type.Object({ from: seqSchema, to: seqSchema, cause: dropCauseSchema }), { maxItems: SPANS_MAX }),
});
export type DroppedRecord = Static<typeof recordSchema>;
const parseRecord = parserOf(recordSchema, 4 * 1024 * 1024);
const parseCounts = parserOf(droppedCountsSchema);

/** The record in a file's text; undefined if there is none in it. */
export function decodeDroppedRecord(text: string): DroppedRecord | undefined {
  const record = parseRecord(text);
  if (record.ok) return record.value;
  const counts = parseCounts(text);
  return counts.ok ? { counts: counts.value, spans: [] } : undefined;
}

const sizeOf = ({ from, to }: SeqSpan): number => to - from + 1;

export class DroppedSeqs {
  /** Of spans that are not kept any more, and of version 1.0.0. */
  readonly #counts: DroppedCounts;
  readonly #spans: DroppedSpan[] = [];
  #total = 0;

  constructor(record: DroppedRecord = { counts: {}, spans: [] }) {
    this.#counts = { ...record.counts };
    this.#total = Object.values(record.counts).reduce((sum, count) => sum + count, 0);
    for (const { from, to, cause } of record.spans) this.add(from, to, cause);
  }

  get record(): DroppedRecord {
    return { counts: { ...this.#counts }, spans: this.#spans.map((span) => ({ ...span })) };
  }

  /** How many seqs were dropped. */
  get total(): number {
    return this.#total;
  }

  /** Highest seq that was dropped; 0 if none. */
  get last(): number {
    return this.#spans.at(-1)?.to ?? 0;
  }

  /** Index of the first span that ends at this seq or above. */
  #indexOf(seq: number): number {
    let low = 0;
    let high = this.#spans.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#spans[middle]?.to ?? Number.POSITIVE_INFINITY) < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Records the seqs from `from` to `to`. Returns those that were not recorded before. */
  add(from: number, to: number, cause: DropCause): SeqSpan[] {
    const fresh: SeqSpan[] = [];
    const start = this.#indexOf(from);
    let index = start;
    let next = from;
    for (let span = this.#spans[index]; span !== undefined && span.from <= to; span = this.#spans[index]) {
      if (span.from > next) fresh.push({ from: next, to: span.from - 1 });
      next = Math.max(next, span.to + 1);
      index += 1;
    }
    if (next <= to) fresh.push({ from: next, to });
    if (fresh.length === 0) return [];
    const between = [...this.#spans.slice(start, index), ...fresh.map((span) => ({ ...span, cause }))];
    this.#spans.splice(start, index - start, ...between.sort((a, b) => a.from - b.from));
    this.#merge(Math.max(0, start - 1), start + between.length);
    for (const span of fresh) this.#total += sizeOf(span);
    while (this.#spans.length > SPANS_MAX) this.#fold();
    return fresh;
  }

  /** Joins neighbours of the same cause among these indexes. */
  #merge(first: number, last: number): void {
    for (let index = Math.min(last, this.#spans.length - 1); index > first; index -= 1) {
      const left = this.#spans[index - 1];
      const right = this.#spans[index];
      if (left === undefined || right === undefined || left.cause !== right.cause || left.to + 1 !== right.from) continue;
      left.to = right.to;
      this.#spans.splice(index, 1);
    }
  }

  #fold(): void {
    const oldest = this.#spans.shift();
    if (oldest !== undefined) this.#counts[oldest.cause] = (this.#counts[oldest.cause] ?? 0) + sizeOf(oldest);
  }

  /** The end of the unbroken row of dropped seqs that begins right after a seq; that seq itself if there is none. */
  coveredTo(seq: number): number {
    let covered = seq;
    for (let index = this.#indexOf(seq + 1); ; index += 1) {
      const span = this.#spans[index];
      if (span === undefined || span.from > covered + 1) return covered;
      covered = span.to;
    }
  }

  /**
   * The first seq behind the oldest span above `after`, if others follow below `end`, and not more than `max`: up to there the dropped seqs
   * have one cause. Otherwise `end`.
   */
  endOfFirstCause(after: number, end: number, max: number): number {
    const index = this.#indexOf(after + 1);
    const first = this.#spans[index];
    if (first === undefined || first.to + 1 >= end) return end;
    const tooMany = this.#spans[index + max + 1];
    return tooMany !== undefined && tooMany.from < end ? end : first.to + 1;
  }

  /** The span that a seq is in. */
  spanOf(seq: number): DroppedSpan | undefined {
    const span = this.#spans[this.#indexOf(seq)];
    return span !== undefined && span.from <= seq ? span : undefined;
  }

  /** How many of the seqs from `from` to `to` were dropped. */
  countIn(from: number, to: number): number {
    let count = 0;
    for (let index = this.#indexOf(from); ; index += 1) {
      const span = this.#spans[index];
      if (span === undefined || span.from > to) return count;
      count += Math.min(span.to, to) - Math.max(span.from, from) + 1;
    }
  }

  /** By cause, those below a seq, and those whose seq is not kept any more. */
  countsBelow(seq: number): DroppedCounts {
    const counts: DroppedCounts = { ...this.#counts };
    for (const { from, to, cause } of this.#spans) {
      if (from >= seq) break;
      counts[cause] = (counts[cause] ?? 0) + Math.min(to, seq - 1) - from + 1;
    }
    return counts;
  }

  /** By cause. */
  get counts(): DroppedCounts {
    return this.countsBelow(Number.POSITIVE_INFINITY);
  }
}

/** A count for each cause. */
export const noDrops = (): Record<DropCause, number> => ({ outbox_full: 0, disk_failed: 0, damaged: 0 });
