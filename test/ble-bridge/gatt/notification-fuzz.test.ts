import { test } from 'node:test';
import { fuzzSoftStrap } from '../support/soft-fuzz.ts';

test('whatever a strap notifies: what it sent becomes one reading, malformed bytes are counted, nothing throws, the link stays', async (t) => {
  await fuzzSoftStrap(t, 20_000);
});
