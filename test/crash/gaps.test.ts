import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseGap } from '../../contract/device-status.ts';
import { eventually } from '../support/eventually.ts';
import { Processes } from './support/processes.ts';
import type { Witness } from './support/witness.ts';

async function lastOfBridge(witness: Witness): Promise<{ run: string; last: number }> {
  return await eventually(() => {
    const status = witness.statuses.get('ble-bridge');
    return status?.state === 'offline' && status.bridge !== undefined ? { run: status.bridge.run, last: status.bridge.outbox.last_seq } : undefined;
  });
}

/** Gaps of a cause; each a gap by its schema, and forward in time. */
function gapsOf(witness: Witness, cause: string): Witness['gaps'] {
  const gaps = witness.gaps.filter((gap) => gap.cause === cause);
  for (const gap of gaps) {
    assert.ok(parseGap(JSON.stringify(gap)).ok);
    assert.ok(Date.parse(gap.from) <= Date.parse(gap.to), JSON.stringify(gap));
    assert.match(gap.device, /^replay-numbered-/);
  }
  return gaps;
}

test('a bridge and a broker that were both away: the gap is said once readings come again, from the last reading on', async (t) => {
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

test('an outbox that overflows says the gap and counts it; the forwarder books as much, by that cause, and has all the rest', async (t) => {
  const processes = new Processes(t, { everyMs: 2, environment: { OUTBOX_MEMORY: '100', OUTBOX_MAX_BYTES: '65536', OUTBOX_WINDOW: '50' } });
  const witness = await processes.startAll();
  await processes.kill('forwarder');
  await eventually(() => gapsOf(witness, 'outbox_full').length > 0);
  await processes.start('forwarder');
  await eventually(() => (witness.statuses.get('forwarder')?.forwarder?.causes.missed['outbox_full'] ?? 0) > 0);
  await processes.stop('ble-bridge');
  const { run, last } = await lastOfBridge(witness);
  // What is left on disk is brought by the next one; it has nothing to send of its own.
  await processes.start('ble-bridge', { BLE_SOURCE: 'noble', BLE_ADAPTER: 'hci9' });
  const readings = await processes.drained();
  const there = new Set(readings.filter((reading) => reading.run === run).map(({ seq }) => seq));
  const { causes, ledger } = witness.statuses.get('forwarder')?.forwarder ?? {};
  assert.deepEqual(causes?.missed, { outbox_full: last - there.size });
  assert.deepEqual(ledger, { accepted: there.size, shipped: there.size, queued: 0, dead: 0, evicted: 0, missed: last - there.size });
});

test('a queue at its limit gives the oldest up, says the gap, and the rest arrives once the stream is back', async (t) => {
  const processes = new Processes(t, { everyMs: 2, environment: { QUEUE_MAX_BYTES: '1048576' } });
  const witness = await processes.startAll();
  processes.signal('local-kinesis', 'SIGSTOP');
  await eventually(() => gapsOf(witness, 'evicted').length > 0, { withinMs: 60_000 });
  processes.signal('local-kinesis', 'SIGCONT');
  await processes.stop('ble-bridge');
  const { last } = await lastOfBridge(witness);
  const readings = await processes.drained();
  const { causes, ledger } = witness.statuses.get('forwarder')?.forwarder ?? {};
  assert.ok((causes?.evicted['queue_full'] ?? 0) > 0);
  assert.equal(ledger?.accepted, last);
  assert.equal(new Set(readings.map(({ seq }) => seq)).size + (ledger?.evicted ?? 0), last);
});
