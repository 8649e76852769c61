import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { ForwarderHealth } from '../../../forwarder/health.ts';
import type { FaultSettings } from '../../../contract/fault-settings.ts';
import { eventually } from '../../support/eventually.ts';
import { RefusedKeys } from '../../../forwarder/drain/refused-keys.ts';
import { sharedStream } from '../../support/local-stream.ts';
import { assertOrderOfDevices, type BenchOptions } from './support/drain-bench.ts';
import { ManyRefused, startRefusedBench, type RefusedBench } from './support/refused-bench.ts';

const unlimited = sharedStream();
/** More than the drain reads ahead. */
const MANY = 9000;

const startRefused = async (t: TestContext, faults: FaultSettings, options: BenchOptions = {}): Promise<RefusedBench> =>
  await startRefusedBench(t, await unlimited(), faults, options);
const shipped = (bench: RefusedBench): number => bench.queue.state.ledger.shipped;

for (const mode of ['records', 'aggregated'])
  test(`${mode}: a partition key that is refused holds back only itself, however many readings it has`, async (t) => {
    const bench = await startRefused(t, { recordFailureRate: 1, keys: ['d0'] }, { environment: { KINESIS_MODE: mode } });
    bench.addTo('d0', MANY);
    bench.addTo('d1', 300);
    bench.addTo('d2', 300);
    await eventually(() => shipped(bench) === 600, { what: `600 shipped; ${JSON.stringify(bench.queue.state.ledger)}` });
    // Readings that are accepted meanwhile are shipped, too.
    for (let round = 0; round < 5; round += 1) {
      bench.addTo('d0', 100);
      bench.addTo('d3', 10);
      await eventually(() => shipped(bench) === 610 + 10 * round);
    }
    assert.deepEqual(new Set((await bench.read()).map(({ device }) => device)), new Set(['d1', 'd2', 'd3']));
    await bench.faults({});
    await bench.settled(MANY + 1150);
    const stored = await bench.read();
    assert.equal(stored.length, MANY + 1150, 'every reading once');
    if (mode === 'aggregated') assertOrderOfDevices(stored);
  });

test('uplink state and health name the refused key, its code and since when, and recover by themselves', async (t) => {
  const bench = await startRefused(t, { throttleRate: 1, keys: ['d0'] });
  const health = new ForwarderHealth(bench.queue, bench.drain);
  const check = (): object | undefined => health.checks().find(({ name }) => name === 'uplink');
  const before = Date.now();
  bench.addTo('d0', 20);
  bench.addTo('d1', 20);
  await eventually(() => shipped(bench) === 20);
  const uplink = await eventually(() => {
    bench.addTo('d1', 1);
    const current = bench.drain.uplink.asStatus();
    return current.state === 'key_refused' ? current : undefined;
  });
  const [refused, ...others] = uplink.refused_keys ?? [];
  assert.ok(refused !== undefined && others.length === 0);
  assert.equal(refused.key, 'd0');
  assert.equal(refused.code, 'ProvisionedThroughputExceededException');
  assert.ok(Date.parse(refused.since) >= before && Date.parse(refused.since) <= Date.now());
  assert.equal(uplink.reason, `partition key "d0": ProvisionedThroughputExceededException since ${refused.since}`);
  assert.deepEqual(check(), { name: 'uplink', status: 'warn', code: 'key_refused', reason: uplink.reason, hint: uplink.hint });
  const metric = bench.drain.metrics.read(undefined).find(({ name }) => name === 'hr_gateway_partition_key_refused_seconds');
  assert.deepEqual(metric !== undefined && 'values' in metric && metric.values.map(({ labels }) => labels), [
    { key: 'd0', code: 'ProvisionedThroughputExceededException' },
  ]);
  await bench.faults({});
  await eventually(() => bench.queue.depth === 0 && bench.drain.uplink.asStatus().state === 'ok');
  assert.equal(bench.drain.uplink.asStatus().refused_keys, undefined);
});

test('twenty refused keys with more readings than are read ahead do not stop the others', async (t) => {
  const keys = Array.from({ length: 20 }, (_, index) => `refused-${index}`);
  const bench = await startRefused(t, { recordFailureRate: 1, keys });
  for (const key of keys) bench.addTo(key, 600);
  bench.addTo('d1', 300);
  await eventually(() => shipped(bench) === 300, { what: JSON.stringify(bench.queue.state.ledger) });
  await bench.faults({});
  await bench.settled(20 * 600 + 300);
});

test('more refused keys than readings are read ahead do not stop the others', async (t) => {
  const bench = await startRefused(t, {});
  const law = new ManyRefused(bench, 9500);
  await law.othersAreShipped();
  await law.allRecover();
});

test('KINESIS_PARTITION_KEY=random: a shard that refuses everything delays its readings only until they get another key', async (t) => {
  const bench = await startRefused(t, { recordFailureRate: 1, shard: 0 }, { environment: { KINESIS_PARTITION_KEY: 'random' } });
  bench.add(2000, 5);
  await bench.settled(2000);
});

test('a refused key is no reason to slow down: throttled attempts of it do not lower the pace of the others', async (t) => {
  const bench = await startRefused(t, { throttleRate: 1, keys: ['d0'] }, { shards: 1 });
  bench.addTo('d0', 1);
  bench.addTo('d1', 1);
  await eventually(() => bench.drain.uplink.asStatus().state === 'key_refused');
  // The attempts go on alone for a while: each was a request of which every record was throttled.
  await new Promise((resolve) => setTimeout(resolve, 12_000));
  const startedAt = performance.now();
  bench.addTo('d1', 3000);
  await eventually(() => shipped(bench) === 3001);
  assert.ok(performance.now() - startedAt < 8000, `${performance.now() - startedAt} ms for 3000 readings at 950/s`);
});

for (const mode of ['records', 'aggregated'])
  test(`${mode}: a record that the stream rejects is found although another key of the same request is refused`, async (t) => {
    const bench = await startRefused(
      t,
      { recordFailureRate: 1, keys: ['d0'], request: 'rejectPoison' },
      { environment: { KINESIS_MODE: mode } },
    );
    bench.addTo('d0', 5, 'poison');
    bench.addTo('d0', 200);
    bench.addTo('d1', 3, 'poison');
    bench.addTo('d1', 200);
    await eventually(() => shipped(bench) === 200, { what: JSON.stringify(bench.queue.state.ledger) });
    await bench.faults({ request: 'rejectPoison' });
    await bench.settled(408);
    assert.equal(bench.queue.state.ledger.dead, 8);
    const stored = await bench.read();
    assert.equal(stored.length, 400);
    if (mode === 'aggregated') assertOrderOfDevices(stored);
  });

test('a held key whose next reading is moved to the dead letters continues with the one after it', async (t) => {
  const bench = await startRefused(t, { recordFailureRate: 1, keys: ['d0'] });
  bench.addTo('d0', 1, 'poison');
  bench.addTo('d0', 50);
  bench.addTo('d1', 1);
  await eventually(() => bench.drain.uplink.asStatus().state === 'key_refused');
  await bench.faults({ request: 'rejectPoison' });
  await bench.settled(52);
  assert.equal(bench.queue.state.ledger.dead, 1);
});

test('a publisher with many refused keys leaves room for those of the others', () => {
  let now = 0;
  const keys = new RefusedKeys({ now: () => now, keysMax: 100 });
  const fail = (owner: string, count: number): number => {
    const names = Array.from({ length: count }, (_, index) => `${owner}-${index}`);
    for (const name of names) keys.failed(name, 'InternalFailure', () => owner);
    now += 5000;
    return names.filter((name) => keys.failed(name, 'InternalFailure', () => owner)).length;
  };
  assert.equal(fail('greedy', 1000), 50);
  assert.equal(fail('other', 1000), 25);
  for (let strap = 0; strap < 20; strap += 1) assert.equal(fail(`strap ${strap}`, 1), 1);
  assert.equal(keys.heldCount, 95);
  assert.deepEqual(
    keys.longestHeld(3).map(({ key }) => key),
    ['greedy-0', 'greedy-1', 'greedy-2'],
  );
  for (let index = 0; index < 50; index += 1) assert.ok(keys.ended(`greedy-${index}`), 'it was held');
  assert.equal(keys.heldCount, 45);
  assert.equal(fail('greedy', 1000), 28, 'as many as there is room left');
});
