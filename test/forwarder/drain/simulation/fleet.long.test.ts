import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadOf, runFleet, summaryOf, type FleetOptions } from './fleet.ts';

const OUTAGE_MS = 600_000;

const CASES: readonly (Pick<FleetOptions, 'boxes' | 'shards' | 'mode'> & Partial<FleetOptions>)[] = [
  { boxes: 1, shards: 1, mode: 'records' },
  { boxes: 1, shards: 4, mode: 'aggregated' },
  { boxes: 10, shards: 4, mode: 'records', strapsPerBox: 100 },
  { boxes: 100, shards: 1, mode: 'records', unevenness: 2 },
  { boxes: 100, shards: 4, mode: 'aggregated', unevenness: 2, strapsPerBox: 40 },
  { boxes: 1000, shards: 1, mode: 'records' },
  { boxes: 1000, shards: 4, mode: 'records', strapsPerBox: 20 },
  { boxes: 1000, shards: 1, mode: 'aggregated' },
];

for (const { boxes, shards, mode, ...more } of CASES)
  test(`${boxes} boxes on ${shards} shards, ${mode}${more.unevenness === undefined ? '' : ', uneven'}`, async (t) => {
    const result = await runFleet({
      boxes,
      shards,
      mode,
      readingsPerSecond: loadOf(mode, shards, 0.4),
      outageMs: OUTAGE_MS,
      drainMs: 3 * OUTAGE_MS,
      ...more,
    });
    t.diagnostic(summaryOf(result));
    assert.equal(result.readings.lost, 0);
    assert.ok(result.controlCalls.worstSecond <= 20, `${result.controlCalls.worstSecond} control calls in the worst second`);
    assert.equal(result.controlCalls.throttled, 0);
    // A thousand boxes have a record per second each: they learn less from each answer, and refusals cost more.
    assert.ok(result.sentPerAccepted <= (boxes === 1000 ? 1.3 : 1.2), `sent ÷ accepted ${result.sentPerAccepted}`);
    // The fullest of several shards decides, since keys are not spread evenly.
    assert.ok(result.drainedPerIdeal <= (shards === 1 ? 1.3 : 1.8), `drained in ${result.drainedPerIdeal} × the ideal time`);
  });
