/**
 * Paces what one box sends to one shard, by what the shard grants it. The box does not know who else sends: it has a *share* of the
 * shard's limits that grows while nothing is refused, and shrinks with each refusal (additive increase, multiplicative decrease). All boxes
 * follow the same rule, so their shares become equal, and their sum stays close to what the shard takes.
 *
 * - A new share starts small and doubles again and again until the first refusal, or until it is the whole shard: `ramp`. After an outage
 *   it starts at what the box had used before, so that new readings leave at once.
 * - Afterwards it grows slowly, faster the longer nothing was refused, because others may have left.
 * - A refusal lowers it once per round of requests, by as much as was refused lately, at least by a tenth.
 * - It never falls below one request in about 30 s.
 *
 * The share is spent through two token buckets, of records and of bytes. A request that finds them nearly empty waits until they hold half
 * a second's worth, so that a small share becomes a few requests with several records, and not many with one.
 */
import { jitter, type Clock } from '../../service/pacing/clock.ts';

/** Slightly below the limits of a shard, to allow for different clocks. */
export const RECORDS_PER_SHARD = 950;
export const BYTES_PER_SHARD = 0.95 * 1_048_576;

/** What a bucket holds at most: this much of what the share allows, but at least a few records, so that a calm box never waits. */
const CAPACITY_SECONDS = 1;
const CAPACITY_RECORDS_MIN = 5;
/** Until the first refusal or outage, a few straps' readings of one moment leave in one request. */
const FRESH_RECORDS = 50;
/** How much is collected before a request is sent that the share limits; spread, because boxes in step would take turns at losing. */
const BATCH_SECONDS = 0.5;
const BATCH_SPREAD = 0.3;
/** An aggregate has at most this much of what the share allows, but may always have this many bytes. */
const AGGREGATE_SECONDS = 0.125;
const LEAST_AGGREGATE_BYTES = 2048;
/** At the least share, a request is sent in about this time: 15-45 s with the spread. */
const LEAST_REQUEST_SECONDS = 30;
const LEAST_REQUEST_SPREAD = 0.5;

/** A share begins at about four records per second, or what was used before an outage, and doubles in this time. */
const FIRST_SHARE = 1 / 256;
const LEAST_RETURN_SHARE = 1 / 1000;
const START_DOUBLING_MS = 250;
const RETURN_DOUBLING_MS = 800;

/** Growth per second, as a part of the share. */
const GROWTH = 0.015;
/** Growth is faster for some time after the ramp, when shares are still uneven. */
const EARLY_GROWTH = 0.2;
const EARLY_MS = 8000;
/** After this time without a refusal, growth becomes faster, up to the greatest. */
const PATIENCE_MS = 15_000;
const GREATEST_GROWTH = 0.5;
/** Growth per second as a part of the shard: brings a share up that is close to nothing. */
const ADDED_GROWTH = 1 / 100_000;

const LEAST_CUT = 0.1;
const GREATEST_CUT = 0.5;
/** Refusals of this time count, and of at least about so many records. */
const MEMORY_MS = 8000;
const MEMORY_RECORDS = 10;
/** Several refused keys are enough to know that not one key is the cause. */
const REFUSED_KEYS_MAX = 3;
/** A share grows only while it limits what is sent; that counts for this long. */
const LIMITED_MS = 3000;

export interface PacerOptions {
  clock: Clock;
  /** Limits of how many shards together: 1, except where the shards of keys are not known. */
  shards?: number;
}

export interface Answered {
  /** Records of this shard that the answer says are stored, and their bytes. */
  stored: number;
  storedBytes: number;
  /** Records that were refused because the shard is at its limit. */
  throttled: number;
  /** Partition keys of the refused records. */
  throttledKeys?: ReadonlySet<string>;
  /** When the request began, by the monotonic clock. */
  startedAt: number;
}

export class ShardPacer {
  readonly #clock: Clock;
  #shards: number;
  #share = FIRST_SHARE;
  /** Milliseconds in which a ramp doubles the share; undefined once it has ended. */
  #doublingMs: number | undefined = START_DOUBLING_MS;
  #isFresh = true;
  #records: number;
  #bytes: number;
  /** The estimated bytes of a record. */
  #recordBytes = 300;
  #at: number;
  #rampEndedAt = Number.NEGATIVE_INFINITY;
  #refusedAt: number;
  #loweredAt = Number.NEGATIVE_INFINITY;
  #limitedAt = Number.NEGATIVE_INFINITY;
  /** Records that were answered and that were refused lately, weighted by age. */
  #answeredLately = 0;
  #refusedLately = 0;
  /** What was stored lately, in seconds of the whole shard. */
  #usedLately = 0;
  #latelyAt: number;
  /** The whole share was not enough at this time. */
  #wholeUsedAt = Number.NEGATIVE_INFINITY;
  /** Keys that were refused lately, and what the share was before. */
  readonly #refusedKeys = new Set<string>();
  #before: { share: number; doublingMs: number | undefined } | undefined;
  /** Of the next request. */
  #batchSeconds = BATCH_SECONDS;
  #leastRequestSeconds = LEAST_REQUEST_SECONDS;

  constructor({ clock, shards = 1 }: PacerOptions) {
    this.#clock = clock;
    this.#shards = shards;
    this.#at = clock.nowMs();
    this.#refusedAt = this.#at;
    this.#latelyAt = this.#at;
    this.#records = FRESH_RECORDS;
    this.#bytes = BYTES_PER_SHARD * CAPACITY_SECONDS;
    this.#share *= jitter(clock, 0.5);
  }

  /** The part of the limits that this box may use, 0 to 1. */
  get share(): number {
    return this.#share;
  }

  /** Whether the box has the whole shard, and would send more. */
  get isExhausted(): boolean {
    return this.#share >= 1 && this.#clock.nowMs() - this.#wholeUsedAt < LIMITED_MS;
  }

  set shards(shards: number) {
    this.#refill();
    this.#shards = shards;
  }

  /** The stream answers again after an outage: everybody begins at once, so begin small. */
  restart(): void {
    const used = this.#usedLately / (MEMORY_MS / 1000) / this.#shards;
    this.#share = Math.min(1, Math.max(LEAST_RETURN_SHARE, used)) * jitter(this.#clock, 0.2);
    this.#doublingMs = RETURN_DOUBLING_MS * jitter(this.#clock, 0.1);
    this.#at = this.#clock.nowMs();
    this.#refusedAt = this.#at;
    this.#records = Math.min(this.#records, 1);
    this.#bytes = Math.min(this.#bytes, this.#bytesPerSecond);
    this.#answeredLately = 0;
    this.#refusedLately = 0;
    this.#isFresh = false;
  }

  /** Begins with the share of another shard, whose keys this one has now. */
  inherit(other: ShardPacer): void {
    this.#share = other.#share;
    this.#isFresh = other.#isFresh;
    this.#doublingMs = other.#doublingMs;
    this.#rampEndedAt = other.#rampEndedAt;
  }

  get #recordsPerSecond(): number {
    return RECORDS_PER_SHARD * this.#shards * this.#share;
  }

  get #bytesPerSecond(): number {
    return BYTES_PER_SHARD * this.#shards * this.#share;
  }

  get #leastShare(): number {
    return Math.max(1 / RECORDS_PER_SHARD, this.#recordBytes / BYTES_PER_SHARD) / this.#leastRequestSeconds / this.#shards;
  }

  #grow(now: number, seconds: number): void {
    if (this.#share >= 1 || now - this.#limitedAt > LIMITED_MS) return;
    if (this.#doublingMs !== undefined) this.#share *= 2 ** ((seconds * 1000) / this.#doublingMs);
    else {
      const early = EARLY_GROWTH * Math.exp((this.#rampEndedAt - now) / EARLY_MS);
      const patient = GROWTH * Math.max(1, ((now - this.#refusedAt) / PATIENCE_MS) ** 3);
      this.#share = this.#share * Math.exp(Math.min(GREATEST_GROWTH, early + patient) * seconds) + ADDED_GROWTH * seconds;
    }
    if (this.#share < 1) return;
    this.#share = 1;
    this.#endRamp(now);
  }

  #endRamp(now: number): void {
    if (this.#doublingMs === undefined) return;
    this.#doublingMs = undefined;
    this.#rampEndedAt = now;
  }

  #refill(): void {
    const now = this.#clock.nowMs();
    const seconds = (now - this.#at) / 1000;
    if (seconds <= 0) return;
    this.#at = now;
    this.#grow(now, seconds);
    this.#share = Math.max(this.#share, this.#leastShare);
    this.#records = Math.min(this.#capacityRecords, this.#records + this.#recordsPerSecond * seconds);
    this.#bytes = Math.min(this.#capacityBytes, this.#bytes + this.#bytesPerSecond * seconds);
  }

  get #capacityRecords(): number {
    return Math.max(this.#isFresh ? FRESH_RECORDS : CAPACITY_RECORDS_MIN, this.#recordsPerSecond * CAPACITY_SECONDS);
  }

  get #capacityBytes(): number {
    return Math.max(CAPACITY_RECORDS_MIN * this.#recordBytes, this.#bytesPerSecond * CAPACITY_SECONDS);
  }

  /**
   * How large an aggregate should be at most: the smaller it is, the less a refusal costs, and the more it says. But not so small that the
   * shard's limit of records comes first.
   */
  get recordBytesMax(): number {
    return Math.max(LEAST_AGGREGATE_BYTES, this.#bytesPerSecond * AGGREGATE_SECONDS);
  }

  /** How many records of this size may be sent now. */
  mayRecords(recordBytes: number): number {
    this.#refill();
    this.#recordBytes = recordBytes;
    return Math.max(0, Math.min(Math.floor(this.#records), Math.floor(this.#bytes / recordBytes)));
  }

  /** Whether a record of this size may be sent now. */
  may(bytes: number): boolean {
    return this.#records >= 1 && this.#bytes >= Math.min(bytes, this.#capacityBytes);
  }

  take(records: number, bytes: number): void {
    this.#records -= records;
    this.#bytes -= bytes;
  }

  /** A request is composed: the next one waits for a little more or less. */
  composed(): void {
    this.#batchSeconds = BATCH_SECONDS * jitter(this.#clock, BATCH_SPREAD);
    this.#leastRequestSeconds = LEAST_REQUEST_SECONDS * jitter(this.#clock, LEAST_REQUEST_SPREAD);
  }

  /**
   * Milliseconds until a request with some of `waiting` records of about this size is to be sent: with all of them if the buckets hold
   * that, else once they hold half a second's worth, at most `most` records.
   */
  waitMs(waiting: number, recordBytes: number, most: number): number {
    this.#refill();
    this.#recordBytes = recordBytes;
    const wanted = Math.min(waiting, most);
    if (this.#records >= wanted && this.#bytes >= wanted * recordBytes) return 0;
    this.#limitedAt = this.#at;
    if (this.#share >= 1) this.#wholeUsedAt = this.#at;
    const records = Math.max(1, Math.min(wanted, this.#share >= 1 ? most : this.#recordsPerSecond * this.#batchSeconds));
    const bytes = Math.min(
      this.#capacityBytes,
      Math.max(recordBytes, Math.min(wanted * recordBytes, this.#bytesPerSecond * this.#batchSeconds)),
    );
    const forRecords = (Math.min(records, this.#capacityRecords) - this.#records) / this.#recordsPerSecond;
    const forBytes = (bytes - this.#bytes) / this.#bytesPerSecond;
    // Rounded up: half a record cannot be sent.
    return Math.max(0, Math.ceil(Math.max(forRecords, forBytes) * 1000));
  }

  /** What the share was before these keys were refused, in case that only they are. */
  #remember(keys: ReadonlySet<string> | undefined, now: number): void {
    if (now - this.#refusedAt > MEMORY_MS || this.#before === undefined) {
      this.#refusedKeys.clear();
      this.#before = { share: this.#share, doublingMs: this.#doublingMs };
    }
    for (const key of keys ?? []) if (this.#refusedKeys.size < REFUSED_KEYS_MAX) this.#refusedKeys.add(key);
  }

  /** The stream refuses this key at any pace, but stores others. If no other was refused lately, the shard is not at its limit. */
  forgive(key: string): void {
    if (this.#before === undefined || this.#refusedKeys.size !== 1 || !this.#refusedKeys.has(key)) return;
    this.#refill();
    this.#share = Math.max(this.#share, this.#before.share);
    this.#doublingMs = this.#before.doublingMs;
  }

  /** A request with records of this shard was answered. An answer with refusals never raises the share. */
  answered({ stored, storedBytes, throttled, throttledKeys, startedAt }: Answered): void {
    this.#refill();
    const now = this.#clock.nowMs();
    if (throttled > 0) this.#remember(throttledKeys, now);
    const kept = Math.exp((this.#latelyAt - now) / MEMORY_MS);
    this.#latelyAt = now;
    this.#answeredLately = this.#answeredLately * kept + stored + throttled;
    this.#refusedLately = this.#refusedLately * kept + throttled;
    this.#usedLately = this.#usedLately * kept + Math.max(stored / RECORDS_PER_SHARD, storedBytes / BYTES_PER_SHARD);
    if (throttled === 0) return;
    this.#refusedAt = now;
    this.#isFresh = false;
    // Requests that were in flight together hit the same limit: it counts once.
    if (startedAt < this.#loweredAt) return;
    this.#loweredAt = now;
    const refused = throttled / (stored + throttled);
    const lately = this.#refusedLately / Math.max(MEMORY_RECORDS, this.#answeredLately);
    const cut = this.#doublingMs === undefined ? lately : Math.max(refused, LEAST_CUT);
    this.#endRamp(now);
    this.#share = Math.max(this.#leastShare, this.#share * (1 - Math.min(GREATEST_CUT, Math.max(LEAST_CUT, cut))));
    this.#records = Math.min(this.#records, 0);
  }
}
