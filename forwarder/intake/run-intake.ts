/**
 * The forwarder's side of the end-to-end acknowledgement for one run (design section 1): takes only the next seq; a later one waits in
 * a bounded buffer, a lower one is a duplicate. Pure: no I/O.
 */
import type { SourceMessage } from '../../contract/outbox-protocol.ts';
import type { RunWatermark } from '../queue/queue-messages.ts';

/** What was taken in order, and how the run's mark moves with it. */
export interface Taken {
  payloads: { seq: number; payload: string }[];
  mark: RunWatermark;
}

/** Readings are a few hundred characters; what is larger (up to a packet) must not fill memory by the window's count of them. */
const WAITING_CHARACTERS_MAX = 4 * 1024 * 1024;

export class RunIntake {
  readonly run: string;
  readonly #window: number;
  /** The next seq that is wanted; everything below it is stored, pending, or accounted for. */
  #next: number;
  #stored: number;
  #missed: Record<string, number>;
  readonly #waiting = new Map<number, string>();
  #waitingCharacters = 0;
  duplicates = 0;

  constructor(run: string, window: number, mark?: RunWatermark) {
    this.run = run;
    this.#window = window;
    this.#stored = mark?.stored ?? 0;
    this.#next = this.#stored + 1;
    this.#missed = { ...mark?.missed };
  }

  get next(): number {
    return this.#next;
  }

  get stored(): number {
    return this.#stored;
  }

  /** Nothing is pending and nothing waits: all that is known of the run stands in its mark. */
  get idle(): boolean {
    return this.#next === this.#stored + 1 && this.#waiting.size === 0;
  }

  get buffered(): number {
    return this.#waiting.size;
  }

  /** A reading of this run, live or resent. Returns what is now taken, or undefined. */
  offer(seq: number, payload: string): Taken | undefined {
    if (seq < this.#next) {
      this.duplicates += 1;
      return undefined;
    }
    if (seq > this.#next) {
      // Beyond the window it is discarded: the bridge sends it again.
      if (seq - this.#next <= this.#window && this.#waiting.size < this.#window) this.#wait(seq, payload);
      return undefined;
    }
    const payloads = [{ seq, payload }];
    this.#next += 1;
    this.#drainWaiting(payloads);
    return { payloads, mark: this.#mark() };
  }

  #wait(seq: number, payload: string): void {
    if (this.#waiting.has(seq) || this.#waitingCharacters + payload.length > WAITING_CHARACTERS_MAX) return;
    this.#waiting.set(seq, payload);
    this.#waitingCharacters += payload.length;
  }

  /** Takes one that waits. */
  #unwait(seq: number): string | undefined {
    const payload = this.#waiting.get(seq);
    if (payload !== undefined) {
      this.#waiting.delete(seq);
      this.#waitingCharacters -= payload.length;
    }
    return payload;
  }

  #drainWaiting(payloads: { seq: number; payload: string }[]): void {
    for (let waiting = this.#unwait(this.#next); waiting !== undefined; waiting = this.#unwait(this.#next)) {
      payloads.push({ seq: this.#next, payload: waiting });
      this.#next += 1;
    }
  }

  #mark(): RunWatermark {
    return { run: this.run, stored: this.#next - 1, missed: { ...this.#missed } };
  }

  /**
   * The bridge says what it holds. Where its oldest is beyond what is wanted, the buffer gives what it has below it, the rest is
   * missed: by the causes that the bridge counted, else it was stored in a queue that was since replaced.
   */
  source(message: SourceMessage): Taken | undefined {
    if (message.from <= this.#next) return undefined;
    const payloads: { seq: number; payload: string }[] = [];
    let missing = 0;
    for (let seq = this.#next; seq < message.from; seq += 1) {
      const payload = this.#unwait(seq);
      if (payload === undefined) {
        // A gap of millions is not walked one by one.
        if (this.#waiting.size === 0) {
          missing += message.from - seq;
          break;
        }
        missing += 1;
      } else {
        payloads.push({ seq, payload });
      }
    }
    for (const [cause, dropped] of Object.entries(message.dropped)) {
      const count = Math.min(missing, Math.max(0, dropped - (this.#missed[cause] ?? 0)));
      if (count > 0) this.#missed[cause] = (this.#missed[cause] ?? 0) + count;
      missing -= count;
    }
    if (missing > 0) this.#missed['earlier_queue'] = (this.#missed['earlier_queue'] ?? 0) + missing;
    this.#next = message.from;
    this.#drainWaiting(payloads);
    return { payloads, mark: this.#mark() };
  }

  /** A commit has moved the mark. */
  committed(stored: number): void {
    if (stored > this.#stored) this.#stored = stored;
  }

  /** What was pending was not committed: from the mark on, everything is wanted again. */
  rollBack(mark: RunWatermark | undefined): void {
    this.#stored = mark?.stored ?? 0;
    this.#next = this.#stored + 1;
    this.#missed = { ...mark?.missed };
    this.#waiting.clear();
    this.#waitingCharacters = 0;
  }
}
