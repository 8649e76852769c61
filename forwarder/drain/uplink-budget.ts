/**
 * `UPLINK_MAX_BYTES_PER_SECOND`: what the forwarder may exchange with the stream on a metered line. What counts is what went over the wire,
 * in both directions: headers, handshakes, control calls and retries included. A request is charged by an estimate when it begins, and by
 * the measured bytes once it has ended; the next one waits until what was used is paid for.
 */
import type { Clock } from '../../service/pacing/clock.ts';
import type { Uplink } from '../../contract/forwarder-status.ts';
import type { WireBytes } from '../sink/sink.ts';

/** A line that was idle may use this much at once. */
const BURST_SECONDS = 2;
/** A request is at most about this much of the budget, so that it does not occupy the line for long. */
const REQUEST_SECONDS = 2;
/** Headers and signature of a request and its answer. */
const REQUEST_BYTES = 1600;
/** A record in a request beside its data and key, and in the answer. */
const RECORD_BYTES = 160;
/** Data is sent in base64. */
const ENCODED = 4 / 3;
/** The shown rate is that of this time. */
const WINDOW_MS = 60_000;
const SAMPLES = 12;

const total = ({ sent, received }: WireBytes): number => sent + received;

export class UplinkBudget {
  readonly #clock: Clock;
  readonly #max: number;
  readonly #wire: () => WireBytes;
  #tokens: number;
  #atMs: number;
  #counted: number;
  #reserved = 0;
  #samples: { atMs: number; bytes: number }[] = [];

  /** `maxBytesPerSecond`: 0 for no limit. `wire`: what went over the wire so far. */
  constructor(clock: Clock, maxBytesPerSecond: number, wire: () => WireBytes) {
    this.#clock = clock;
    this.#max = maxBytesPerSecond;
    this.#wire = wire;
    this.#tokens = maxBytesPerSecond * BURST_SECONDS;
    this.#atMs = clock.nowMs();
    this.#counted = total(wire());
  }

  #refill(): void {
    const now = this.#clock.nowMs();
    const bytes = total(this.#wire());
    const earned = ((now - this.#atMs) * this.#max) / 1000;
    this.#tokens = Math.min(this.#max * BURST_SECONDS, this.#tokens + earned) - (bytes - this.#counted);
    this.#atMs = now;
    this.#counted = bytes;
  }

  /** Wire bytes that the records of one request may have: half for their data, half for what surrounds it. */
  get #requestBytes(): number {
    return this.#max === 0 ? Number.POSITIVE_INFINITY : this.#max * REQUEST_SECONDS - REQUEST_BYTES;
  }

  /** Bytes of records, key included, that one request may have. At least one record is always sent. */
  get maxBytes(): number {
    return Math.max(1, this.#requestBytes / (2 * ENCODED));
  }

  /** Records that one request may have: with small ones, what surrounds them is most of it. */
  get maxRecords(): number {
    return Math.max(1, Math.floor(this.#requestBytes / (2 * RECORD_BYTES)));
  }

  /** Milliseconds until the next request may begin. */
  waitMs(): number {
    if (this.#max === 0) return 0;
    this.#refill();
    const left = this.#tokens - this.#reserved;
    return left > 0 ? 0 : Math.ceil((-left / this.#max) * 1000) + 1;
  }

  /** A request begins. Call what it returns when it has ended. */
  begin(records: number, bytes: number): () => void {
    if (this.#max === 0) return () => {};
    const estimate = REQUEST_BYTES + records * RECORD_BYTES + bytes * ENCODED;
    this.#reserved += estimate;
    return () => (this.#reserved -= estimate);
  }

  /** As the service's status shows it. */
  asStatus(): Pick<Uplink, 'bytes_per_second' | 'max_bytes_per_second'> {
    return { bytes_per_second: this.bytesPerSecond(), ...(this.#max === 0 ? {} : { max_bytes_per_second: this.#max }) };
  }

  /** Bytes per second over the last minute, or since the start. Call it regularly. */
  bytesPerSecond(): number {
    const now = this.#clock.nowMs();
    const bytes = total(this.#wire());
    const last = this.#samples.at(-1);
    if (last === undefined || now - last.atMs >= WINDOW_MS / SAMPLES) this.#samples.push({ atMs: now, bytes });
    while (this.#samples.length > 1 && now - (this.#samples[0]?.atMs ?? now) > WINDOW_MS) this.#samples.shift();
    const first = this.#samples[0];
    if (first === undefined || now - first.atMs < 1000) return 0;
    return Math.round(((bytes - first.bytes) * 1000) / (now - first.atMs));
  }
}
