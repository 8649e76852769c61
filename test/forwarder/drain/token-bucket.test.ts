import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TokenBucket } from '../../../forwarder/drain/token-bucket.ts';

/** Sends whole batches of 500 as the bucket lets them through, by a clock that is set; the records that left. */
function sent(bucket: TokenBucket, clock: { ms: number }, forMs: number): number {
  const end = clock.ms + forMs;
  let records = 0;
  for (;;) {
    const waitMs = bucket.waitMs(500, 500 * 200);
    if (clock.ms + waitMs > end) break;
    clock.ms += waitMs;
    bucket.take(500, 500 * 200);
    records += 500;
  }
  clock.ms = end;
  return records;
}

test('in any time span at most a full bucket and 950 records per second and shard are sent', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1000, max: 60_000 }), (shards, forMs) => {
      const clock = { ms: 0 };
      const bucket = new TokenBucket(() => clock.ms);
      bucket.setShards(shards);
      const records = sent(bucket, clock, forMs);
      assert.ok(records <= 950 * shards * (1 + forMs / 1000) + 1);
      assert.ok(records >= (950 * shards * forMs) / 1000 - 500);
    }),
  );
});

test('a single throttled request costs at most two seconds', () => {
  const clock = { ms: 0 };
  const bucket = new TokenBucket(() => clock.ms);
  sent(bucket, clock, 10_000);
  bucket.lower({ throttled: 500, sent: 500, startedAt: clock.ms - 10 });
  const records = sent(bucket, clock, 10_000);
  assert.ok(records >= 0.85 * 9500, String(records));
  assert.ok(sent(bucket, clock, 10_000) >= 0.98 * 9500 - 500);
});

test('if half is throttled, the rate settles near the limit and little is sent in vain', () => {
  const clock = { ms: 0 };
  const bucket = new TokenBucket(() => clock.ms);
  bucket.setShards(2);
  let tokens = 1000;
  let at = 0;
  let records = 0;
  let throttled = 0;
  for (let end = 60_000; clock.ms < end;) {
    clock.ms += Math.max(1, bucket.waitMs(500, 100_000));
    bucket.take(500, 100_000);
    tokens = Math.min(1000, tokens + (clock.ms - at));
    at = clock.ms;
    const taken = Math.min(500, Math.floor(tokens));
    tokens -= taken;
    records += 500;
    throttled += 500 - taken;
    bucket.lower({ throttled: 500 - taken, sent: 500, startedAt: clock.ms });
  }
  assert.ok(records / (records - throttled) <= 1.05, `${records} sent, ${throttled} throttled`);
  assert.ok(records - throttled >= 0.9 * 60_000, `${records - throttled} taken`);
});

test('requests that were in flight together lower the rate once', () => {
  const clock = { ms: 1000 };
  const bucket = new TokenBucket(() => clock.ms);
  bucket.setShards(10);
  for (let i = 0; i < 4; i += 1) bucket.lower({ throttled: 250, sent: 500, startedAt: 500 });
  clock.ms += 2000;
  assert.ok(bucket.available().records > 4000);
});
