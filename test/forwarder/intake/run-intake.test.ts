import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RunIntake } from '../../../forwarder/intake/run-intake.ts';

test('what waits for its turn is bounded in characters too: large payloads do not fill memory, and are taken when they are sent again', () => {
  const intake = new RunIntake('0123456789abcdef', 2000);
  const large = 'x'.repeat(1024 * 1024);
  for (let seq = 2; seq <= 1000; seq += 1) intake.offer(seq, large);
  assert.equal(intake.buffered, 4);
  assert.deepEqual(
    intake.offer(1, 'first')?.payloads.map(({ seq }) => seq),
    [1, 2, 3, 4, 5],
  );
  for (let seq = 7; seq <= 1000; seq += 1) intake.offer(seq, large);
  assert.equal(intake.buffered, 4, 'what was taken does not count any more');
  assert.equal(intake.offer(6, large)?.payloads.length, 5);
  intake.offer(20, large);
  assert.equal(intake.source({ run: '0123456789abcdef', from: 30, last: 40, dropped: {}, sync: 1 })?.payloads.length, 1);
  for (let seq = 31; seq <= 1000; seq += 1) intake.offer(seq, large);
  assert.equal(intake.buffered, 4);
  intake.rollBack(undefined);
  for (let seq = 2; seq <= 1000; seq += 1) intake.offer(seq, 'small');
  assert.equal(intake.buffered, 999);
});
