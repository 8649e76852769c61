/** Times without readings, as they are published on `hr/<device>/gap` once readings come again. Nothing is ever back-filled. */
import type { Gap, GapCause } from '../contract/device-status.ts';

/** Straps send about once a second; under this there is no gap worth a word. */
const GAP_MIN_MS = 5000;

export class GapTracker {
  #lastAt: number | undefined;
  #cause: GapCause | undefined;

  /** The time of the last reading of an earlier process. */
  seed(lastReadingAt: string): void {
    const at = Date.parse(lastReadingAt);
    if (this.#lastAt !== undefined || Number.isNaN(at)) return;
    this.#lastAt = at;
    this.#cause = 'bridge_restart';
  }

  /** Something that explains missing readings. The first one since the last reading stands, but for silence: a link that ends explains it. */
  explain(cause: GapCause): void {
    if (this.#cause === undefined || this.#cause === 'sensor_silent') this.#cause = cause;
  }

  /** A reading at `now`; the gap that ends with it, if there is one. */
  reading(now: number): Gap | undefined {
    const from = this.#lastAt;
    const cause = this.#cause;
    this.#lastAt = now;
    this.#cause = undefined;
    // A clock that was set back makes no gap.
    if (from === undefined || now - from < GAP_MIN_MS) return undefined;
    return { from: new Date(from).toISOString(), to: new Date(now).toISOString(), cause: cause ?? 'sensor_silent' };
  }
}
