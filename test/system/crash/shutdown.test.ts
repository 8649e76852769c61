import assert from 'node:assert/strict';
import { createServer, type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { getJson, startOneProcess, type QueueAnswer } from '../pipeline/support/one-process.ts';
import { eventually } from '../../support/eventually.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { assertWhole, Processes } from './support/processes.ts';

test('orderly restarts lose nothing and ship nothing twice: requests in flight are completed, accepted readings committed', async (t) => {
  const processes = new Processes(t);
  const witness = await processes.startAll();
  for (const part of ['forwarder', 'gateway'] as const) {
    await processes.stop(part);
    await processes.start(part);
  }
  // Bridge and forwarder are both back: watermarks advance.
  const before = witness.storedTotal;
  await eventually(() => witness.storedTotal > before + 10);
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

test('each service ends within 10 s while broker and stream are frozen; held readings are on disk, accepted ones queued', async (t) => {
  const processes = new Processes(t);
  const witness = await processes.startAll();
  const run = witness.live[0]?.run ?? '';
  processes.signal('local-kinesis', 'SIGSTOP');
  const before = witness.live.length;
  await eventually(() => witness.live.length > before + 50);
  processes.signal('gateway', 'SIGSTOP');
  await new Promise((resolve) => setTimeout(resolve, 500));
  const [bridgeMs, forwarderMs] = await Promise.all([
    processes.stop('ble-bridge'),
    processes.stop('forwarder'),
    processes.stop('admin-api'),
  ]);
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

test('npm start aborts a request that the stream never answers, ends within 10 s with exit code 0, and keeps its queue', async (t) => {
  const asked = { requests: 0 };
  const silent = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', () => {
      asked.requests += 1;
    });
  });
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  t.after(() => silent.close());
  const { port } = silent.address() as AddressInfo;
  const folder = tempDir(t);
  const environment = {
    KINESIS_TARGET: `http://127.0.0.1:${port}`,
    AWS_REGION: 'eu-west-1',
    AWS_ACCESS_KEY_ID: 'x',
    AWS_SECRET_ACCESS_KEY: 'y',
    BLE_SOURCE: 'simulated',
    ALLOW_TEST_READINGS: 'true',
  };
  const first = startOneProcess(t, folder, environment);
  const { admin } = await first.addresses();
  await eventually(async () => (await getJson<QueueAnswer>(`${admin}/queue`)).ledger.accepted >= 3 && asked.requests >= 2);
  const startedAt = performance.now();
  assert.equal(await first.end('SIGTERM'), 0, first.output());
  const ms = performance.now() - startedAt;
  t.diagnostic(`${Math.round(ms)} ms`);
  assert.ok(ms < 10_000, `${ms} ms`);
  const again = startOneProcess(t, folder, environment);
  const there = await again.addresses();
  const { ledger } = await eventually(async () => {
    const queue = await getJson<QueueAnswer>(`${there.admin}/queue`);
    return queue.ledger.accepted >= 3 ? queue : undefined;
  });
  assert.equal(ledger.shipped, 0);
  assert.equal(ledger.queued, ledger.accepted);
  assert.equal(await again.end('SIGTERM'), 0);
});
