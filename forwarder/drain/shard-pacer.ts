/**
 * Paces what one box sends to one shard, by what the shard grants it. The box does not know who else sends: it has a *share* of the
 * shard's limits, which only answers change (additive increase, multiplicative decrease). All boxes follow the same rule, so their shares
 * become equal, and their sum stays close to what the shard takes. Late answers change nothing: a box that hears nothing does not grow.
 *
 * - **Ramp**: at the start, and after an outage, answers double the share until the first refusal, or until it is the whole shard.
 * - **Return**: after an outage the ramp begins at what the box had used before it, so that new readings leave at once. For the first
 *   seconds, in which the other boxes return, the ramp stays close to that. Otherwise the first box would take the whole shard, and the
 *   last would get only what random refusals leave. The shard granted this use to all boxes together, so refusals do not take it away: it
 *   is the *floor* of the share, at first always, and later while little is refused.
 * - **Growth**: afterwards the share grows with what is granted, a small one faster than a large one, which makes shares equal. It grows
 *   faster right after the ramp, and the longer nothing was refused, because others may have left.
 * - **Cut**: a refusal lowers the share once per round of requests, by the part that was refused lately. Chance decides which box is
 *   refused, so many small cuts keep shares more equal than a few large ones, and small requests lose less at once.
 * - **Recovery**: a share that fell far, because everything was refused for some seconds, doubles again soon after the last refusal.
 * - However small the share, no record costs more than what it earns in 10-30 s: so often a request is sent, whatever its size.
 *
 * The share is spent through two token buckets, of records and of bytes, in seconds of the whole shard. A request that finds them nearly
 * empty waits until they hold a fifth of a second's worth, so that a small share becomes a few requests with several records, and not
 * many with one. How well boxes share a stream is simulated for many seeds: test/forwarder/drain/simulation/.
 */
import { jitter, type Clock } from '../../service/pacing/clock.ts';

/** Slightly below the limits of a shard, to allow for different clocks. */
export const RECORDS_PER_SHARD = 950;
export const BYTES_PER_SHARD = 0.95 * 1_048_576;

/** What a bucket holds at most: this much of what the share earns, but at least a few records, so that a calm box never waits. */
const CAPACITY_SECONDS = 1;
const CAPACITY_RECORDS_MIN = 5;
/** A shard's own buckets hold one second: no burst is larger. */
const BURST_SECONDS = 1;
/** How much is collected before a request is sent that the share limits; spread, because boxes in step would take turns at losing. */
const BATCH_SECONDS = 0.2;
const RAMP_BATCH_SECONDS = 0.1;
const BATCH_SPREAD = 0.3;
/** An aggregate has at most this much of what the share allows, but may always have this many bytes. */
const AGGREGATE_SECONDS = 0.125;
const LEAST_AGGREGATE_BYTES = 2048;
/** No record costs more than the share earns in this time: 10-30 s with the spread. */
const LEAST_REQUEST_SECONDS = 20;
const LEAST_REQUEST_SPREAD = 0.5;
/** At this share a record is sent in the longest of these times. */
const LEAST_SHARE = 1 / RECORDS_PER_SHARD / (LEAST_REQUEST_SECONDS * (1 + LEAST_REQUEST_SPREAD));

/**
 * A share begins at about 50 records per second, so that a few straps' readings of one moment leave in one request, or at what was used
 * before an outage, and doubles in this time. A start is fast: a box that is killed again and again must make progress within a second.
 */
const FIRST_SHARE = 1 / 19;
const RETURN_SHARE_MIN = 1 / 1000;
const START_DOUBLING_SECONDS = 0.5;
const RETURN_DOUBLING_SECONDS = 0.6;
/** After an outage the other boxes return within this time: until then the ramp ends at a multiple of what was used, or at this share. */
const RETURN_SPREAD_MS = 6000;
const RETURN_MULTIPLE = 2.5;
const RETURN_SHARE = 0.08;
/** For this time after an outage no refusal takes what was used before. */
const FIRM_FLOOR_MS = 30_000;
/**
 * For this time refusals take it only if more than this part was refused lately: the shard does not grant it any more. Without this floor
 * a box whose share is by chance below what its straps send would be late until its backlog, or that of the others, is gone.
 */
const SOFT_FLOOR_MS = 300_000;
const SOFT_FLOOR_REFUSED_MAX = 0.15;

/** A share of `r` records per second grows by this ÷ √r per second while it limits what is sent; less if a record takes a while. */
const GROWTH = 0.05;
const GROWTH_FULL_PER_SECOND = 2;
/** Growth per second is faster for some time after the ramp, when shares are still uneven. */
const EARLY_GROWTH_MAX = 0.4;
const EARLY_MS = 12_000;
/** After this time without a refusal, and as many answers as three records need, growth becomes faster, up to the greatest. */
const PATIENCE_MS = 25_000;
const PATIENCE_RECORDS = 3;
const GROWTH_MAX = 0.5;
/** A share that fell to less than this part of what it was lately doubles again once nothing was refused for some time. */
const FALLEN = 1 / 4;
const FALLEN_QUIET_MS = 2000;
const PEAK_MEMORY_MS = 60_000;

/** A refusal lowers the share by the part that was refused lately, within these limits; the lower one grows as √r for large shares. */
const CUT_MIN = 0.03;
const CUT_MIN_PER_SECOND = 70;
const CUT_MAX = 0.5;

/**
 * A ramp ends with the first refusal, and what follows depends on why it began. Boxes that start begin with more together than a shard
 * takes: the share is lowered by all that was refused, and grows slowly, or a tenth of what they send would be refused. After an outage
 * all boxes begin with what they had used: a single refusal lowers a share by half at most, and faster growth makes shares equal within
 * the first minute.
 */
interface AfterRamp {
  /** The most that the refusal that ends the ramp takes of the share. */
  cutMax: number;
  /** How much faster than later the share grows at first. */
  earlyGain: number;
}

const AFTER_START: AfterRamp = { cutMax: 0.8, earlyGain: 20 };
const AFTER_RETURN: AfterRamp = { cutMax: CUT_MAX, earlyGain: 56 };
/** Fewer records than this say little about what is refused lately. */
const KNOWN_RECORDS = 10;
/** What was used and refused lately is that of about this time. */
const MEMORY_MS = 8000;
/** A share grows only while it limits what is sent; that counts for this long. */
const LIMITED_MS = 3000;

export interface PacerOptions {
  clock: Clock;
  /** Limits of how many shards together: 1, except where the shards of keys are not known. */
  shards?: number;
}

export interface Answered {
  /** Records of this shard that its limit let through, and their bytes. */
  granted: number;
  grantedBytes: number;
  /** Records that were refused because the shard is at its limit. */
  throttled: number;
  /** When the request began, by the monotonic clock. */
  startedAt: number;
}

export class ShardPacer {
  readonly #clock: Clock;
  shards: number;
  #share = FIRST_SHARE;
  /** Seconds in which a ramp doubles the share; undefined once it has ended. */
  #doublingSeconds: number | undefined = START_DOUBLING_SECONDS;
  /** Tokens, in seconds of the whole shard. */
  #records: number;
  #bytes: number;
  /** The estimated bytes of a record. */
  #recordBytes = 300;
  #at: number;
  /** What the latest ramp, of a start or after an outage, leaves behind. */
  #afterRamp: AfterRamp = AFTER_START;
  #rampEndedAt = Number.NEGATIVE_INFINITY;
  /** What was used before the latest outage, when it ended, and how long the ramp waits for the other boxes. */
  #usedBefore = 0;
  #returnedAt = Number.NEGATIVE_INFINITY;
  #spreadMs = RETURN_SPREAD_MS;
  #refusedAt: number;
  #loweredAt = Number.NEGATIVE_INFINITY;
  #limitedUntil = Number.NEGATIVE_INFINITY;
  /** The largest share lately, weighted by age. */
  #peak = 0;
  /** What was granted lately, in seconds of the whole shard, weighted by age. */
  #usedLately = 0;
  /** Records that were answered and that were refused lately, weighted by age. */
  #answeredLately = 0;
  #refusedLately = 0;
  #latelyAt: number;
  /** Of the next request. */
  #batchJitter = 1;
  #leastRequestSeconds = LEAST_REQUEST_SECONDS;

  constructor({ clock, shards = 1 }: PacerOptions) {
    this.#clock = clock;
    this.shards = shards;
    this.#at = clock.nowMs();
    this.#refusedAt = this.#at;
    this.#latelyAt = this.#at;
    this.#share *= jitter(clock, 0.2);
    this.#records = this.#share * CAPACITY_SECONDS;
    // One large record may leave at once; `#refill` takes the rest away.
    this.#bytes = BURST_SECONDS;
  }

  /** The part of the limits that this box may use, 0 to 1. */
  get share(): number {
    return this.#share;
  }

  /** Whether the box has the whole shard, and would send more. */
  get isExhausted(): boolean {
    return this.#share >= 1 && this.#isLimited(this.#clock.nowMs());
  }

  /** Whether more could have been sent lately than the share allowed. */
  #isLimited(now: number): boolean {
    return now < this.#limitedUntil;
  }

  /** The stream answers again after an outage: everybody begins at once, so begin small. */
  restart(): void {
    this.#usedBefore = Math.min(1, this.#usedLately / (MEMORY_MS / 1000));
    this.#returnedAt = this.#clock.nowMs();
    this.#spreadMs = RETURN_SPREAD_MS * jitter(this.#clock, 0.1);
    const share = Math.max(RETURN_SHARE_MIN, this.#usedBefore) * jitter(this.#clock, 0.2);
    this.#ramp(Math.min(1, share), RETURN_DOUBLING_SECONDS);
    // What was taken for probes is not owed: nothing of it was stored.
    this.#records = this.#recordCost;
    this.#bytes = this.#share;
  }

  #ramp(share: number, doublingSeconds: number): void {
    this.#share = share;
    this.#peak = share;
    this.#afterRamp = AFTER_RETURN;
    this.#doublingSeconds = doublingSeconds * jitter(this.#clock, 0.1);
    this.#at = this.#clock.nowMs();
    this.#refusedAt = this.#at;
    this.#answeredLately = 0;
    this.#refusedLately = 0;
  }

  /** Begins with the share of another shard, whose keys this one has now. */
  inherit(other: ShardPacer): void {
    this.#share = other.#share;
    this.#doublingSeconds = other.#doublingSeconds;
    this.#rampEndedAt = other.#rampEndedAt;
    this.#afterRamp = other.#afterRamp;
    this.#returnedAt = other.#returnedAt;
    this.#usedBefore = other.#usedBefore;
    this.#spreadMs = other.#spreadMs;
  }

  /** What a record costs, and its bytes, in seconds of the whole shard. */
  get #recordCost(): number {
    return Math.min(1 / RECORDS_PER_SHARD / this.shards, this.#share * this.#leastRequestSeconds);
  }

  #bytesCost(bytes: number): number {
    return Math.min(bytes / BYTES_PER_SHARD / this.shards, this.#share * this.#leastRequestSeconds);
  }

  get #capacityRecords(): number {
    return Math.max(CAPACITY_RECORDS_MIN * this.#recordCost, this.#share * CAPACITY_SECONDS);
  }

  get #capacityBytes(): number {
    const few = Math.min(BURST_SECONDS, CAPACITY_RECORDS_MIN * this.#bytesCost(this.#recordBytes));
    return Math.max(few, this.#share * CAPACITY_SECONDS);
  }

  #refill(): void {
    const now = this.#clock.nowMs();
    const earned = (this.#share * (now - this.#at)) / 1000;
    if (earned <= 0) return;
    this.#at = now;
    this.#records = Math.min(this.#capacityRecords, this.#records + earned);
    this.#bytes = Math.min(this.#capacityBytes, this.#bytes + earned);
  }

  /**
   * How large an aggregate should be at most: the smaller it is, the less a refusal costs, and the more it says. But not so small that the
   * shard's limit of records comes first.
   */
  get recordBytesMax(): number {
    return Math.max(LEAST_AGGREGATE_BYTES, BYTES_PER_SHARD * this.shards * this.#share * AGGREGATE_SECONDS);
  }

  /** How many records of this size may be sent now. */
  mayRecords(recordBytes: number): number {
    this.#recordBytes = recordBytes;
    this.#refill();
    const records = Math.min(this.#records / this.#recordCost, this.#bytes / this.#bytesCost(recordBytes));
    return Math.max(0, Math.floor(records));
  }

  /** Whether a record of this size may be sent now. One that costs more than the share earns in a second is paid for afterwards. */
  may(bytes: number): boolean {
    return this.#records >= this.#recordCost && this.#bytes >= Math.min(this.#bytesCost(bytes), this.#share * CAPACITY_SECONDS);
  }

  /** A record of this size is sent. */
  take(bytes: number): void {
    this.#records -= this.#recordCost;
    this.#bytes -= this.#bytesCost(bytes);
  }

  /** A request is composed: the next one waits for a little more or less. */
  composed(): void {
    this.#batchJitter = jitter(this.#clock, BATCH_SPREAD);
    this.#leastRequestSeconds = LEAST_REQUEST_SECONDS * jitter(this.#clock, LEAST_REQUEST_SPREAD);
  }

  /**
   * Milliseconds until a request with some of `waiting` records of about this size is to be sent: with all of them if the buckets hold
   * that, else once they hold a fifth of a second's worth, at most `most` records.
   */
  waitMs(waiting: number, recordBytes: number, most: number): number {
    this.#recordBytes = recordBytes;
    this.#refill();
    const wanted = Math.min(waiting, most);
    const recordCost = this.#recordCost;
    const bytesCost = this.#bytesCost(recordBytes);
    if (this.#records >= wanted * recordCost && this.#bytes >= wanted * bytesCost) return 0;
    const seconds = this.#doublingSeconds === undefined ? BATCH_SECONDS : RAMP_BATCH_SECONDS;
    const collected = this.#share * seconds * this.#batchJitter;
    const records = Math.min(this.#capacityRecords, Math.max(recordCost, Math.min(wanted * recordCost, collected)));
    const bytes = Math.max(Math.min(bytesCost, this.#share * CAPACITY_SECONDS), Math.min(wanted * bytesCost, collected));
    const waitMs = Math.max(0, Math.ceil((Math.max(records - this.#records, bytes - this.#bytes) / this.#share) * 1000));
    // A share that allows a record in some seconds limits for as long as that.
    this.#limitedUntil = this.#at + waitMs + LIMITED_MS;
    return waitMs;
  }

  /** The stream refuses some key at any pace, but stores others: what was refused of it says nothing about the shard. */
  forgive(): void {
    if (this.#share < 1) this.#ramp(this.#share, START_DOUBLING_SECONDS);
  }

  #grow(now: number, granted: number): void {
    if (this.#share >= 1 || !this.#isLimited(now)) return;
    const growth = this.#doublingSeconds === undefined ? this.#growth(now) : Math.LN2 / this.#doublingSeconds;
    this.#share = Math.min(this.#rampMax(now), this.#share + Math.min(this.#share, growth * granted));
    if (this.#share === 1) this.#endRamp(now);
  }

  /** How far a share may grow now. */
  #rampMax(now: number): number {
    if (this.#doublingSeconds === undefined || now - this.#returnedAt > this.#spreadMs) return 1;
    return Math.min(1, Math.max(this.#share, RETURN_SHARE, this.#usedBefore * RETURN_MULTIPLE));
  }

  /** The least that a refusal takes. */
  get #cutMin(): number {
    return CUT_MIN * Math.sqrt(Math.max(1, (this.#share * RECORDS_PER_SHARD) / CUT_MIN_PER_SECOND));
  }

  /** The part that was refused lately. */
  get #refusedPart(): number {
    return this.#refusedLately / Math.max(KNOWN_RECORDS, this.#answeredLately);
  }

  /** What no refusal takes from the share. */
  #floor(now: number): number {
    const sinceReturnMs = now - this.#returnedAt;
    const hasFloor =
      sinceReturnMs < FIRM_FLOOR_MS || (sinceReturnMs < SOFT_FLOOR_MS && this.#refusedPart < SOFT_FLOOR_REFUSED_MAX);
    return hasFloor ? Math.max(LEAST_SHARE, Math.min(this.#share, this.#usedBefore)) : LEAST_SHARE;
  }

  /** Per second, as a part of the share. */
  #growth(now: number): number {
    if (this.#share < FALLEN * this.#peak && now - this.#refusedAt > FALLEN_QUIET_MS) return Math.LN2 / RETURN_DOUBLING_SECONDS;
    const perSecond = this.#share * RECORDS_PER_SHARD;
    const calm = (GROWTH / Math.sqrt(perSecond)) * Math.min(1, perSecond / GROWTH_FULL_PER_SECOND);
    const early = Math.min(EARLY_GROWTH_MAX, calm * this.#afterRamp.earlyGain * Math.exp((this.#rampEndedAt - now) / EARLY_MS));
    const patienceMs = Math.max(PATIENCE_MS, (PATIENCE_RECORDS * 1000) / perSecond);
    const patient = Math.min(GROWTH_MAX, calm * ((now - this.#refusedAt) / patienceMs) ** 3);
    return Math.max(calm, early, patient);
  }

  #endRamp(now: number): void {
    if (this.#doublingSeconds === undefined) return;
    this.#doublingSeconds = undefined;
    this.#rampEndedAt = now;
  }

  /** A request with records of this shard was answered. An answer with refusals never raises the share. */
  answered({ granted, grantedBytes, throttled, startedAt }: Answered): void {
    this.#refill();
    const now = this.#clock.nowMs();
    const used = Math.max(granted / RECORDS_PER_SHARD, grantedBytes / BYTES_PER_SHARD) / this.shards;
    const kept = Math.exp((this.#latelyAt - now) / MEMORY_MS);
    this.#peak = Math.max(this.#share, this.#peak * Math.exp((this.#latelyAt - now) / PEAK_MEMORY_MS));
    this.#latelyAt = now;
    this.#usedLately = this.#usedLately * kept + used;
    this.#answeredLately = this.#answeredLately * kept + granted + throttled;
    this.#refusedLately = this.#refusedLately * kept + throttled;
    if (throttled === 0) return this.#grow(now, used);
    this.#refusedAt = now;
    // Requests that were in flight together hit the same limit: it counts once.
    if (startedAt < this.#loweredAt) return;
    this.#loweredAt = now;
    const refused = throttled / (granted + throttled);
    const isRamp = this.#doublingSeconds !== undefined;
    const cut = isRamp
      ? Math.min(this.#afterRamp.cutMax, Math.max(CUT_MIN, refused))
      : Math.min(CUT_MAX, Math.max(this.#cutMin, this.#refusedPart));
    this.#endRamp(now);
    this.#share = Math.max(this.#floor(now), this.#share * (1 - cut));
    this.#records = Math.min(this.#records, 0);
  }
}
