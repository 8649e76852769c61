import { test } from 'node:test';
import { floodBesideCalm } from './support/flood.ts';

test('while one publisher floods with 6,000, 49 calm ones get all their PUBACKs before the flood ends', async (t) => {
  await floodBesideCalm(t, { calm: 49, publishes: 3, everyMs: 500, flood: 6000 });
});
