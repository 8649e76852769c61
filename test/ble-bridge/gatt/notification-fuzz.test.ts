import { test } from 'node:test';
import { fuzzSoftStrap } from '../support/soft-fuzz.ts';

test('a valid notification becomes one reading, malformed bytes are counted, nothing throws, and the link stays open', async (t) => {
  await fuzzSoftStrap(t, 20_000);
});
