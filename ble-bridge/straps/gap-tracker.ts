/** Times without readings, as they are published on `hr/<device>/gap` once readings come again. Nothing is ever back-filled. */
import type { Gap, GapCause } from '../../contract/device-status.ts';

/** Straps send about once a second; under this there is no gap worth a word. */
const GAP_MIN_MS = 5000;
/** Wall and monotonic clock may drift apart this far within a gap before the wall clock counts as set. */
const CLOCK_SLACK_MS = 1000;

export class GapTracker {
  #lastAt: number | undefined;
  /** On the monotonic clock; undefined where the last reading was one of an earlier process. */
  #lastMonotonicMs: number | undefined;
  #cause: GapCause | undefined;

  /** The time of the last reading of an earlier process. */
  seed(lastReadingAt: string): void {
    const at = Date.parse(lastReadingAt);
    if (this.#lastMonotonicMs !== undefined || Number.isNaN(at)) return;
    this.#lastAt = at;
    this.#cause = 'bridge_restart';
  }

  /** Something that explains missing readings. The first one since the last reading stands, but for silence: a link that ends explains it. */
  explain(cause: GapCause): void {
    if (this.#cause === undefined || this.#cause === 'sensor_silent') this.#cause = cause;
  }

  /**
   * A reading at `now` (wall clock) and `monotonicMs`; the gap that ends with it, if there is one. How long it was is told by the
   * monotonic clock: a wall clock that was set makes no gap, and hides none.
   */
  reading(now: number, monotonicMs: number): Gap | undefined {
    const lastAt = this.#lastAt;
    const elapsedMs = this.#lastMonotonicMs === undefined ? now - (lastAt ?? now) : monotonicMs - this.#lastMonotonicMs;
    const cause = this.#cause;
    this.#lastAt = now;
    this.#lastMonotonicMs = monotonicMs;
    this.#cause = undefined;
    if (lastAt === undefined || elapsedMs < GAP_MIN_MS) return undefined;
    const wasSet = Math.abs(now - lastAt - elapsedMs) > CLOCK_SLACK_MS;
    return {
      from: new Date(wasSet ? now - elapsedMs : lastAt).toISOString(),
      to: new Date(now).toISOString(),
      cause: cause ?? 'sensor_silent',
    };
  }
}
