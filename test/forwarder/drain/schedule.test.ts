import { test } from 'node:test';
import fc from 'fast-check';
import { sharedStream } from '../../support/local-stream.ts';
import { holdsUnder, schedules } from './support/schedule-law.ts';

const unlimited = sharedStream();

test('under any schedule of faults every row is shipped or dead, nothing accepted is sent again, and promised orders hold', async () => {
  const stream = await unlimited();
  await fc.assert(
    fc.asyncProperty(schedules, async (schedule) => await holdsUnder(schedule, stream)),
    { numRuns: 5, endOnFailure: true },
  );
});
