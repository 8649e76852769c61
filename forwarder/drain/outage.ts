/**
 * How long the drain waits after requests that failed as a whole. The first attempts follow soon, because most failures are short. A stream
 * that stays away is *probed*: one request of one record every 5-8 s, so that the first reading is in the stream within 10 s of its return,
 * and a thousand boxes do not all try at once. What an operator has to change is tried less and less often, at least once a minute.
 */
import { Backoff } from '../../service/pacing/backoff.ts';
import type { Clock } from '../../service/pacing/clock.ts';
import type { UplinkState } from '../../contract/forwarder-status.ts';
import type { FailureClass } from '../sink/sink.ts';

const FIRST_MS = 500;
const OPERATOR_MS = 60_000;
/** Attempts after which a stream counts as away. */
const EARLY_ATTEMPTS = 4;
const PROBE_EVERY_MS = 5000;
const PROBE_SPREAD_MS = 3000;
/** A probe that took long, because nothing answered, is not followed by the next one at once. */
const LEAST_PAUSE_MS = 250;
/** After a shorter outage everything continues as before. */
const LONG_MS = 5000;

/** States that may end at any time, without an operator. */
const PROBED: ReadonlySet<UplinkState> = new Set(['unreachable', 'error', 'throttled', 'stream_not_active', 'rejected']);

export class Outage {
  readonly #clock: Clock;
  readonly #backoff: Backoff;
  #pausedAtMs = Number.NEGATIVE_INFINITY;
  #pausedUntilMs = 0;
  #sinceMs: number | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#backoff = new Backoff({ minMs: FIRST_MS, maxMs: OPERATOR_MS, random: () => clock.random() });
  }

  /** Milliseconds until the next attempt; not positive if it may be made now. */
  get pauseMs(): number {
    return this.#pausedUntilMs - this.#clock.nowMs();
  }

  get attempts(): number {
    return this.#backoff.attempts;
  }

  /** Whether requests fail as a whole at present: one record at a time is tried. */
  get isOn(): boolean {
    return this.#sinceMs !== undefined;
  }

  /** A request that began at `startedAt` failed. Requests that were in flight together fail together: they count as one attempt. */
  failed(failure: FailureClass, startedAt: number): void {
    const now = this.#clock.nowMs();
    this.#sinceMs ??= now;
    const isSameAttempt = startedAt < this.#pausedAtMs;
    const untilMs = isSameAttempt ? this.#pausedUntilMs : this.#nextMs(failure, now, startedAt);
    this.#pausedUntilMs = Math.max(untilMs, now + (failure.retryAfterMs ?? 0));
    if (!isSameAttempt) this.#pausedAtMs = now;
  }

  #nextMs({ state }: FailureClass, now: number, startedAt: number): number {
    const delayMs = this.#backoff.nextDelayMs();
    if (!PROBED.has(state) || this.#backoff.attempts <= EARLY_ATTEMPTS) return now + delayMs;
    return Math.max(now + LEAST_PAUSE_MS, startedAt + PROBE_EVERY_MS + this.#clock.random() * PROBE_SPREAD_MS);
  }

  /** The stream has stored a record. Returns whether it was away for long. */
  ended(): boolean {
    this.#backoff.reset();
    const sinceMs = this.#sinceMs;
    this.#sinceMs = undefined;
    return sinceMs !== undefined && this.#clock.nowMs() - sinceMs >= LONG_MS;
  }
}
