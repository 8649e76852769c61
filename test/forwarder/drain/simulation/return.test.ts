/** A box alone on its shard after an outage of ten minutes, in virtual time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RECORDS_PER_SHARD } from '../../../../forwarder/drain/shard-pacer.ts';
import { fleetResult } from './fleet-law.ts';

const SEEDS = 20;
const FIRST_P95_MS = 10_000;
const FULL_SPEED_WITHIN_SECONDS = 10;
/** Time in which the speed is measured. */
const MEASURED_SECONDS = 10;

test('after an outage the first reading is in the stream within 10 s, and 10 s later a box alone has full speed', async (t) => {
  const firstMs: number[] = [];
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const { firstShippedMs, shippedPerSecond } = await fleetResult({
      boxes: 1,
      shards: 1,
      mode: 'records',
      readingsPerSecond: 50,
      outageMs: 600_000,
      drainMs: 30_000,
      seed,
    });
    firstMs.push(firstShippedMs);
    const from = Math.ceil(firstShippedMs / 1000) + FULL_SPEED_WITHIN_SECONDS;
    const measured = shippedPerSecond.slice(from, from + MEASURED_SECONDS);
    const perSecond = measured.reduce((sum, readings) => sum + readings, 0) / MEASURED_SECONDS;
    assert.ok(perSecond >= 0.98 * RECORDS_PER_SHARD, `seed ${seed}: ${perSecond} readings per second`);
  }
  firstMs.sort((a, b) => a - b);
  const p95 = firstMs[Math.ceil(SEEDS * 0.95) - 1] ?? Number.POSITIVE_INFINITY;
  t.diagnostic(`first reading after ${Math.round(p95)} ms (p95), ${Math.round(firstMs.at(-1) ?? 0)} ms at most`);
  assert.ok(p95 <= FIRST_P95_MS, `the first reading is in the stream after ${p95} ms (p95)`);
});
