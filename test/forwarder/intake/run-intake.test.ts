import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RunIntake } from '../../../forwarder/intake/run-intake.ts';

const RUN = '0123456789abcdef';
const GATEWAY = 'box';

test('what the sequencer dropped is missed by its cause, what an earlier queue held as that; both are named as spans', () => {
  const intake = new RunIntake({ gateway: GATEWAY, run: RUN });
  assert.deepEqual(intake.offered({ run: RUN, from: 11, last: 20, dropped: { outbox_full: 4 }, sync: 1 }), [
    { from: 1, to: 6, cause: 'earlier_queue' },
    { from: 7, to: 10, cause: 'outbox_full' },
  ]);
  assert.deepEqual(intake.watermark, { gateway: GATEWAY, run: RUN, stored: 10, missed: { outbox_full: 4, earlier_queue: 6 } });
  intake.pending(0, []);
  assert.deepEqual(intake.offered({ run: RUN, from: 11, last: 20, dropped: { outbox_full: 4 }, sync: 2 }), []);
  assert.equal(intake.answer(), undefined, 'the span is not committed yet');
  assert.equal(intake.committed(10).sync, 2);
  // What was recorded by a cause is not recorded by it again; a known run has no earlier queue.
  assert.deepEqual(intake.offered({ run: RUN, from: 17, last: 20, dropped: { outbox_full: 5 }, sync: 3 }), [
    { from: 11, to: 15, cause: 'unknown' },
    { from: 16, to: 16, cause: 'outbox_full' },
  ]);
});
