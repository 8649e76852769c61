import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TokenBucket } from '../../../service/pacing/token-bucket.ts';

test('over any time at most one second more than the rate is granted', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 100 }),
      fc.array(fc.tuple(fc.nat(3000), fc.nat(50)), { maxLength: 50 }),
      (rate, steps) => {
        let nowMs = 0;
        let granted = 0;
        const bucket = new TokenBucket(rate, () => nowMs);
        for (const [waitMs, asked] of steps) {
          nowMs += waitMs;
          for (let i = 0; i < asked && bucket.has(1); i += 1) {
            bucket.take(1);
            granted += 1;
          }
        }
        assert.ok(granted <= rate * (1 + nowMs / 1000) + 1e-6, `${granted} in ${nowMs} ms at ${rate}/s`);
      },
    ),
  );
});

test('an amount over one second is granted by a full bucket only, and has to be refilled before the next', () => {
  let nowMs = 0;
  const bucket = new TokenBucket(10, () => nowMs);
  assert.equal(bucket.has(25), true);
  bucket.take(25);
  assert.equal(bucket.overdrawnMs, 1500);
  nowMs = 1500;
  assert.equal(bucket.overdrawnMs, 0);
  assert.equal(bucket.has(1), false);
  nowMs = 2499;
  assert.equal(bucket.has(25), false);
  nowMs = 2500;
  assert.equal(bucket.has(25), true);
});
