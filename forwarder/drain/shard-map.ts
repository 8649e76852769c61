/**
 * Which shard stores the records of a partition key: by the hash ranges of the open shards (ListShards), and by what answers said. An
 * answer wins, because it is newer: after a split or a merge, keys are in other shards than the ranges say until they are read again.
 */
import { createHash } from 'node:crypto';
import type { ShardRange } from '../sink/sink.ts';

const KEYS_KEPT = 20_000;
const HEX_DIGITS = 32;

/** Hash keys as text of equal length: compared faster than as numbers. */
const hexOf = (hash: bigint): string => hash.toString(16).padStart(HEX_DIGITS, '0');

export class ShardMap {
  #ranges: { id: string; start: string; end: string }[] = [];
  readonly #ids = new Set<string>();
  /** Shards of keys, as answers named them or as they were computed. */
  #keys = new Map<string, string | undefined>();

  /** Replaces the ranges. What answers said before is forgotten. */
  set(shards: readonly ShardRange[]): void {
    this.#ranges = shards
      .map(({ id, startHash, endHash }) => ({ id, start: hexOf(startHash), end: hexOf(endHash) }))
      .sort((a, b) => (a.start < b.start ? -1 : 1));
    this.#ids.clear();
    for (const { id } of shards) this.#ids.add(id);
    this.#keys = new Map();
  }

  /** Whether ranges are known. */
  get isKnown(): boolean {
    return this.#ranges.length > 0;
  }

  get ids(): ReadonlySet<string> {
    return this.#ids;
  }

  #keep(key: string, shard: string | undefined): void {
    // Keys may be random: each is seen once.
    if (this.#keys.size >= KEYS_KEPT) this.#keys = new Map();
    this.#keys.set(key, shard);
  }

  /** The shard of a key; undefined if it is not known. */
  shardOf(key: string): string | undefined {
    const kept = this.#keys.get(key);
    if (kept !== undefined || this.#ranges.length === 0) return kept;
    const shard = this.#byRange(createHash('md5').update(key, 'utf8').digest('hex'));
    this.#keep(key, shard);
    return shard;
  }

  #byRange(hash: string): string | undefined {
    let low = 0;
    let high = this.#ranges.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#ranges[middle]?.start ?? '') <= hash) low = middle;
      else high = middle - 1;
    }
    const range = this.#ranges[low];
    return range !== undefined && range.start <= hash && hash <= range.end ? range.id : undefined;
  }

  /** An answer named the shard that stored a record with this key. */
  learn(key: string, shard: string): void {
    if (this.#keys.get(key) !== shard) this.#keep(key, shard);
  }
}
