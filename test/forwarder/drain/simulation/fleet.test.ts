/**
 * Boxes that share a stream, in virtual time (fleet.ts). Live load is 40 % of what the shard takes; the outage lasts ten minutes.
 * `fleet.long.test.ts`: more boxes, more shards, uneven boxes.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadOf, runFleet, summaryOf, type FleetOptions } from './fleet.ts';

const OUTAGE_MS = 600_000;

const shared = (boxes: number, mode: FleetOptions['mode']): FleetOptions => ({
  boxes,
  mode,
  shards: 1,
  readingsPerSecond: loadOf(mode, 1, 0.4),
  outageMs: OUTAGE_MS,
  drainMs: 2 * OUTAGE_MS,
});

for (const boxes of [10, 100])
  for (const mode of ['records', 'aggregated'] as const)
    test(`${boxes} boxes on one shard, ${mode}: little is sent in vain, shares are even, and new readings are live`, async (t) => {
      const result = await runFleet(shared(boxes, mode));
      t.diagnostic(summaryOf(result));
      assert.equal(result.readings.lost, 0);
      const most = mode === 'records' ? 1.2 : 1.05;
      assert.ok(result.sentPerAccepted <= most, `sent ÷ accepted ${result.sentPerAccepted}`);
      assert.ok(result.fairness.length >= 3, `${result.fairness.length} whole minutes of backlog`);
      assert.ok(Math.min(...result.fairness) >= 0.9, `Jain's index per minute: ${result.fairness.join(' ')}`);
      assert.ok(result.drainedPerIdeal <= 1.3, `drained in ${result.drainedPerIdeal} × the ideal time`);
      if (mode === 'records') assert.ok(result.live.p99 <= 5000, `live p99 ${result.live.p99} ms`);
      assert.ok(result.controlCalls.worstSecond <= 20, `${result.controlCalls.worstSecond} control calls in the worst second`);
      assert.equal(result.controlCalls.throttled, 0);
    });

test('in calm a box makes at most one control call an hour', async (t) => {
  const result = await runFleet({
    boxes: 10,
    mode: 'records',
    shards: 1,
    readingsPerSecond: 10,
    outageMs: 0,
    drainMs: 600_000,
    calmAfterMs: 5 * 3_600_000,
  });
  t.diagnostic(summaryOf(result));
  assert.ok(result.controlCalls.perBoxAndCalmHour <= 1, `${result.controlCalls.perBoxAndCalmHour} calls per box and hour`);
  assert.ok(result.controlCalls.perBoxAndCalmHour > 0.5, 'the shards are listed again and again');
});
