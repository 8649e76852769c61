import assert from 'node:assert/strict';
import { test } from 'node:test';
import { floodBesideCalm } from './support/flood.ts';

const P99_LIMIT_MS = 500;

test('while one publisher floods with 20,000, the PUBACK p99 of 199 calm ones stays below 500 ms', async (t) => {
  const { besideP99Ms } = await floodBesideCalm(t, { calm: 199, publishes: 10, everyMs: 1000, flood: 20_000 });
  assert.ok(besideP99Ms < P99_LIMIT_MS, `${besideP99Ms} ms`);
});
