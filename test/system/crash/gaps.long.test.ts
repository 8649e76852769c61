import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../../support/eventually.ts';
import { gapsOf, lastOfBridge } from './support/gaps-seen.ts';
import { Processes } from './support/processes.ts';

test('a full queue evicts the oldest readings, publishes the gap, and ships the rest once the stream is back', async (t) => {
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
  assert.equal(new Set(readings.map(({ seq }) => seq)).size + ledger.evicted, last);
});
