/** Boxes that share a stream, in virtual time (fleet.ts). Long tests run the whole matrix, and 20 seeds. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertGoodCitizens, fleetResult, nameOf, type SharedStream } from './fleet-law.ts';
import { loadOf, summaryOf } from './fleet.ts';

for (const boxes of [10, 100])
  for (const mode of ['records', 'aggregated'] as const) {
    const stream = { boxes, shards: 1, mode };
    test(`${nameOf(stream)}: little is sent in vain, shares are even, new readings are live`, async (t) => {
      await assertGoodCitizens(t, stream);
    });
  }

/** Seeds with which a former pacer broke a law. */
const HARD_CASES: readonly SharedStream[] = [
  { boxes: 10, shards: 1, mode: 'records', seed: 7 },
  { boxes: 10, shards: 1, mode: 'records', seed: 17 },
  { boxes: 10, shards: 1, mode: 'records', unevenness: 4, seed: 13 },
  { boxes: 10, shards: 1, mode: 'records', unevenness: 4, seed: 17 },
  { boxes: 10, shards: 1, mode: 'aggregated', unevenness: 4, seed: 7 },
];

for (const stream of HARD_CASES)
  test(`whatever chance does, the same laws hold: ${nameOf(stream)}`, async (t) => {
    await assertGoodCitizens(t, stream);
  });

test('boxes use the shards that a stream gets while they drain, and still send little in vain', async (t) => {
  const result = await fleetResult({
    boxes: 10,
    shards: 1,
    mode: 'records',
    strapsPerBox: 100,
    readingsPerSecond: loadOf('records', 1, 0.4),
    outageMs: 600_000,
    drainMs: 1_200_000,
    reshardTo: 3,
  });
  t.diagnostic(summaryOf(result));
  assert.equal(result.readings.lost, 0);
  assert.ok(result.sentPerAccepted <= 1.2, `sent ÷ accepted ${result.sentPerAccepted}`);
  assert.ok(Math.min(...result.fairness) >= 0.9, `Jain's index per minute: ${result.fairness.join(' ')}`);
  assert.ok(result.drainedPerIdeal <= 0.6, `drained in ${result.drainedPerIdeal} × the time that one shard needs`);
});

test('1,000 boxes that start together, and lose the stream for a minute, make at most 20 control calls a second', async (t) => {
  const result = await fleetResult({
    boxes: 1000,
    shards: 1,
    mode: 'records',
    readingsPerSecond: 100,
    outageMs: 60_000,
    drainMs: 480_000,
    calmAfterMs: 240_000,
  });
  t.diagnostic(summaryOf(result));
  const { total, worstSecond, throttled } = result.controlCalls;
  assert.ok(total >= 500, `${total} control calls: each box lists the shards once`);
  assert.ok(worstSecond <= 20, `${worstSecond} control calls in the worst second`);
  assert.equal(throttled, 0);
  assert.ok(result.sentPerAccepted <= 1.2, `sent ÷ accepted ${result.sentPerAccepted}`);
});

test('in calm a box makes at most one control call an hour', async (t) => {
  const result = await fleetResult({
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
