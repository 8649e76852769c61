/**
 * The law of the drain under any schedule of faults: every row is shipped at least once or dead, accepted records are not sent again,
 * promised orders hold.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { DeleteStreamCommand } from '@aws-sdk/client-kinesis';
import fc from 'fast-check';
import type { FaultSettings } from '../../../../contract/fault-settings.ts';
import type { LocalStream } from '../../../support/local-stream.ts';
import { assertOrderOfDevices, failedRecords, startDrain, type StoredReading } from './drain-bench.ts';

interface Step {
  faults: FaultSettings;
  rows: number;
  poison: boolean;
  lastsMs: number;
}
export interface Schedule {
  mode: 'records' | 'aggregated';
  steps: Step[];
}

const REQUEST_FAULTS = [
  'status500',
  'status503',
  'connectionReset',
  'halfBody',
  'stalledBody',
  'expiredToken',
  'accessDenied',
  'throttled',
  'kmsDisabled',
  'streamMissing',
  'notActive',
  'rejectPoison',
] as const;
/** The records are stored, but the sender does not know: only these may be in the stream twice. */
const CUTS_ANSWERS = new Set<string>(['halfBody', 'stalledBody']);
const TIMEOUTS = { connectMs: 500, requestMs: 2000, socketMs: 2000, wholeMs: 5000 };

const rate = fc.integer({ min: 0, max: 9 }).map((tenths) => tenths / 10);
const faults: fc.Arbitrary<FaultSettings> = fc
  .record({
    request: fc.option(fc.constantFrom(...REQUEST_FAULTS), { nil: undefined }),
    requestRate: rate,
    recordFailureRate: rate,
    throttleRate: rate,
    latencyMs: fc.integer({ min: 0, max: 50 }),
    seed: fc.nat(),
  })
  .map(({ request, ...rest }) => (request === undefined ? rest : { request, ...rest }));

export const schedules: fc.Arbitrary<Schedule> = fc.record({
  mode: fc.constantFrom('records', 'aggregated'),
  steps: fc.array(
    fc.record({
      faults,
      rows: fc.integer({ min: 1, max: 400 }),
      poison: fc.boolean(),
      lastsMs: fc.integer({ min: 0, max: 400 }),
    }),
    { minLength: 1, maxLength: 5 },
  ),
});

function firstOfEach(readings: readonly StoredReading[]): StoredReading[] {
  const seen = new Set<number>();
  return readings.filter(({ seq }) => !seen.has(seq) && seen.add(seq));
}

export async function holdsUnder({ mode, steps }: Schedule, stream: LocalStream): Promise<void> {
  const cleanups: (() => unknown)[] = [];
  const bench = await startDrain({ after: (cleanup) => void cleanups.push(cleanup as () => unknown) }, stream, {
    shards: 3,
    timeouts: TIMEOUTS,
    environment: { KINESIS_MODE: mode },
    aggregateBytes: 2048,
  });
  try {
    let rows = 0;
    for (const step of steps) {
      await bench.faults(step.faults);
      bench.add(step.rows, 4);
      if (step.poison) bench.add(1, 1, 'poison');
      rows += step.rows + (step.poison ? 1 : 0);
      await sleep(step.lastsMs);
    }
    await bench.faults({});
    await bench.settled(rows);
    const { shipped, dead, evicted } = bench.queue.state.ledger;
    assert.equal(evicted, 0);
    assert.ok(dead <= steps.filter(({ poison }) => poison).length, 'only poison is buried');
    const stored = await bench.read();
    const first = firstOfEach(stored);
    assert.ok(
      first.length >= shipped && first.length <= rows,
      `${first.length} of ${rows} are in the stream, ${shipped} shipped`,
    );
    if (mode === 'records')
      assert.equal(bench.drain.metrics.recordsSent, shipped + failedRecords(bench.drain), 'an accepted record was sent again');
    else assertOrderOfDevices(first);
    if (!steps.some((step) => CUTS_ANSWERS.has(step.faults.request ?? '')))
      assert.equal(stored.length, shipped, 'a record is in the stream twice');
  } finally {
    for (const cleanup of cleanups.toReversed()) await cleanup();
    await stream.client.send(new DeleteStreamCommand({ StreamName: bench.streamName }));
  }
}
