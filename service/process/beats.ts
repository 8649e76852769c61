/**
 * Heartbeats of the threads of this process, in shared memory: each thread increments its own counter, and the watchdog checks all of them.
 * A worker thread is watched from its start. While it is inside one long call of SQLite it cannot beat: what it reads and writes counts as
 * progress, too, so a box with a slow disk is not killed while it checks or salvages a large file.
 */

const SLOTS = 8;
const NAME_BYTES = 32;

export interface BeatMemory {
  /**
   * One counter per slot, then one flag per slot (1: watched), then the interval between beats in ms, then the kernel's id of each slot's
   * thread (0: not known).
   */
  counters: SharedArrayBuffer;
  names: SharedArrayBuffer;
  slots: number;
  nameBytes: number;
}

export const beatMemory: BeatMemory = {
  counters: new SharedArrayBuffer(12 * SLOTS + 4),
  names: new SharedArrayBuffer(NAME_BYTES * SLOTS),
  slots: SLOTS,
  nameBytes: NAME_BYTES,
};

const counters = new Int32Array(beatMemory.counters);
const names = new Uint8Array(beatMemory.names);
const taken = new Set<number>();

/** Index in `counters` of the interval between beats. */
export const BEAT_EVERY_INDEX = 2 * SLOTS;
/** Index in `counters` of the first slot's thread id. */
export const THREAD_IDS_INDEX = BEAT_EVERY_INDEX + 1;
const BEAT_EVERY_MAX_MS = 2500;
Atomics.store(counters, BEAT_EVERY_INDEX, BEAT_EVERY_MAX_MS);

/**
 * Sets how often the threads of this process beat, and returns that interval in ms: a tenth of the time after which a thread counts as
 * hung. Not more often, because each beat wakes a sleeping core.
 */
export function setBeatEvery(timeoutMs: number): number {
  const everyMs = Math.min(BEAT_EVERY_MAX_MS, Math.max(100, Math.floor(timeoutMs / 10)));
  Atomics.store(counters, BEAT_EVERY_INDEX, everyMs);
  return everyMs;
}

export interface BeatSlot {
  /** Undefined if all slots are taken: that thread is not watched. */
  index: number | undefined;
  beat(): void;
  watch(): void;
  release(): void;
}

/** Reserves a slot for a thread; it is not watched yet. */
export function takeSlot(name: string): BeatSlot {
  const index = Array.from({ length: SLOTS }, (_, slot) => slot).find((slot) => !taken.has(slot));
  if (index === undefined) return { index, beat() {}, watch() {}, release() {} };
  taken.add(index);
  Atomics.store(counters, THREAD_IDS_INDEX + index, 0);
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
