import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OutboxRun } from '../../outbox/outbox-run.ts';

const RUN = '0123456789abcdef';
const QUEUE = 'f'.repeat(16);

/** Offers, is answered, and returns the first packet, which the line does not survive. */
function packetBeforeTheLineGoesDown(run: OutboxRun, nowMs: number, stored: number): number[] {
  run.wantOffer();
  const offer = run.dueOffer(nowMs);
  assert.ok(offer !== undefined);
  run.received({ queue: QUEUE, stored, sync: offer.sync }, nowMs);
  const packet = run.nextPacket(nowMs)?.map(({ seq }) => seq) ?? [];
  run.lineDown();
  return packet;
}

test('a line that goes down after two packets in a row gets single readings; progress between them makes it an accident', () => {
  const run = new OutboxRun({ run: RUN, window: 1000 });
  for (let count = 0; count < 10; count += 1) run.hold({ seq: run.nextSeq(), payload: '{}' }, 0);
  assert.equal(packetBeforeTheLineGoesDown(run, 1000, 0).length, 10);
  assert.equal(packetBeforeTheLineGoesDown(run, 2000, 2).length, 8);
  assert.equal(run.sendsSingly, false, 'the watermark moved between');
  assert.equal(packetBeforeTheLineGoesDown(run, 3000, 2).length, 8);
  assert.equal(run.sendsSingly, true);
  assert.deepEqual(packetBeforeTheLineGoesDown(run, 4000, 2), [3]);
});
