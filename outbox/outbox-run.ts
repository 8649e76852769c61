/**
 * The sequencer's side of the delivery protocol for one run (design section 1): what is held, what is offered, what is sent and when.
 * Pure: no I/O, the caller passes the time. Readings are held in ascending order of seq; a gap between them is a hole that the next
 * offer reports.
 */
import { randomInt } from 'node:crypto';
import { PACKET_MAX_BYTES, type DropCause, type NumberedReading, type Offer, type Stored } from '../contract/delivery.ts';
import { DroppedSeqs, type DroppedRecord, type SeqSpan } from './dropped-seqs.ts';
import { refusalOf, SMALL_READING_BYTES } from './refusal.ts';

export interface OutboxRunOptions {
  run: string;
  /** Readings that may be sent ahead of the watermark. */
  window: number;
  /** The run of an earlier process: its newest seq is known from the disk only. */
  recovered?: {
    /** Seq of the oldest reading on disk: those before it were stored or dropped by the earlier process. */
    first: number;
    last: number;
    /** Highest seq that the earlier process may have sent; undefined for files of 1.0.0, which do not record it. */
    mayHaveSent: number | undefined;
    dropped: DroppedRecord;
  };
  random?: () => number;
  /** Value of `sync` before the first offer; random if left out. */
  firstSync?: number;
}

const PATIENCE_MIN_MS = 1000;
const PATIENCE_MAX_MS = 30_000;
const OFFERS_APART_MS = 200;
/** Packets are tried again after readings that were sent singly made progress for this long. */
const SINGLES_MS = 60_000;
/** A line that goes down so often after a packet, with no progress between, goes down because of the packet. */
const CUT_SHORT_MAX = 2;
/** With more dropped spans than this, one offer has the counts of them all: the forwarder then knows the causes by number, not by seq. */
const CAUSES_MAX = 100;
/** A large reading is refused after this many answered offers without progress. */
const LARGE_ATTEMPTS = 3;

export class OutboxRun {
  readonly run: string;
  readonly isRecovered: boolean;
  readonly #window: number;
  readonly #random: () => number;
  /** Held in memory, ascending. */
  #held: NumberedReading[] = [];
  #last: number;
  #stored = 0;
  /** Seqs up to here were settled by an earlier process. */
  readonly #settledBefore: number;
  readonly dropped: DroppedSeqs;
  #sync: number;
  #isAnswered = false;
  /** Next seq to send; undefined until the current offer is answered. */
  #sendNext: number | undefined;
  #sentTo = 0;
  #offeredFrom = 0;
  #mayHaveSent: number;
  /** A file of 1.0.0 does not say what may have been sent: the answer to the current offer is believed. */
  #believesAnswers: boolean;
  #sendLimit = Number.POSITIVE_INFINITY;
  #lastOfferAtMs = Number.NEGATIVE_INFINITY;
  #lastProgressAtMs = 0;
  #offerWanted = false;
  #isStallOffer = false;
  #patienceFactor = 1;
  #commitIntervalMs = 0;
  #moreOnDisk = false;
  /** The first packet that was sent after the current answer. */
  #firstPacket: { seq: number; readings: number; bytes: number } | undefined;
  #singles = false;
  /** Since when readings that are sent singly make progress. */
  #singlesProgressAtMs: number | undefined;
  #largeAttempts = 0;
  /** How often in a row the line went down after a packet that made no progress. */
  #cutShort = 0;
  /** Readings that were sent again. */
  resent = 0;
  /** Watermarks that were ignored because they are above what this run may have sent. */
  impossible = 0;

  constructor(options: OutboxRunOptions) {
    const { recovered } = options;
    this.run = options.run;
    this.isRecovered = recovered !== undefined;
    this.#window = options.window;
    this.#random = options.random ?? Math.random;
    this.#sync = options.firstSync ?? randomInt(1, 2 ** 31);
    this.#last = recovered?.last ?? 0;
    this.#settledBefore = (recovered?.first ?? 1) - 1;
    this.dropped = new DroppedSeqs(recovered?.dropped);
    this.#mayHaveSent = Math.max(recovered?.last ?? 0, recovered?.mayHaveSent ?? 0);
    this.#believesAnswers = recovered !== undefined && recovered.mayHaveSent === undefined;
  }

  get last(): number {
    return this.#last;
  }

  /** The watermark. */
  get stored(): number {
    return this.#stored;
  }

  get held(): readonly NumberedReading[] {
    return this.#held;
  }

  get holdsAnything(): boolean {
    return this.#held.length > 0 || this.#moreOnDisk;
  }

  /** Everything up to here is stored or dropped. */
  get settledTo(): number {
    return this.dropped.coveredTo(Math.max(this.#stored, this.#settledBefore));
  }

  /** Whether the forwarder still has to take readings, or to learn that some were dropped. */
  get unsettled(): boolean {
    return this.holdsAnything || this.dropped.last > this.#stored;
  }

  /** Time of the last growth of the watermark, or when the oldest unsettled reading was added. */
  get lastProgressAtMs(): number {
    return this.#lastProgressAtMs;
  }

  /** Readings are sent one by one, because a packet made no progress. */
  get sendsSingly(): boolean {
    return this.#singles;
  }

  /** Whether readings are held on disk beyond those in memory. */
  set moreOnDisk(more: boolean) {
    this.#moreOnDisk = more;
  }

  set commitIntervalMs(ms: number) {
    this.#commitIntervalMs = ms;
  }

  /** Nothing above this seq may be sent: the disk records at most so much as possibly sent. */
  set sendLimit(seq: number) {
    this.#sendLimit = seq;
  }

  /** The next number of this run. */
  nextSeq(): number {
    this.#last += 1;
    return this.#last;
  }

  /** Holds a reading, in ascending order. */
  hold(reading: NumberedReading, nowMs: number): void {
    if (!this.unsettled) {
      this.#lastProgressAtMs = nowMs;
      if (!this.#isAnswered) this.#offerWanted = true;
    }
    if (reading.seq > this.#stored) this.#held.push(reading);
    if (reading.seq > this.#last) this.#last = reading.seq;
  }

  /** Drops seqs that are not stored yet, in memory and elsewhere. Returns those that were not dropped before. */
  drop({ from, to }: SeqSpan, cause: DropCause): SeqSpan[] {
    const fresh = this.dropped.add(Math.max(from, this.#stored + 1), to, cause);
    if (fresh.length === 0) return [];
    const first = this.#indexOf(from);
    // A hole above the oldest reading is reported once it is right above the watermark.
    if (first === 0) this.#offerWanted = true;
    this.#held.splice(first, this.#indexOf(to + 1) - first);
    return fresh;
  }

  /** Our subscriptions are acknowledged, or the forwarder asks: offer as soon as possible. */
  wantOffer(): void {
    this.#offerWanted = true;
    this.#patienceFactor = 1;
  }

  lineDown(): void {
    this.#stopSending();
    this.#offerWanted = false;
    // Once proves nothing about the packet's size, but some brokers end the connection of a client whose message is too large.
    if ((this.#firstPacket?.readings ?? 0) > 1) this.#cutShort += 1;
    if (this.#cutShort >= CUT_SHORT_MAX) this.#beginSingles();
    this.#firstPacket = undefined;
  }

  #stopSending(): void {
    this.#isAnswered = false;
    this.#sendNext = undefined;
  }

  /** The offer to publish now, or undefined. To be called often. */
  dueOffer(nowMs: number): Offer | undefined {
    if (nowMs - this.#lastOfferAtMs < OFFERS_APART_MS) return undefined;
    // The oldest reading is still on disk: `from` is not known before it is read.
    if (this.#moreOnDisk && this.#held.length === 0) return undefined;
    const patienceMs = Math.min(PATIENCE_MAX_MS, Math.max(PATIENCE_MIN_MS, 3 * this.#commitIntervalMs) * this.#patienceFactor);
    const isStalled =
      this.unsettled &&
      nowMs - Math.max(this.#lastProgressAtMs, this.#lastOfferAtMs) >= patienceMs * (0.75 + 0.5 * this.#random());
    if (!this.#offerWanted && !isStalled) return undefined;
    this.#isStallOffer = isStalled && !this.#offerWanted;
    if (this.#isStallOffer) {
      this.#patienceFactor = Math.min(this.#patienceFactor * 2, 64);
      this.#singlesProgressAtMs = undefined;
    }
    this.#offerWanted = false;
    this.#lastOfferAtMs = nowMs;
    this.#sync += 1;
    this.#stopSending();
    const oldest = this.#held[0]?.seq ?? this.#last + 1;
    // An offer has counts only, so it covers one cause: what is dropped for another one behind it follows when the watermark is there.
    const from = this.dropped.endOfFirstCause(this.#stored, oldest, CAUSES_MAX);
    this.#offeredFrom = Math.max(this.#offeredFrom, from);
    return { run: this.run, from, last: this.#last, dropped: this.dropped.countsBelow(from), sync: this.#sync };
  }

  /** What is to be published once the run has ended; undefined if not everything of it is stored, or there is nothing to say. */
  finalOffer(): Offer | undefined {
    const last = Math.max(this.#last, this.#stored);
    if (this.unsettled || this.#stored < last || last === 0) return undefined;
    this.#sync += 1;
    return { run: this.run, from: last + 1, last, dropped: this.dropped.countsBelow(last + 1), sync: this.#sync, final: true };
  }

  /** A message of the forwarder about this run. Returns whether the watermark moved. */
  received(message: Stored, nowMs: number): boolean {
    const isAnswer = message.sync === this.#sync && !this.#isAnswered;
    if (message.stored > Math.max(this.#sentTo, this.#mayHaveSent, this.#offeredFrom - 1)) {
      if (!(isAnswer && this.#believesAnswers)) {
        this.impossible += 1;
        return false;
      }
      this.#mayHaveSent = message.stored;
    }
    const progressed = message.stored > this.#stored;
    if (progressed) this.#forget(message.stored, nowMs);
    if (isAnswer) this.#answered(nowMs);
    return progressed;
  }

  #answered(nowMs: number): void {
    this.#believesAnswers = false;
    this.#isAnswered = true;
    this.#sendNext = this.#stored + 1;
    const packet = this.#firstPacket;
    this.#firstPacket = undefined;
    // Only silence after a packet counts: an offer that the forwarder asked for says nothing about what became of it.
    if (packet === undefined || !this.#isStallOffer || packet.seq !== this.#stored + 1) return;
    if (packet.readings > 1) {
      this.#beginSingles();
      return;
    }
    if (packet.bytes <= SMALL_READING_BYTES) return;
    this.#largeAttempts += 1;
    if (this.#largeAttempts >= LARGE_ATTEMPTS) this.#refuse(packet.seq, nowMs);
  }

  #beginSingles(): void {
    this.#singles = true;
    this.#singlesProgressAtMs = undefined;
    this.#cutShort = 0;
  }

  /** Replaces a reading that the broker does not carry by a numbered refusal, so that those behind it can follow. */
  #refuse(seq: number, nowMs: number): void {
    const [oldest] = this.#held;
    if (oldest?.seq !== seq) return;
    this.#held[0] = { seq, payload: refusalOf(oldest.payload, nowMs) };
    this.#largeAttempts = 0;
  }

  #forget(stored: number, nowMs: number): void {
    this.#stored = stored;
    this.#lastProgressAtMs = nowMs;
    this.#patienceFactor = 1;
    this.#largeAttempts = 0;
    this.#cutShort = 0;
    if (this.#singles) this.#singlesProgressAtMs ??= nowMs;
    if ((this.#firstPacket?.seq ?? 0) <= stored) this.#firstPacket = undefined;
    const index = this.#held.findIndex(({ seq }) => seq > stored);
    this.#held.splice(0, index < 0 ? this.#held.length : index);
    const oldest = this.#held[0]?.seq ?? (this.#moreOnDisk ? undefined : this.dropped.last + 1);
    // A hole right above the watermark: the forwarder must learn that these seqs are not held any more.
    if (oldest !== undefined && oldest > stored + 1) this.#offerWanted = true;
  }

  /**
   * The next packet to send inside the window, or undefined if nothing is due. `onlyFull`: only one that could not take another
   * reading; the line is busy, and a packet that waits may still grow.
   */
  nextPacket(nowMs: number, onlyFull = false): NumberedReading[] | undefined {
    if (this.#sendNext === undefined) return undefined;
    this.#endSingles(nowMs);
    const first = Math.max(this.#sendNext, this.#stored + 1);
    const limit = Math.min(this.#stored + this.#window, this.#sendLimit);
    const packet: NumberedReading[] = [];
    let bytes = 0;
    let isFull = false;
    for (let index = this.#indexOf(first); index < this.#held.length; index += 1) {
      const reading = this.#held[index];
      // A hole ends the packet: the forwarder takes nothing beyond it before it has learnt of it.
      if (reading === undefined || reading.seq !== first + packet.length) break;
      isFull = reading.seq > limit;
      if (isFull) break;
      const size = Buffer.byteLength(reading.payload) + 17;
      isFull = packet.length > 0 && (this.#singles || bytes + size > PACKET_MAX_BYTES);
      if (isFull) break;
      packet.push(reading);
      bytes += size;
    }
    const last = packet.at(-1)?.seq;
    if (last === undefined || (onlyFull && !isFull)) return undefined;
    this.#sendNext = last + 1;
    this.resent += Math.max(0, Math.min(this.#sentTo, last) - first + 1);
    this.#sentTo = Math.max(this.#sentTo, last);
    this.#firstPacket ??= { seq: first, readings: packet.length, bytes };
    return packet;
  }

  /** Whether a packet is due that waits for the line. */
  get hasMoreToSend(): boolean {
    const next = Math.max(this.#sendNext ?? Number.POSITIVE_INFINITY, this.#stored + 1);
    const newest = this.#held.at(-1)?.seq ?? 0;
    return next <= Math.min(newest, this.#stored + this.#window, this.#sendLimit);
  }

  #endSingles(nowMs: number): void {
    if (!this.#singles || this.#singlesProgressAtMs === undefined || nowMs - this.#singlesProgressAtMs < SINGLES_MS) return;
    this.#singles = false;
    this.#singlesProgressAtMs = undefined;
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
