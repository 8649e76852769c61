/**
 * Partition keys of which the stream refuses every record while it answers requests: a hot or failing shard, a policy. A key that was
 * refused for 3 s without one success is held (key-holds.ts).
 */

/** Shorter failures are ordinary: of a throttled shard, most keys succeed now and then. */
const HELD_AFTER_MS = 3000;
/**
 * Bounds the memory that they take, about 0.5 KB each. An owner (owners.ts) may have as many as there is room left, so that a publisher
 * that invents devices does not take that of the others. Keys beyond this are retried, but not held: their rows may then fill what the
 * queue lets the drain have of that owner.
 */
const KEYS_MAX = 100_000;

export interface RefusedKey {
  key: string;
  /** Error code of its last record. */
  code: string;
  /** Of its first failure without a success after it: RFC 3339, and by the monotonic clock. */
  since: string;
  sinceMs: number;
  isHeld: boolean;
  owner: string;
}

/** Held keys, as the status and the metrics show them. */
export interface HeldKeys {
  readonly heldCount: number;
  /** Those that are refused for the longest time, first; at most this many. */
  longestHeld(limit: number): readonly RefusedKey[];
}

export interface RefusedKeysOptions {
  now?: () => number;
  /** Smaller in tests. */
  keysMax?: number;
}

export class RefusedKeys implements HeldKeys {
  /** In the order of their first failure. */
  readonly #keys = new Map<string, RefusedKey>();
  readonly #byOwner = new Map<string, number>();
  readonly #now: () => number;
  readonly #keysMax: number;
  heldCount = 0;

  constructor({ now = () => performance.now(), keysMax = KEYS_MAX }: RefusedKeysOptions = {}) {
    this.#now = now;
    this.#keysMax = keysMax;
  }

  /** A record with this key failed; its reading is one of this owner. Returns whether the key is held now. */
  failed(key: string, code: string, ownerOf: () => string): boolean {
    const now = this.#now();
    const refused = this.#keys.get(key) ?? this.#add(key, code, ownerOf(), now);
    if (refused === undefined) return false;
    refused.code = code;
    if (!refused.isHeld && now - refused.sinceMs >= HELD_AFTER_MS) {
      refused.isHeld = true;
      this.heldCount += 1;
    }
    return refused.isHeld;
  }

  #add(key: string, code: string, owner: string, now: number): RefusedKey | undefined {
    const ofOwner = this.#byOwner.get(owner) ?? 0;
    if (ofOwner >= this.#keysMax - this.#keys.size) return undefined;
    this.#byOwner.set(owner, ofOwner + 1);
    const refused = { key, code, since: new Date().toISOString(), sinceMs: now, isHeld: false, owner };
    this.#keys.set(key, refused);
    return refused;
  }

  /** A record with this key was stored, or the one that was tried is a dead letter. Returns whether the key was held. */
  ended(key: string): boolean {
    const refused = this.#keys.size === 0 ? undefined : this.#keys.get(key);
    if (refused === undefined) return false;
    this.#keys.delete(key);
    const left = (this.#byOwner.get(refused.owner) ?? 1) - 1;
    if (left === 0) this.#byOwner.delete(refused.owner);
    else this.#byOwner.set(refused.owner, left);
    if (refused.isHeld) this.heldCount -= 1;
    return refused.isHeld;
  }

  /** What is known of a held key. */
  heldKey(key: string): RefusedKey | undefined {
    const refused = this.#keys.size === 0 ? undefined : this.#keys.get(key);
    return refused?.isHeld === true ? refused : undefined;
  }

  isHeld(key: string): boolean {
    return this.heldKey(key) !== undefined;
  }

  longestHeld(limit: number): readonly RefusedKey[] {
    const held: RefusedKey[] = [];
    for (const refused of this.#keys.values()) {
      if (held.length >= Math.min(limit, this.heldCount)) break;
      if (refused.isHeld) held.push(refused);
    }
    return held;
  }
}
