import { test } from 'node:test';
import { fuzzSoftStrap } from '../support/soft-fuzz.ts';

test('a million notifications from link to reading break no law', async (t) => {
  await fuzzSoftStrap(t, 1_000_000);
});
