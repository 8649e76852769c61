/** Detects times without readings; published on `hr/<device>/gap` when readings resume. Nothing is ever back-filled. */
import type { Gap, GapCause } from '../../contract/device-status.ts';

/** Straps send about once a second; shorter pauses are not reported. */
const GAP_MIN_MS = 5000;
/** If wall clock and monotonic clock differ by more than this over a gap, the wall clock was set. */
const CLOCK_SLACK_MS = 1000;

export class GapTracker {
  #lastAt: number | undefined;
  /** On the monotonic clock; undefined if the last reading was received by an earlier process. */
  #lastMonotonicMs: number | undefined;
  #cause: GapCause | undefined;

  /** Sets the time of the last reading that an earlier process received. */
  restore(lastReadingAt: string): void {
    const at = Date.parse(lastReadingAt);
    if (this.#lastMonotonicMs !== undefined || Number.isNaN(at)) return;
    this.#lastAt = at;
    this.#cause = 'bridge_restart';
  }

  /** Reports a cause for missing readings. The first since the last reading wins, except silence: the end of the link explains that. */
  explain(cause: GapCause): void {
    if (this.#cause === undefined || this.#cause === 'sensor_silent') this.#cause = cause;
  }

  /**
   * Registers a reading at `now` (wall clock, ms) and `monotonicMs`; returns the gap that ends with it, if any. The duration is
   * measured on the monotonic clock, so setting the wall clock neither creates nor hides a gap.
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
