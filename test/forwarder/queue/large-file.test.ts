import assert from 'node:assert/strict';
import { once } from 'node:events';
import { cpSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { parseServiceStatus, type ServiceStatus } from '../../../contract/service-status.ts';
import { Queue } from '../../../forwarder/queue/queue.ts';
import { GatewayService } from '../../../gateway/service.ts';
import { MqttLink } from '../../../service/mqtt/mqtt-link.ts';
import { eventually } from '../../support/eventually.ts';
import { startProduct } from '../../support/product-process.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig, testLog } from '../../support/test-config.ts';
import { openFile, readingOf, RUN } from './support/queue-files.ts';

const BATCH = 500;

/** Writes a queue file with rows of about 20 KB. Returns the number of rows. */
function largeFile(folder: string, megabytes: number): number {
  const file = openFile(folder);
  const padding = 'x'.repeat(20_000);
  const rows = Math.ceil((megabytes * 1e6) / 20_000 / BATCH) * BATCH;
  for (let from = 1; from <= rows; from += BATCH) {
    const seqs = Array.from({ length: BATCH }, (_, index) => from + index);
    file.commit([
      {
        rows: {
          data: seqs.map((seq) => readingOf(seq, { padding })),
          devices: seqs.map(() => 'strap-1'),
          sources: seqs.map(() => 0),
        },
        dead: [],
        watermarks: [{ gateway: 'test-box', run: RUN, stored: from + BATCH - 1, missed: {} }],
      },
    ]);
  }
  file.close();
  return rows;
}

async function watchStatus(
  t: TestContext,
  home: string,
): Promise<{ MQTT_URL: string; statuses: ServiceStatus[]; metrics: string[][] }> {
  const config = testConfig({ DATA_DIR: home });
  const gateway = new GatewayService({ config, log: testLog(config) });
  await gateway.start();
  t.after(() => gateway.stop());
  const MQTT_URL = `mqtt://127.0.0.1:${gateway.mqttPort}`;
  const statuses: ServiceStatus[] = [];
  const metrics: string[][] = [];
  const watcher = new MqttLink({
    service: 'admin-api',
    config: { ...config, MQTT_URL },
    log: testLog(config),
    subscriptions: {
      'edge/test-box/forwarder/status': (_, payload) => {
        const parsed = parseServiceStatus(payload);
        if (parsed.ok && parsed.value.state === 'online') statuses.push(parsed.value);
      },
      'edge/test-box/forwarder/metrics': (_, payload) =>
        void metrics.push((JSON.parse(payload.toString()) as { metrics: { name: string }[] }).metrics.map(({ name }) => name)),
    },
  });
  watcher.start();
  t.after(() => watcher.stop());
  await eventually(() => watcher.connected);
  return { MQTT_URL, statuses, metrics };
}

test('a large queue is checked after the start: it reports why it accepts nothing, then opens with every row', async (t) => {
  const folder = tempDir(t);
  const rows = largeFile(folder, 80);
  const queue = new Queue(testConfig({ DATA_DIR: folder }));
  await queue.start();
  t.after(() => queue.stop());
  assert.equal(queue.isOpen, false);
  assert.notEqual(queue.state.mode, 'open');
  assert.equal(queue.state.mode, 'checking');
  assert.equal(queue.state.reason?.code, 'queue_checking');
  assert.match(queue.state.reason.detail, /\d+ MB/);
  assert.equal(queue.state.ledger.queued, rows, 'the counts of the last commit are shown meanwhile');
  assert.ok(queue.state.oldestAcceptedAtMs !== null);
  const [watermarks] = (await once(queue, 'opened')) as [{ stored: number }[]];
  assert.equal(watermarks[0]?.stored, rows);
  assert.equal(queue.state.mode, 'open');
  assert.equal(queue.state.ledger.queued, rows);
});

test('a forwarder with a large queue starts at once, reports the check in health, and no counter falls to zero', async (t) => {
  const home = tempDir(t);
  const folder = tempDir(t);
  const rows = largeFile(folder, 300);
  const { MQTT_URL, statuses, metrics } = await watchStatus(t, home);
  cpSync(path.join(home, 'keys'), path.join(folder, 'keys'), { recursive: true });
  const forwarder = startProduct(t, 'forwarder/main', {
    DATA_DIR: folder,
    GATEWAY_NAME: 'test-box',
    MQTT_URL,
    KINESIS_TARGET: 'http://127.0.0.1:9',
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
    AWS_REGION: 'us-east-1',
  });
  await forwarder.event('queue_checking');
  await eventually(() => statuses.at(-1)?.checks?.find(({ name }) => name === 'queue')?.status === 'ok', { withinMs: 60_000 });
  assert.deepEqual([...new Set(statuses.map(({ forwarder: reported }) => reported?.depth))], [rows]);
  const first = statuses[0]?.checks?.find(({ name }) => name === 'queue');
  assert.equal(first?.status, 'warn');
  assert.match(first.reason, /^checking \d+ MB/);
  assert.equal(statuses.at(-1)?.checks?.find(({ name }) => name === 'queue')?.status, 'ok');
  assert.equal(metrics[0]?.includes('hr_gateway_readings_accepted_total'), false);
  assert.ok(!forwarder.lines().some(({ level }) => level === 'error'), forwarder.output());
  assert.equal(await forwarder.end(), 0);
});
