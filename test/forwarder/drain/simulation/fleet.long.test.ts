import { test } from 'node:test';
import { assertGoodCitizens, nameOf, type SharedStream } from './fleet-law.ts';

/** Keys are not spread evenly over several shards: with enough straps, the fullest shard is not much fuller than the others. */
const CASES: readonly SharedStream[] = [
  { boxes: 1, shards: 1, mode: 'records' },
  { boxes: 1, shards: 1, mode: 'aggregated' },
  { boxes: 1, shards: 4, mode: 'records', strapsPerBox: 2000 },
  { boxes: 1, shards: 4, mode: 'aggregated', strapsPerBox: 2000 },
  { boxes: 10, shards: 4, mode: 'records', strapsPerBox: 200 },
  { boxes: 10, shards: 4, mode: 'aggregated', strapsPerBox: 200 },
  { boxes: 10, shards: 1, mode: 'aggregated', unevenness: 4 },
  { boxes: 100, shards: 1, mode: 'records', unevenness: 4 },
  { boxes: 100, shards: 1, mode: 'aggregated', unevenness: 4 },
  { boxes: 100, shards: 4, mode: 'records', strapsPerBox: 20, unevenness: 2 },
  { boxes: 100, shards: 4, mode: 'aggregated', strapsPerBox: 20, unevenness: 2 },
  { boxes: 1000, shards: 1, mode: 'records' },
  { boxes: 1000, shards: 4, mode: 'records', strapsPerBox: 4, unevenness: 2 },
  { boxes: 1000, shards: 1, mode: 'aggregated' },
  { boxes: 1000, shards: 4, mode: 'aggregated', strapsPerBox: 4, unevenness: 2 },
];

for (const stream of CASES)
  test(nameOf(stream), async (t) => {
    await assertGoodCitizens(t, stream);
  });
