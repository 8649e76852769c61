/**
 * The forwarder's side of the delivery protocol for one run (design section 1). Once the run is offered, only its next seq is taken; a
 * lower one is a duplicate, a higher one is put back. What was taken is pending until the queue has committed it. Pure: no I/O.
 */
import { DROP_CAUSES, type MissedSpan, type NumberedReading, type Offer } from '../../contract/delivery.ts';
import type { RunWatermark } from '../queue/queue-messages.ts';

/** Taken together, and committed together. */
interface Batch {
  /** Highest seq of the batch. */
  to: number;
  accepted: number;
  /** Codes of the readings that became dead letters. */
  refused: readonly string[];
  missed: readonly MissedSpan[];
  /** Of the readings' text. */
  bytes: number;
}

/** What a commit settled. */
export interface Settled {
  accepted: number;
  refused: string[];
  missed: MissedSpan[];
  /** Of the readings' text. */
  bytes: number;
  /** `sync` of the offer that is answered by this commit. */
  sync: number | undefined;
}

export interface Arrived {
  /** The readings to store, in order, the next seq first. */
  taken: NumberedReading[];
  duplicates: number;
  putBack: number;
}

export class RunIntake {
  readonly gateway: string;
  readonly run: string;
  /** The next seq to take; everything below it is stored, pending or missed. */
  #next: number;
  #stored: number;
  #missed: Record<string, number>;
  /** Whether the run was offered since the queue file was opened: a file that was replaced or restored shows at the first offer. */
  #isKnown = false;
  #pending: Batch[] = [];
  /** The offer that has no answer yet: answered once everything up to a seq is committed. */
  #unanswered: { sync: number; to: number } | undefined;
  isOffered = false;

  constructor(identity: { gateway: string; run: string }, watermark?: RunWatermark) {
    this.gateway = identity.gateway;
    this.run = identity.run;
    this.#stored = watermark?.stored ?? 0;
    this.#next = this.#stored + 1;
    this.#missed = { ...watermark?.missed };
  }

  get stored(): number {
    return this.#stored;
  }

  /** Nothing is pending or unanswered: the watermark is all there is to know. */
  get isIdle(): boolean {
    return this.#pending.length === 0 && this.#unanswered === undefined;
  }

  /** The watermark, once everything that was taken is committed. */
  get watermark(): RunWatermark {
    return { gateway: this.gateway, run: this.run, stored: this.#next - 1, missed: { ...this.#missed } };
  }

  /** Readings of an offered run, in the order of arrival. */
  arrived(readings: readonly NumberedReading[]): Arrived {
    const taken: NumberedReading[] = [];
    let duplicates = 0;
    let putBack = 0;
    for (const reading of readings) {
      if (!this.isOffered || reading.seq > this.#next) putBack += 1;
      else if (reading.seq < this.#next) duplicates += 1;
      else {
        taken.push(reading);
        this.#next += 1;
      }
    }
    return { taken, duplicates, putBack };
  }

  /** What was taken is on its way to the queue. */
  pending(accepted: number, refused: readonly string[], missed: readonly MissedSpan[] = [], bytes = 0): void {
    this.#pending.push({ to: this.#next - 1, accepted, refused, missed, bytes });
  }

  /** The sequencer says what it holds. Returns the seqs that it does not hold any more although this queue never got them. */
  offered({ from, dropped, sync }: Offer): MissedSpan[] {
    const spans = from > this.#next ? this.#miss(from, dropped) : [];
    this.isOffered = true;
    this.#isKnown = true;
    this.#unanswered = { sync, to: this.#next - 1 };
    return spans;
  }

  /**
   * Records [next, from - 1] as missed. A sequencer drops its oldest readings, so those that it counts as dropped are the last of the
   * span. The others were stored by a queue file that this one replaces, or nobody knows where.
   */
  #miss(from: number, dropped: Offer['dropped']): MissedSpan[] {
    const spans: MissedSpan[] = [];
    let to = from - 1;
    const record = (cause: MissedSpan['cause'], count: number): void => {
      if (count <= 0) return;
      spans.unshift({ from: to - count + 1, to, cause });
      this.#missed[cause] = (this.#missed[cause] ?? 0) + count;
      to -= count;
    };
    for (const cause of DROP_CAUSES)
      record(cause, Math.min(to - this.#next + 1, (dropped[cause] ?? 0) - (this.#missed[cause] ?? 0)));
    record(this.#isKnown ? 'unknown' : 'earlier_queue', to - this.#next + 1);
    this.#next = from;
    return spans;
  }

  /** The queue has committed everything up to a seq. */
  committed(stored: number): Settled {
    this.#stored = Math.max(this.#stored, stored);
    const settled: Settled = { accepted: 0, refused: [], missed: [], bytes: 0, sync: this.answer() };
    for (let batch = this.#pending[0]; batch !== undefined && batch.to <= stored; batch = this.#pending[0]) {
      this.#pending.shift();
      settled.accepted += batch.accepted;
      settled.refused.push(...batch.refused);
      settled.missed.push(...batch.missed);
      settled.bytes += batch.bytes;
    }
    return settled;
  }

  /** `sync` of the offer that can be answered now, once: everything that was taken before it is committed. */
  answer(): number | undefined {
    const unanswered = this.#unanswered;
    if (unanswered === undefined || unanswered.to > this.#stored) return undefined;
    this.#unanswered = undefined;
    return unanswered.sync;
  }

  /** Nothing pending was committed: from the watermark on, everything is expected again. Returns how many readings that puts back. */
  rollBack(watermark: RunWatermark | undefined): number {
    const putBack = this.#pending.reduce((sum, { accepted, refused }) => sum + accepted + refused.length, 0);
    this.#pending = [];
    this.#unanswered = undefined;
    this.#isKnown = false;
    this.#stored = watermark?.stored ?? 0;
    this.#next = this.#stored + 1;
    this.#missed = { ...watermark?.missed };
    return putBack;
  }
}
