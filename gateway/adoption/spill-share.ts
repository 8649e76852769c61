/**
 * Who holds how much of the outbox for QoS 0. The outbox drops the oldest readings when it is full, so one publisher must not be able to
 * fill it: each has a quarter. What is not stored yet is counted in segments of 1,000 readings, not one by one: an outage of hours
 * leaves millions.
 */
import Denque from 'denque';

const SEGMENT_READINGS = 1000;
const SHARES = 4;
/** What a reading costs beside its payload: other fields, seq, line ends. */
const READING_OVERHEAD_BYTES = 200;

interface Segment {
  lastSeq: number;
  readings: number;
  bytesBy: Map<string, number>;
}

export class SpillShare {
  readonly #shareBytes: number;
  readonly #segments = new Denque<Segment>();
  readonly #bytesBy = new Map<string, number>();

  /** `capacityBytes`: what the outbox holds at most. */
  constructor(capacityBytes: number) {
    this.#shareBytes = capacityBytes / SHARES;
  }

  /** Whether a reading of this publisher still fits its share. */
  hasRoom(publisher: string, payloadBytes: number): boolean {
    return (this.#bytesBy.get(publisher) ?? 0) + payloadBytes + READING_OVERHEAD_BYTES <= this.#shareBytes;
  }

  /** A reading was added to the outbox. */
  add(publisher: string, payloadBytes: number, seq: number): void {
    const bytes = payloadBytes + READING_OVERHEAD_BYTES;
    let segment = this.#segments.peekBack();
    if (segment === undefined || segment.readings >= SEGMENT_READINGS) {
      segment = { lastSeq: seq, readings: 0, bytesBy: new Map() };
      this.#segments.push(segment);
    }
    segment.lastSeq = seq;
    segment.readings += 1;
    segment.bytesBy.set(publisher, (segment.bytesBy.get(publisher) ?? 0) + bytes);
    this.#bytesBy.set(publisher, (this.#bytesBy.get(publisher) ?? 0) + bytes);
  }

  /** Everything up to this seq has left the outbox: stored, missed or dropped. */
  release(watermark: number): void {
    for (
      let oldest = this.#segments.peekFront();
      oldest !== undefined && oldest.lastSeq <= watermark;
      oldest = this.#segments.peekFront()
    ) {
      this.#segments.shift();
      for (const [publisher, bytes] of oldest.bytesBy) {
        const left = (this.#bytesBy.get(publisher) ?? 0) - bytes;
        if (left > 0) this.#bytesBy.set(publisher, left);
        else this.#bytesBy.delete(publisher);
      }
    }
  }
}
