/**
 * The bridge's side of the acknowledgement for one run (design section 1): what is held, what is sent again and when. Pure: no I/O, time
 * is given. Readings are held in ascending order of seq; a gap in it is a hole that the forwarder is told of.
 */
import {
  RESEND_PACKET_BYTES,
  RESEND_PACKET_READINGS,
  type DropCause,
  type NumberedPayload,
  type SourceMessage,
  type StoredMessage,
} from '../contract/outbox-protocol.ts';

export interface OutboxRunOptions {
  run: string;
  window: number;
  /** A run of an earlier process: its own last seq is not surely known. */
  recovered: boolean;
  last?: number;
  dropped?: Record<string, number>;
  random?: () => number;
}

const PATIENCE_MIN_MS = 1000;
const PATIENCE_MAX_MS = 30_000;
const SOURCES_APART_MS = 200;

export class OutboxRun {
  readonly run: string;
  readonly recovered: boolean;
  readonly #window: number;
  readonly #random: () => number;
  /** Held in memory, ascending. */
  #held: NumberedPayload[] = [];
  #last: number;
  #stored = 0;
  /** Highest seq that was given up. */
  #droppedTo = 0;
  /** Nothing between memory and this seq can be read. */
  #lostTo = 0;
  readonly #dropped: Record<string, number>;
  #sync = 0;
  #answered = false;
  #resendNext: number | undefined;
  /** Sent live inside the window since the current source. */
  #live = new Set<number>();
  #lastSourceAtMs = Number.NEGATIVE_INFINITY;
  #lastProgressAtMs = 0;
  #sourceWanted = false;
  #patienceFactor = 1;
  #commitIntervalMs = 0;
  /** What is held beyond memory, on disk. */
  #moreOnDisk = false;
  resent = 0;

  constructor(options: OutboxRunOptions) {
    this.run = options.run;
    this.recovered = options.recovered;
    this.#window = options.window;
    this.#random = options.random ?? Math.random;
    this.#last = options.last ?? 0;
    this.#dropped = { ...options.dropped };
  }

  get last(): number {
    return this.#last;
  }

  get stored(): number {
    return this.#stored;
  }

  get held(): readonly NumberedPayload[] {
    return this.#held;
  }

  get dropped(): Readonly<Record<string, number>> {
    return this.#dropped;
  }

  get holdsAnything(): boolean {
    return this.#held.length > 0 || this.#moreOnDisk;
  }

  /** Everything up to here is stored or given up. */
  get settledTo(): number {
    return Math.max(this.#stored, this.#droppedTo, this.#held.length === 0 ? this.#lostTo : 0);
  }

  /** Whether the forwarder has something to learn or to take: readings, or that some were given up. */
  get unsettled(): boolean {
    return this.holdsAnything || Math.max(this.#droppedTo, this.#lostTo) > this.#stored;
  }

  get lastProgressAtMs(): number {
    return this.#lastProgressAtMs;
  }

  set moreOnDisk(more: boolean) {
    this.#moreOnDisk = more;
  }

  set commitIntervalMs(ms: number) {
    this.#commitIntervalMs = ms;
  }

  /** The next number of this run. */
  nextSeq(): number {
    this.#last += 1;
    return this.#last;
  }

  /** Holds a reading, in ascending order. */
  hold(entry: NumberedPayload, nowMs: number): void {
    if (!this.unsettled) this.#lastProgressAtMs = nowMs;
    if (entry.seq > this.#stored) this.#held.push(entry);
    if (entry.seq > this.#last) this.#last = entry.seq;
  }

  /** A reading was published live. */
  sentLive(seq: number): void {
    if (seq <= this.#stored + this.#window) this.#live.add(seq);
  }

  /** Takes the oldest readings out of memory that are not stored: given up. Returns them. */
  dropOldest(count: number, cause: DropCause): NumberedPayload[] {
    const dropped = this.#held.splice(0, count);
    this.#droppedTo = Math.max(this.#droppedTo, dropped.at(-1)?.seq ?? 0);
    this.#count(cause, dropped.length);
    return dropped;
  }

  /** Readings up to a seq are given up, in memory and on disk; `count` of them were only on disk. */
  dropThrough(seq: number, onlyOnDisk: number, cause: DropCause): void {
    this.#droppedTo = Math.max(this.#droppedTo, seq);
    const index = this.#held.findIndex((entry) => entry.seq > seq);
    const inMemory = this.#held.splice(0, index < 0 ? this.#held.length : index);
    this.#count(cause, inMemory.length + onlyOnDisk);
  }

  /** What lies beyond memory up to a seq cannot be read any more: it is settled when memory is. */
  lostBeyondMemory(seq: number): void {
    this.#lostTo = Math.max(this.#lostTo, seq);
  }

  #count(cause: DropCause, count: number): void {
    if (count <= 0) return;
    this.#dropped[cause] = (this.#dropped[cause] ?? 0) + count;
    this.#sourceWanted = true;
  }

  /** The line is up (subscriptions acknowledged), or the forwarder asks: what is held is said. */
  askedForSource(): void {
    this.#sourceWanted = true;
    this.#patienceFactor = 1;
  }

  lineDown(): void {
    this.#answered = false;
    this.#resendNext = undefined;
    this.#live.clear();
    this.#sourceWanted = false;
  }

  /** The source to publish now, or undefined; called often. */
  dueSource(nowMs: number): SourceMessage | undefined {
    if (!this.unsettled && !this.#sourceWanted) return undefined;
    if (nowMs - this.#lastSourceAtMs < SOURCES_APART_MS) return undefined;
    // The oldest is still on disk: what is held cannot be said before it is read.
    if (this.#moreOnDisk && this.#held.length === 0) return undefined;
    const patienceMs = Math.min(PATIENCE_MAX_MS, Math.max(PATIENCE_MIN_MS, 3 * this.#commitIntervalMs) * this.#patienceFactor);
    const stalled =
      this.unsettled &&
      nowMs - Math.max(this.#lastProgressAtMs, this.#lastSourceAtMs) >= patienceMs * (0.75 + 0.5 * this.#random());
    if (!this.#sourceWanted && !stalled) return undefined;
    if (stalled && !this.#sourceWanted) this.#patienceFactor = Math.min(this.#patienceFactor * 2, 64);
    this.#sourceWanted = false;
    if (!this.unsettled && this.#last === 0) return undefined;
    this.#lastSourceAtMs = nowMs;
    this.#sync += 1;
    this.#answered = false;
    this.#resendNext = undefined;
    this.#live.clear();
    return {
      run: this.run,
      from: this.#held[0]?.seq ?? this.#last + 1,
      last: this.#last,
      dropped: { ...this.#dropped },
      sync: this.#sync,
    };
  }

  /** A mark, or the answer to a source. Returns whether something was forgotten. */
  heard(message: StoredMessage, nowMs: number): boolean {
    if (message.stored > this.#last && !this.recovered) return false;
    const progressed = message.stored > this.#stored;
    if (progressed) this.#forget(message.stored, nowMs);
    if (message.sync === this.#sync && message.next !== undefined && !this.#answered) {
      this.#answered = true;
      this.#resendNext = message.next;
    }
    return progressed;
  }

  #forget(stored: number, nowMs: number): void {
    this.#stored = stored;
    this.#lastProgressAtMs = nowMs;
    this.#patienceFactor = 1;
    const index = this.#held.findIndex(({ seq }) => seq > stored);
    this.#held.splice(0, index < 0 ? this.#held.length : index);
    for (const seq of this.#live) {
      if (seq > stored) break;
      this.#live.delete(seq);
    }
    const oldest = this.#held[0]?.seq;
    // A hole right above the mark: the forwarder waits for what is not held any more.
    if (oldest !== undefined && oldest > stored + 1) this.#sourceWanted = true;
  }

  /** The next packet to send again inside the window, or undefined: nothing is due, or it has to be read from disk first. */
  nextResend(): NumberedPayload[] | undefined {
    if (this.#resendNext === undefined) return undefined;
    const limit = this.#stored + this.#window;
    const packet: NumberedPayload[] = [];
    let bytes = 0;
    let index = this.#indexOf(Math.max(this.#resendNext, this.#stored + 1));
    for (; index < this.#held.length && packet.length < RESEND_PACKET_READINGS; index += 1) {
      const entry = this.#held[index];
      if (entry === undefined || entry.seq > limit) break;
      if (!this.#live.has(entry.seq)) {
        bytes += entry.payload.length;
        if (packet.length > 0 && bytes > RESEND_PACKET_BYTES) break;
        packet.push(entry);
      }
      this.#resendNext = entry.seq + 1;
    }
    if (packet.length === 0) return undefined;
    this.resent += packet.length;
    return packet;
  }

  #indexOf(seq: number): number {
    let low = 0;
    let high = this.#held.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#held[middle]?.seq ?? Number.POSITIVE_INFINITY) < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
