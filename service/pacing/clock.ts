/**
 * The time that a part works by: the system's, or a simulation's (test/forwarder/drain/simulation/). Code that takes a `Clock` calls
 * neither `performance.now()`, `Date.now()`, `setTimeout` nor `Math.random()` itself.
 */
export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds of a monotonic clock. */
  nowMs(): number;
  /** Milliseconds since the epoch, by the wall clock. */
  dateMs(): number;
  /** Calls `run` once after `ms` milliseconds. The caller cancels the timer when it stops. */
  after(ms: number, run: () => void): Timer;
  /** From 0 to below 1. */
  random(): number;
}

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  dateMs: () => Date.now(),
  after(ms, run) {
    const timeout = setTimeout(run, ms);
    return { cancel: () => clearTimeout(timeout) };
  },
  random: () => Math.random(),
};

/** A random number around 1: from 1 - `spread` to 1 + `spread`. */
export const jitter = (clock: Pick<Clock, 'random'>, spread: number): number => 1 + (clock.random() * 2 - 1) * spread;
