/**
 * Partition keys of which the stream refuses every record while it answers requests: a hot or failing shard, a policy. A key that was
 * refused for 3 s without one success is held (key-holds.ts).
 */
import { READ_AHEAD_ROWS } from '../queue/drain-queue.ts';

/** Shorter failures are ordinary: of a throttled shard, most keys succeed now and then. */
const HELD_AFTER_MS = 3000;
/**
 * Beyond that, keys are retried, but not held: their rows may then fill the read-ahead. Each held key keeps one shipment in it, so this
 * leaves half of it to keys that are accepted.
 */
const KEYS_MAX = READ_AHEAD_ROWS / 2;

export interface RefusedKey {
  key: string;
  /** Error code of its last record. */
  code: string;
  /** Of its first failure without a success after it: RFC 3339, and by the monotonic clock. */
  since: string;
  sinceMs: number;
  isHeld: boolean;
}

export class RefusedKeys {
  readonly #keys = new Map<string, RefusedKey>();
  readonly #now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** A record with this key failed. Returns whether the key is held now. */
  failed(key: string, code: string): boolean {
    const now = this.#now();
    let refused = this.#keys.get(key);
    if (refused === undefined) {
      if (this.#keys.size >= KEYS_MAX) return false;
      refused = { key, code, since: new Date().toISOString(), sinceMs: now, isHeld: false };
      this.#keys.set(key, refused);
    }
    refused.code = code;
    if (now - refused.sinceMs >= HELD_AFTER_MS) refused.isHeld = true;
    return refused.isHeld;
  }

  /** A record with this key was stored, or the one that was tried is a dead letter. Returns whether the key was held. */
  ended(key: string): boolean {
    const wasHeld = this.isHeld(key);
    if (this.#keys.size > 0) this.#keys.delete(key);
    return wasHeld;
  }

  /** What is known of a held key. */
  heldKey(key: string): RefusedKey | undefined {
    const refused = this.#keys.size === 0 ? undefined : this.#keys.get(key);
    return refused?.isHeld === true ? refused : undefined;
  }

  isHeld(key: string): boolean {
    return this.heldKey(key) !== undefined;
  }

  /** Held keys; those that are refused for the longest time come first. */
  get held(): readonly RefusedKey[] {
    return [...this.#keys.values()].filter(({ isHeld }) => isHeld).sort((a, b) => a.sinceMs - b.sinceMs);
  }
}
