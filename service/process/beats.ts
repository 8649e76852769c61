/**
 * Signs of life of the threads of this process, in memory that they share: each moves its own counter, the watchdog looks at all. A worker
 * thread is watched from the message on that says that it works: what it does before, checking a large file above all, may take its time.
 */

const SLOTS = 8;
const NAME_BYTES = 32;

export interface BeatMemory {
  /** A counter for each slot, then for each whether it is watched, then how often all beat, in ms. */
  counters: SharedArrayBuffer;
  names: SharedArrayBuffer;
  slots: number;
  nameBytes: number;
}

export const beatMemory: BeatMemory = {
  counters: new SharedArrayBuffer(8 * SLOTS + 4),
  names: new SharedArrayBuffer(NAME_BYTES * SLOTS),
  slots: SLOTS,
  nameBytes: NAME_BYTES,
};

const counters = new Int32Array(beatMemory.counters);
const names = new Uint8Array(beatMemory.names);
const taken = new Set<number>();

/** Where in `counters` the time between two beats stands. */
export const BEAT_EVERY_INDEX = 2 * SLOTS;
const BEAT_EVERY_MAX_MS = 2500;
Atomics.store(counters, BEAT_EVERY_INDEX, BEAT_EVERY_MAX_MS);

/** How often the threads of this process show that they live: a tenth of the time after which they are taken to hang. Each beat wakes a sleeping core. */
export function setBeatEvery(timeoutMs: number): number {
  const everyMs = Math.min(BEAT_EVERY_MAX_MS, Math.max(100, Math.floor(timeoutMs / 10)));
  Atomics.store(counters, BEAT_EVERY_INDEX, everyMs);
  return everyMs;
}

export interface BeatSlot {
  /** Undefined where all are taken: that thread is not watched. */
  index: number | undefined;
  beat(): void;
  watch(): void;
  release(): void;
}

/** A slot for a thread, not yet watched. */
export function takeSlot(name: string): BeatSlot {
  const index = Array.from({ length: SLOTS }, (_, slot) => slot).find((slot) => !taken.has(slot));
  if (index === undefined) return { index, beat() {}, watch() {}, release() {} };
  taken.add(index);
  names.fill(0, index * NAME_BYTES, (index + 1) * NAME_BYTES);
  names.set(Buffer.from(name).subarray(0, NAME_BYTES), index * NAME_BYTES);
  return {
    index,
    beat: () => void Atomics.add(counters, index, 1),
    watch: () => void Atomics.store(counters, SLOTS + index, 1),
    release() {
      Atomics.store(counters, SLOTS + index, 0);
      taken.delete(index);
    },
  };
}
