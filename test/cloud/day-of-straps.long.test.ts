import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cannotRun } from '../support/cannot-run.ts';
import { duckPython } from './support/athena.ts';
import { NOTHING_PLANTED, proveDay } from './support/prove-day.ts';

const DAY = { straps: 20, steps: 8640, secondsPerStep: 10, maxBytes: 64 * 1024 * 1024 };

/** So many different steps, from a seed. */
function someSteps(count: number, seed: number): number[] {
  const steps = new Set<number>();
  for (let value = seed; steps.size < count; value = (value * 48_271) % 2_147_483_647) steps.add(100 + (value % 8400));
  return [...steps];
}

test('a day of 20 straps with planted losses: verify and the SQL name each exactly', async (t) => {
  const python = await duckPython();
  const { expected } = await proveDay(
    t,
    {
      ...DAY,
      outages: [
        [1000, 1200],
        [3000, 5000],
        [7000, 7010],
      ],
      kills: someSteps(30, 11),
      restarts: someSteps(6, 12),
      refusals: someSteps(40, 13),
      malformed: someSteps(40, 14),
      drops: someSteps(20, 15),
      retries: [2000, 6500],
      losses: someSteps(25, 16),
    },
    python,
  );
  assert.ok(
    expected.some(({ lost }) => lost.some(({ why }) => why === 'evicted: queue_full')),
    'the long outage led to evictions',
  );
  if (python === undefined) cannotRun(t, 'no Python with DuckDB');
});

test('a day of 20 straps with nothing planted is complete', async (t) => {
  const { expected } = await proveDay(t, { ...DAY, ...NOTHING_PLANTED }, undefined);
  assert.ok(
    expected.every(({ lost }) => lost.length === 0),
    'nothing is missing',
  );
});
