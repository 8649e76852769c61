import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../../support/eventually.ts';
import { Processes } from './support/processes.ts';
import { gapsOf, lastOfBridge } from './support/gaps-seen.ts';

test('after an outage of bridge and broker the gap is published with the first reading, starting at the last reading before', async (t) => {
  const processes = new Processes(t);
  const witness = await processes.startAll();
  await processes.stop('ble-bridge');
  await processes.stop('gateway');
  const last = witness.live.at(-1)?.timestamp ?? '';
  await processes.start('gateway');
  await eventually(() => Date.now() - Date.parse(last) > 5500);
  await processes.start('ble-bridge');
  const [gap] = await eventually(() => {
    const gaps = gapsOf(witness, 'bridge_restart');
    return gaps.length > 0 ? gaps : undefined;
  });
  assert.equal(gap?.from, last);
  assert.equal(gapsOf(witness, 'bridge_restart').length, 1);
});

test('an outbox that overflows publishes the gap and counts it; the forwarder records it as missed and has all the rest', async (t) => {
  const processes = new Processes(t, {
    everyMs: 2,
    environment: { OUTBOX_MEMORY: '100', OUTBOX_MAX_BYTES: '65536', OUTBOX_WINDOW: '50' },
  });
  const witness = await processes.startAll();
  await processes.kill('forwarder');
  await eventually(() => gapsOf(witness, 'outbox_full').length > 0);
  await processes.start('forwarder');
  await eventually(() => (witness.statuses.get('forwarder')?.forwarder?.causes.missed['outbox_full'] ?? 0) > 0);
  await processes.stop('ble-bridge');
  const { run, last } = await lastOfBridge(witness);
  const readings = await processes.drained();
  const there = new Set(readings.filter((reading) => reading.run === run).map(({ seq }) => seq));
  const { causes, ledger } = witness.statuses.get('forwarder')?.forwarder ?? {};
  assert.deepEqual(causes?.missed, { outbox_full: last - there.size });
  assert.deepEqual(ledger, {
    accepted: there.size,
    shipped: there.size,
    queued: 0,
    dead: 0,
    evicted: 0,
    missed: last - there.size,
  });
});
