import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../../support/eventually.ts';
import { startDrain } from './support/drain-bench.ts';
import { sharedStream } from '../../support/local-stream.ts';

const unlimited = sharedStream();

test('UPLINK_MAX_BYTES_PER_SECOND holds on the wire, while everything arrives', async (t) => {
  const bench = await startDrain(t, await unlimited(), { environment: { UPLINK_MAX_BYTES_PER_SECOND: '20000' } });
  bench.add(1);
  await bench.settled(1);
  const before = bench.drain.metrics.wireBytes();
  const startedAt = performance.now();
  bench.add(600, 20);
  await bench.settled(601);
  const seconds = (performance.now() - startedAt) / 1000;
  const after = bench.drain.metrics.wireBytes();
  const bytes = after.sent + after.received - before.sent - before.received;
  // At first, the line may use what it saved in two seconds, and the last request may overdraw as much.
  assert.ok(bytes > 100_000, `${bytes} bytes`);
  assert.ok(bytes <= 20_000 * (seconds + 4), `${bytes} bytes in ${seconds} s`);
  const { max_bytes_per_second: most, bytes_per_second: rate = 0 } = bench.drain.budget.asStatus();
  assert.equal(most, 20_000);
  assert.ok(rate >= 0 && rate <= 40_000, `${rate} B/s are shown`);
});

test('requests that fail use the budget, too', async (t) => {
  const bench = await startDrain(t, await unlimited(), { environment: { UPLINK_MAX_BYTES_PER_SECOND: '4000' } });
  await bench.faults({ request: 'status500' });
  bench.add(1, 1, 'x'.repeat(10_000));
  await eventually(() => bench.drain.metrics.requestsFailed >= 1);
  const first = bench.drain.metrics.requestsFailed;
  await new Promise((resolve) => setTimeout(resolve, 3000));
  const { sent } = bench.drain.metrics.wireBytes();
  assert.ok(sent >= 10_000, `${sent} bytes were sent in vain`);
  assert.ok(bench.drain.metrics.requestsFailed - first <= 1, `${bench.drain.metrics.requestsFailed} requests failed`);
  await bench.faults({});
  await bench.settled(1);
});
