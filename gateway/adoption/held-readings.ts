/**
 * The readings of QoS 1 and 2 publishes between their arrival and the forwarder's "stored". Law: a PUBACK is written when the watermark has
 * reached its reading's seq, never before, and never for a seq that was missed or dropped; that client's connection is closed instead,
 * so that it sends its unacknowledged publishes again.
 *
 * Bounded: 500 readings and 1 MiB a publisher, 64 MiB in all. A publisher at its limit is not read. Once half of all is in use, a
 * publisher gets 64 KiB: few large ones must not lock the others out.
 */
import Denque from 'denque';
import type { MissedSpan } from '../../contract/delivery.ts';
import type { ReadingSink, UnnumberedReading } from '../../outbox/reading-sink.ts';
import { HELD_BYTES_MAX, HELD_READINGS_MAX } from '../client-limits.ts';
import type { HeldMessage, Message, Publisher } from './publisher.ts';

const HELD_BYTES_CROWDED_MAX = 64 * 1024;
const ALL_BYTES_MAX = 64 * 1024 * 1024;
/** What one read of a socket can bring after the limit was checked. */
const READ_AHEAD_BYTES = 160 * 1024;
/** What a held reading costs beside its payload. */
const READING_OVERHEAD_BYTES = 256;

/** What the box has for held readings, beside other uses of its memory. */
export interface HeldMemory {
  add(use: 'held', bytes: number): void;
  hasRoom(use: 'held'): boolean;
}

export interface HeldReadingsOptions {
  memory?: HeldMemory | undefined;
  /** The run that is held in memory only. */
  sink: ReadingSink;
  now?: () => number;
  /** Publishers whose readings were stored: those that were not read may be read on. */
  onProgress: (publishers: ReadonlySet<Publisher>) => void;
  /** A reading was missed or dropped while its PUBACK was held. */
  onLost: (held: HeldMessage, cause: string) => void;
}

export class HeldReadings {
  readonly #options: HeldReadingsOptions;
  readonly #now: () => number;
  readonly #queue = new Denque<HeldMessage>();
  readonly #listeners: { stored: (watermark: number) => void; lost: (span: MissedSpan) => void };
  #bytes = 0;
  #count = 0;

  constructor(options: HeldReadingsOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#listeners = { stored: (watermark) => this.#stored(watermark), lost: (span) => this.#lost(span) };
  }

  start(): void {
    const { sink } = this.#options;
    sink.on('stored', this.#listeners.stored);
    sink.on('missed', this.#listeners.lost);
    sink.on('dropped', this.#listeners.lost);
  }

  stop(): void {
    const { sink } = this.#options;
    sink.off('stored', this.#listeners.stored);
    sink.off('missed', this.#listeners.lost);
    sink.off('dropped', this.#listeners.lost);
  }

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** How long the oldest held reading has been waiting, in milliseconds. */
  oldestAgeMs(nowMs: number): number {
    const oldest = this.#oldest();
    return oldest === undefined ? 0 : nowMs - oldest.heldSinceMs;
  }

  #oldest(): HeldMessage | undefined {
    while (this.#queue.peekFront()?.isLost === true) this.#queue.shift();
    return this.#queue.peekFront();
  }

  /** How many more publishes of this publisher may be read now. */
  creditOf(publisher: Publisher): number {
    if (this.#bytes >= ALL_BYTES_MAX || this.#options.memory?.hasRoom('held') === false) return 0;
    const isCrowded = this.#bytes >= ALL_BYTES_MAX / 2;
    const bytesMax = isCrowded ? HELD_BYTES_CROWDED_MAX : HELD_BYTES_MAX - READ_AHEAD_BYTES;
    return publisher.heldBytes >= bytesMax ? 0 : Math.max(0, HELD_READINGS_MAX - publisher.heldCount);
  }

  /** Numbers a reading and holds its acknowledgement until it is stored. */
  add(publisher: Publisher, message: Message, reading: UnnumberedReading, payloadBytes: number): void {
    const { sink } = this.#options;
    const { seq } = sink.add(reading);
    const bytes = payloadBytes + READING_OVERHEAD_BYTES;
    const held: HeldMessage = { ...message, publisher, seq, bytes, heldSinceMs: this.#now(), isLost: false };
    this.#queue.push(held);
    this.#count += 1;
    this.#bytes += bytes;
    this.#options.memory?.add('held', bytes);
    publisher.hold(held);
    // A sink may store before `add` returns.
    if (sink.watermark >= seq) this.#stored(sink.watermark);
  }

  #release(held: HeldMessage): void {
    this.#count -= 1;
    this.#bytes -= held.bytes;
    this.#options.memory?.add('held', -held.bytes);
  }

  #stored(watermark: number): void {
    const nowMs = this.#now();
    const progressed = new Set<Publisher>();
    for (let held = this.#oldest(); held !== undefined && held.seq <= watermark; held = this.#oldest()) {
      this.#queue.shift();
      this.#release(held);
      held.publisher.stored(held, nowMs);
      progressed.add(held.publisher);
    }
    if (progressed.size > 0) this.#options.onProgress(progressed);
  }

  #lost({ from, to, cause }: MissedSpan): void {
    for (const held of this.#queue.toArray()) {
      if (held.isLost || held.seq < from || held.seq > to) continue;
      this.#release(held);
      held.publisher.lost(held);
      this.#options.onLost(held, cause);
    }
  }
}
