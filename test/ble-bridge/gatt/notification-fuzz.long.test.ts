import { test } from 'node:test';
import { fuzzSoftStrap } from '../support/soft-fuzz.ts';

test('a million notifications from the link to the reading: every law holds', async (t) => {
  await fuzzSoftStrap(t, 1_000_000);
});
