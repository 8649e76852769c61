import { test } from 'node:test';
import fc from 'fast-check';
import { sharedStream } from '../../support/local-stream.ts';
import { holdsUnder, schedules } from './support/schedule-law.ts';

const unlimited = sharedStream();

test('under a hundred schedules of faults every row is shipped or dead, nothing is sent again, and orders hold', async () => {
  const stream = await unlimited();
  await fc.assert(
    fc.asyncProperty(schedules, async (schedule) => await holdsUnder(schedule, stream)),
    { numRuns: 100, endOnFailure: true },
  );
});
