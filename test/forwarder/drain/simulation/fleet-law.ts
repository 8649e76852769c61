/** What must hold for boxes that share a stream: live load is 40 % of what its shards take, and the stream is away for ten minutes. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { startWorker } from '../../../../service/process/worker-thread.ts';
import { loadOf, summaryOf, type FleetOptions, type FleetResult } from './fleet.ts';

const OUTAGE_MS = 600_000;
/** Of one shard whose boxes all have a backlog. */
const FILLED_MIN = 0.98;
/** Of the account. */
const CONTROL_CALLS_PER_SECOND = 20;

interface Law {
  sentPerAccepted: number;
  fairness: number;
  liveP99Ms: number;
}

/** Each of a thousand boxes on one shard has a record per second: a refusal is a large part of what it learns, and of what it sends. */
function lawOf({ boxes, mode }: SharedStream): Law {
  if (boxes >= 1000) return { sentPerAccepted: 1.2, fairness: 0.7, liveP99Ms: 60_000 };
  return { sentPerAccepted: mode === 'records' ? 1.2 : 1.05, fairness: 0.9, liveP99Ms: 5000 };
}

/** Runs a fleet in a thread of its own. */
export async function fleetResult(options: FleetOptions): Promise<FleetResult> {
  const worker = startWorker(import.meta.url, './fleet-thread', { workerData: options });
  const [result] = (await once(worker, 'message')) as [FleetResult];
  await worker.terminate();
  return result;
}

export type SharedStream = Pick<FleetOptions, 'boxes' | 'shards' | 'mode'> & Partial<FleetOptions>;

export const nameOf = ({ boxes, shards, mode, unevenness, seed }: SharedStream): string =>
  `${boxes} boxes on ${shards} ${shards === 1 ? 'shard' : 'shards'}, ${mode}` +
  (unevenness === undefined ? '' : `, the largest with ${unevenness} × the readings of the smallest`) +
  (seed === undefined ? '' : `, seed ${seed}`);

/** Little is sent in vain, shares are even, new readings are live, the backlog drains, and control calls are few. */
export async function assertGoodCitizens(t: Pick<TestContext, 'diagnostic'>, stream: SharedStream): Promise<void> {
  const { boxes, shards, mode } = stream;
  const result = await fleetResult({
    readingsPerSecond: loadOf(mode, shards, 0.4),
    outageMs: OUTAGE_MS,
    drainMs: 2 * OUTAGE_MS,
    ...stream,
  });
  t.diagnostic(`${nameOf(stream)}: ${summaryOf(result)}`);
  assert.equal(result.readings.lost, 0);
  const law = lawOf(stream);
  assert.ok(result.sentPerAccepted <= law.sentPerAccepted, `sent ÷ accepted ${result.sentPerAccepted}`);
  assert.ok(boxes === 1 || result.fairness.length >= 3, `${result.fairness.length} whole minutes of backlog`);
  assert.ok(Math.min(1, ...result.fairness) >= law.fairness, `Jain's index per minute: ${result.fairness.join(' ')}`);
  assert.ok(result.drainedPerIdeal <= 1.3, `drained in ${result.drainedPerIdeal} × the ideal time`);
  // A box alone stays below the limits of a shard, to allow for different clocks.
  if (mode === 'records' && shards === 1 && boxes > 1 && boxes < 1000)
    assert.ok(Math.min(1, ...result.filled) >= FILLED_MIN, `filled per minute: ${result.filled.join(' ')}`);
  if (mode === 'records') assert.ok(result.live.p99 <= law.liveP99Ms, `live p99 ${result.live.p99} ms`);
  const { worstSecond, throttled } = result.controlCalls;
  assert.ok(worstSecond <= CONTROL_CALLS_PER_SECOND, `${worstSecond} control calls in the worst second`);
  assert.equal(throttled, 0, 'control calls that were throttled');
}
