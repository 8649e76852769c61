/** Boxes that start together with a backlog, in virtual time, for several seeds. With processes: drain/shared-shard.test.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runFleetStart } from './fleet-start.ts';

const SEEDS = 3;
const READINGS = 30_000;
/** Less than the law's 1.2: processes on a loaded machine answer later than the simulated stream. */
const SENT_PER_ACCEPTED_MAX = 1.15;

for (const [boxes, spreadMs] of [
  [10, 3000],
  [20, 3000],
  [20, 12_000],
] as const)
  test(`${boxes} boxes that start within ${spreadMs / 1000} s of each other send little in vain, whatever chance does`, async (t) => {
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const { sentPerAccepted, accepted } = await runFleetStart({ boxes, readings: READINGS, spreadMs, seed });
      t.diagnostic(`seed ${seed}: sent ÷ accepted ${sentPerAccepted.toFixed(3)}`);
      assert.ok(accepted >= READINGS, `seed ${seed}: ${accepted} of ${READINGS} readings are in the stream`);
      assert.ok(sentPerAccepted <= SENT_PER_ACCEPTED_MAX, `seed ${seed}: sent ÷ accepted ${sentPerAccepted}`);
    }
  });
