import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertLittleInVain } from './support/shared-shard.ts';

/** What the shard takes in two minutes. */
const READINGS = 120_000;
const IDEAL_SECONDS = READINGS / 1000;
/** Shares reach the whole shard within this time of a start together, and the processes start within some seconds of each other. */
const RAMP_SECONDS = 20;

for (const boxes of [10, 20])
  test(`${boxes} forwarders that share one shard send little in vain, and nearly fill it`, async (t) => {
    const seconds = await assertLittleInVain(t, boxes, READINGS);
    assert.ok(seconds <= 1.3 * IDEAL_SECONDS + RAMP_SECONDS, `${seconds} s`);
  });
