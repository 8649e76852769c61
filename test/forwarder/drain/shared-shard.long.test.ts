import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertLittleInVain } from './support/shared-shard.ts';

/** What the shard takes in two minutes. */
const READINGS = 120_000;

for (const boxes of [10, 20])
  test(`${boxes} forwarders that share one shard send little in vain, and nearly fill it`, async (t) => {
    const seconds = await assertLittleInVain(t, boxes, READINGS);
    // The processes do not start at the same moment.
    assert.ok(seconds <= (1.3 * READINGS) / 1000, `${seconds} s`);
  });
