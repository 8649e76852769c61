import assert from 'node:assert/strict';
import { test } from 'node:test';
import { costsOf } from '../../tools/docs/costs.ts';
import { readSource } from '../support/source-tree.ts';
import { fleetCostsOf, metricsPrice, TYPICAL } from '../../tools/docs/fleet-costs.ts';

const fleet = { ...TYPICAL, readingsPerRecord: 1, metrics: true };

test('metrics are priced by tiers', () => {
  // 10 endpoints × 3 status codes × 3 regions = 90 unique metrics = $27/month: signoz.io/guides/cloudwatch-pricing, February 2026.
  assert.equal(metricsPrice(90).toFixed(2), '27.00');
  assert.equal(metricsPrice(10_000), 3000);
  assert.equal(metricsPrice(20_000), 3000 + 1000);
  assert.equal(metricsPrice(260_000), 3000 + 24_000 + 500);
});

test('the stream of a fleet costs what the same straps cost on one box, and its account records', () => {
  const { shardHours, puts } = costsOf({ straps: 10_000, rate: 1, readingBytes: 250, readingsPerRecord: 1 });
  const { stream, shards } = fleetCostsOf({ ...fleet, boxes: 1000 });
  // 1,000 boxes × 43,800 minutes × 0.014 $ per million.
  assert.equal((stream - shardHours - puts).toFixed(4), ((1000 * 43_800 * 0.014) / 1e6).toFixed(4));
  assert.equal(shards, 13);
});

test('the table of last-seen is written three times within the silence, whatever the boxes send', () => {
  const watch = (boxes: number, silenceMinutes: number): number => fleetCostsOf({ ...fleet, boxes, silenceMinutes }).watch;
  // 1,000 boxes, every 10 minutes: 4.38 million writes of 1.25 $; against every 20 minutes half of them.
  assert.equal((watch(1000, 30) - watch(1000, 60)).toFixed(3), ((4.38 - 2.19) * 1.25).toFixed(3));
});

test('metrics of the boxes cost nothing if they are off, and more than the stream of a thousand boxes', () => {
  for (const boxes of [10, 1000, 10_000]) {
    const on = fleetCostsOf({ ...fleet, boxes });
    const off = fleetCostsOf({ ...fleet, boxes, metrics: false });
    assert.equal(off.boxMetrics, 0);
    assert.equal((on.perBox - off.perBox).toFixed(6), (on.boxMetrics / boxes).toFixed(6));
    if (boxes === 1000) assert.ok(on.boxMetrics > on.stream, `${on.boxMetrics} > ${on.stream}`);
  }
});

test('the numbers of shards and dollars in the text of docs/fleet.md are those of the calculation', () => {
  const text = readSource('docs/fleet.md');
  const shards = (boxes: number, readingsPerRecord: number): number =>
    fleetCostsOf({ ...fleet, boxes, readingsPerRecord }).shards;
  const row = `| stream | ${shards(10, 1)} shard | ${shards(1000, 1)} shards, or ${shards(1000, 10)} with \`KINESIS_MODE=aggregated\` | `;
  assert.ok(text.includes(`${row}${shards(10_000, 1)} or ${shards(10_000, 10)};`), `${row}…`);
  assert.ok(text.includes(`They cost ${metricsPrice(2).toFixed(2)} $ a box and month`), 'the price of the metrics of a box');
});
