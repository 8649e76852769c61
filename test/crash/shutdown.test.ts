import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { assertWhole, Processes } from './support/processes.ts';

test('restarts in order lose nothing and ship nothing twice: what is under way is finished, what is taken is committed', async (t) => {
  const processes = new Processes(t);
  const witness = await processes.startAll();
  for (const part of ['forwarder', 'gateway'] as const) {
    await processes.stop(part);
    await processes.start(part);
  }
  const { length } = witness.live;
  await eventually(() => witness.live.length > length + 10);
  await processes.stop('admin-api');
  await processes.stop('ble-bridge');
  const bridge = await eventually(() => {
    const status = witness.statuses.get('ble-bridge');
    return status?.state === 'offline' ? status.bridge : undefined;
  });
  const readings = await processes.drained();
  assertWhole(readings, bridge.run, bridge.outbox.last_seq);
  assert.equal(readings.length, bridge.outbox.last_seq, 'none twice');
  await processes.stop('forwarder');
  await processes.stop('local-kinesis');
  await processes.stop('gateway');
});

test('each service ends within 10 s though broker and stream are frozen; what the bridge held is on disk, what the forwarder took is queued', async (t) => {
  const processes = new Processes(t);
  const witness = await processes.startAll();
  const run = witness.live[0]?.run ?? '';
  processes.signal('local-kinesis', 'SIGSTOP');
  const before = witness.live.length;
  await eventually(() => witness.live.length > before + 50);
  processes.signal('gateway', 'SIGSTOP');
  await new Promise((resolve) => setTimeout(resolve, 500));
  const [bridgeMs, forwarderMs] = await Promise.all([processes.stop('ble-bridge'), processes.stop('forwarder'), processes.stop('admin-api')]);
  t.diagnostic(`bridge ${Math.round(bridgeMs)} ms, forwarder ${Math.round(forwarderMs)} ms`);
  assert.ok(processes.spillFiles().length > 0);
  processes.signal('gateway', 'SIGCONT');
  processes.signal('local-kinesis', 'SIGCONT');
  const last = witness.live.at(-1)?.seq ?? 0;
  await processes.start('forwarder');
  await processes.start('ble-bridge');
  await eventually(() => processes.spillFiles().length === 0, { withinMs: 60_000 });
  await processes.stop('ble-bridge');
  const readings = await processes.drained();
  const seqs = readings.filter((reading) => reading.run === run).map(({ seq }) => seq);
  const newest = Math.max(...seqs);
  assert.ok(newest >= last);
  assertWhole(readings, run, newest);
});
