/**
 * Bounds what the sequencers of one gateway can make the forwarder hold. The bridge of another box has a key for its own topics, and may
 * invent runs: they take the place of its own runs, never of another gateway's, and a real run is only delayed. The sequencers of this box
 * are not bounded.
 */

/** Readings that are taken and not committed: of one gateway, and of all that are not this box. */
const PENDING_BYTES_OF_GATEWAY = 16 * 1024 * 1024;
const PENDING_BYTES_OF_ALL = 64 * 1024 * 1024;
/** Runs of one gateway that have no watermark yet: so many at once, and so many a minute. A bridge begins one at each start. */
const NEW_RUNS_AT_ONCE = 2000;
const NEW_RUNS_PER_MINUTE = 60;
/** Watermarks of one gateway: they are kept for two months. */
const WATERMARKS_OF_GATEWAY = 10_000;
/** Gateways that are told apart; further ones share the bounds of one. */
const GATEWAYS_MAX = 100;
const OTHERS = '';

interface Gateway {
  pendingBytes: number;
  watermarks: number;
  newRuns: { tokens: number; atMs: number };
}

export class RunBounds {
  readonly #own: string;
  readonly #now: () => number;
  readonly #gateways = new Map<string, Gateway>();
  #pendingBytes = 0;

  /** `own`: the name of this box's gateway. */
  constructor(own: string, now: () => number) {
    this.#own = own;
    this.#now = now;
  }

  #of(name: string): Gateway {
    const key = this.#gateways.has(name) || this.#gateways.size < GATEWAYS_MAX ? name : OTHERS;
    let gateway = this.#gateways.get(key);
    if (gateway === undefined) {
      gateway = { pendingBytes: 0, watermarks: 0, newRuns: { tokens: NEW_RUNS_AT_ONCE, atMs: this.#now() } };
      this.#gateways.set(key, gateway);
    }
    return gateway;
  }

  /** Whether a run that has no watermark may be taken now; if not, its sequencer offers it again. */
  mayBegin(name: string): boolean {
    if (name === this.#own) return true;
    const gateway = this.#of(name);
    const { newRuns } = gateway;
    const nowMs = this.#now();
    newRuns.tokens = Math.min(NEW_RUNS_AT_ONCE, newRuns.tokens + ((nowMs - newRuns.atMs) * NEW_RUNS_PER_MINUTE) / 60_000);
    newRuns.atMs = nowMs;
    if (newRuns.tokens < 1 || gateway.watermarks >= WATERMARKS_OF_GATEWAY) return false;
    newRuns.tokens -= 1;
    return true;
  }

  /** Whether more readings of a gateway may be taken before what is pending is committed. */
  hasRoom(name: string): boolean {
    if (name === this.#own) return true;
    return this.#of(name).pendingBytes < PENDING_BYTES_OF_GATEWAY && this.#pendingBytes < PENDING_BYTES_OF_ALL;
  }

  /** So many bytes more, or less, are taken and not committed. */
  pending(name: string, bytes: number): void {
    if (name === this.#own) return;
    this.#of(name).pendingBytes += bytes;
    this.#pendingBytes += bytes;
  }

  /** A run has its first watermark. */
  addWatermark(name: string): void {
    this.#of(name).watermarks += 1;
  }

  /** Nothing is pending, and these are the watermarks. */
  reset(watermarks: readonly { gateway: string }[]): void {
    this.#pendingBytes = 0;
    for (const gateway of this.#gateways.values()) {
      gateway.pendingBytes = 0;
      gateway.watermarks = 0;
    }
    for (const { gateway } of watermarks) this.addWatermark(gateway);
  }
}
