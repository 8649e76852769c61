import assert from 'node:assert/strict';
import { test } from 'node:test';
import { costsOf } from '../../tools/docs/costs.ts';

const load = { rate: 1, readingBytes: 250, readingsPerRecord: 1 };

test('the price of PUT units matches a published calculation: 1,000 records per second for 30 days', () => {
  // github.com/EveryMundo/aws-kinesis-client, docs/why-we-created-this-package.md: (1000 × 60 × 60 × 24 × 30) / 1M × $0.014 = $36.28.
  assert.equal(Math.floor(costsOf({ ...load, straps: 1000, hours: 720 }).puts * 100) / 100, 36.28);
  // A record of 45 KB counts as two units.
  assert.equal(
    costsOf({ straps: 1, rate: 1, readingBytes: 45 * 1024, readingsPerRecord: 1 }).putUnits,
    2 * costsOf({ ...load, straps: 1 }).putUnits,
  );
});

test('the number of shards depends on records if readings are small, and on bytes if they are large', () => {
  assert.deepEqual(
    [1, 800, 801, 10_000].map((straps) => costsOf({ ...load, straps }).shards),
    [1, 1, 2, 13],
  );
  assert.equal(costsOf({ straps: 800, rate: 1, readingBytes: 2000, readingsPerRecord: 1 }).shards, 2);
  assert.equal(costsOf({ ...load, straps: 10_000, readingsPerRecord: 10 }).shards, 4);
});

test('Firehose rounds a record up to 5 KB, an on-demand stream to 1 KB', () => {
  const { firehoseGb, onDemand } = costsOf({ ...load, straps: 1 });
  assert.equal(firehoseGb.toFixed(3), ((2_628_000 * 5) / 1024 ** 2).toFixed(3));
  assert.equal(onDemand(0).toFixed(6), (730 * 0.04 + (2_628_000 / 1024 ** 2) * 0.08).toFixed(6));
});
