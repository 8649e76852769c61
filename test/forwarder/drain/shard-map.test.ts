import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ShardMap } from '../../../forwarder/drain/shard-map.ts';
import type { ShardRange } from '../../../forwarder/sink/sink.ts';
import { hashKeyOf } from '../../../local-kinesis/store.ts';

const HASHES = 2n ** 128n;

/** Shards whose ranges begin at 0 and at these hashes. */
function rangesAt(starts: readonly bigint[]): ShardRange[] {
  const sorted = [...new Set([0n, ...starts])].sort((a, b) => (a < b ? -1 : 1));
  return sorted.map((startHash, index) => ({ id: `shard-${index}`, startHash, endHash: (sorted[index + 1] ?? HASHES) - 1n }));
}

test('a key belongs to the shard whose range has its hash, wherever the ranges begin', () => {
  fc.assert(
    fc.property(
      fc.array(fc.bigInt({ min: 1n, max: HASHES - 1n }), { maxLength: 40 }),
      fc.array(fc.string({ minLength: 1, unit: 'binary' }), { minLength: 1 }),
      (starts, keys) => {
        const ranges = rangesAt(starts);
        const map = new ShardMap();
        // In any order, and each key twice: the second time it is remembered.
        map.set([...ranges].reverse());
        for (const key of [...keys, ...keys]) {
          const hash = hashKeyOf(key);
          const shard = ranges.find(({ startHash, endHash }) => hash >= startHash && hash <= endHash);
          assert.equal(map.shardOf(key), shard?.id);
        }
      },
    ),
  );
});

test('what an answer says of a key wins over the ranges until they are listed again', () => {
  const map = new ShardMap();
  assert.equal(map.shardOf('a'), undefined);
  map.learn('a', 'shard-7');
  assert.equal(map.shardOf('a'), 'shard-7');
  map.set(rangesAt([]));
  assert.equal(map.shardOf('a'), 'shard-0');
  map.learn('a', 'shard-9');
  assert.equal(map.shardOf('a'), 'shard-9');
  map.set(rangesAt([]));
  assert.equal(map.shardOf('a'), 'shard-0');
});
