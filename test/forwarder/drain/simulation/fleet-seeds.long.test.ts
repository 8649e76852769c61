/** The laws of boxes that share a stream hold whatever chance does, and not for a lucky seed. */
import { test } from 'node:test';
import { assertGoodCitizens, nameOf, type SharedStream } from './fleet-law.ts';

const CASES: readonly { stream: SharedStream; seeds: number }[] = [
  { stream: { boxes: 10, shards: 1, mode: 'records' }, seeds: 20 },
  { stream: { boxes: 10, shards: 1, mode: 'records', unevenness: 4 }, seeds: 20 },
  { stream: { boxes: 10, shards: 1, mode: 'aggregated' }, seeds: 20 },
  { stream: { boxes: 10, shards: 1, mode: 'aggregated', unevenness: 4 }, seeds: 20 },
  { stream: { boxes: 100, shards: 1, mode: 'records' }, seeds: 20 },
  { stream: { boxes: 100, shards: 1, mode: 'aggregated' }, seeds: 20 },
  { stream: { boxes: 1, shards: 4, mode: 'records', strapsPerBox: 2000 }, seeds: 5 },
];

for (const { stream, seeds } of CASES)
  for (let seed = 1; seed <= seeds; seed += 1)
    test(nameOf({ ...stream, seed }), async (t) => {
      await assertGoodCitizens(t, { ...stream, seed });
    });
