import assert from 'node:assert/strict';
import { once } from 'node:events';
import { cpSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { BridgeOutbox } from '../../../ble-bridge/publishing/bridge-outbox.ts';
import { parseServiceStatus, type ServiceStatus } from '../../../contract/service-status.ts';
import { Queue } from '../../../forwarder/queue/queue.ts';
import type { QueueState } from '../../../forwarder/queue/queue-messages.ts';
import { GatewayService } from '../../../gateway/service.ts';
import { MqttLink } from '../../../service/mqtt/mqtt-link.ts';
import { openDatabase } from '../../../service/storage/sqlite.ts';
import { cannotRun } from '../../support/cannot-run.ts';
import { eventually } from '../../support/eventually.ts';
import { startProduct } from '../../support/product-process.ts';
import { smallDisk, type SmallDisk } from '../../support/small-disk.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig, testLog } from '../../support/test-config.ts';
import { appendOf } from './support/queue-files.ts';

const MiB = 1024 * 1024;
const NO_MOUNT = 'a small file system cannot be mounted here';

interface Bench {
  queue: Queue;
  /** The highest committed watermark. */
  committed(): number;
  refusals(): number;
}

async function open(t: TestContext, disk: SmallDisk): Promise<Bench> {
  const queue = new Queue(testConfig({ DATA_DIR: disk.folder, QUEUE_MIN_FREE_DISK_BYTES: '0', QUEUE_COMMIT_INTERVAL_MS: '0' }));
  let committed = 0;
  let refusals = 0;
  queue.on('committed', ({ watermarks }) => void (committed = Math.max(committed, ...watermarks.map(({ stored }) => stored))));
  queue.on('refused', () => void (refusals += 1));
  await queue.start();
  t.after(() => queue.stop());
  return { queue, committed: () => committed, refusals: () => refusals };
}

const balanced = ({ ledger }: QueueState): boolean =>
  ledger.accepted === ledger.shipped + ledger.queued + ledger.dead + ledger.evicted;

/** Appends readings until the queue rejects writes. */
async function fillUp({ queue, committed }: Bench): Promise<void> {
  while (queue.state.mode === 'open') {
    const before = committed();
    queue.append(appendOf(before + 1, 250));
    await eventually(() => committed() > before || queue.state.mode !== 'open');
  }
}

async function shipAll(queue: Queue): Promise<void> {
  for (;;) {
    const rows = await queue.take({ maxRows: 1000, maxBytes: 10 * MiB });
    if (rows.length === 0) return;
    queue.acknowledge(rows.map(({ id }) => id));
  }
}

function rowsOnDisk(folder: string): number {
  const database = openDatabase(path.join(folder, 'queue.db'), { readonly: true });
  try {
    return (database.prepare('SELECT count(*) AS rows FROM rows').get() as { rows: number }).rows;
  } finally {
    database.close();
  }
}

test('on a full disk the queue keeps every row, commits deletes of shipped ones, and accepts again once there is space', async (t) => {
  const disk = smallDisk(12 * MiB);
  if (disk === undefined) return cannotRun(t, NO_MOUNT);
  const bench = await open(t, disk);
  const { queue } = bench;
  await eventually(() => queue.state.mode === 'open');
  disk.fillTo(3 * MiB);
  await fillUp(bench);
  assert.equal(queue.state.reason?.code, 'disk_full');
  const accepted = bench.committed();
  assert.ok(accepted > 0 && bench.refusals() > 0);
  assert.equal(queue.state.ledger.accepted, accepted);
  assert.ok(balanced(queue.state));
  // Further readings are refused, and the watermark stays.
  queue.append(appendOf(accepted + 1, 10));
  await eventually(() => bench.refusals() > 1);
  assert.equal(bench.committed(), accepted);
  // Only the released reserve is free now: shipping still empties the file.
  await shipAll(queue);
  await eventually(() => queue.state.ledger.shipped === accepted && rowsOnDisk(disk.folder) === 0);
  assert.ok(balanced(queue.state));
  disk.clear();
  await eventually(() => queue.state.mode === 'open');
  assert.equal(queue.state.reason, null);
  queue.append(appendOf(accepted + 1, 100));
  await eventually(() => bench.committed() === accepted + 100);
  assert.ok(balanced(queue.state));
});

test('a queue that filled its disk returns free pages after shipping and accepts again', async (t) => {
  const disk = smallDisk(12 * MiB);
  if (disk === undefined) return cannotRun(t, NO_MOUNT);
  const bench = await open(t, disk);
  const { queue } = bench;
  await fillUp(bench);
  const accepted = bench.committed();
  assert.ok(accepted > 10_000, String(accepted));
  await shipAll(queue);
  await eventually(() => queue.state.mode === 'open', {
    what: `accepting again: ${queue.state.reason?.detail}, ${disk.freeBytes()} free`,
  });
  queue.append(appendOf(accepted + 1, 100));
  await eventually(() => bench.committed() === accepted + 100);
  assert.deepEqual(queue.state.ledger, {
    accepted: accepted + 100,
    shipped: accepted,
    queued: 100,
    dead: 0,
    evicted: 0,
    missed: 0,
  });
});

test('a queue whose disk is full at the start reports it and opens once there is space', async (t) => {
  const disk = smallDisk(6 * MiB);
  if (disk === undefined) return cannotRun(t, NO_MOUNT);
  const first = await open(t, disk);
  first.queue.append(appendOf(1, 50));
  await eventually(() => first.committed() === 50);
  await first.queue.stop();
  disk.fillTo(0);
  // The space of the reserve is taken, too.
  writeFileSync(path.join(disk.folder, 'queue.db.reserve'), '');
  disk.fillTo(0);
  const { queue } = await open(t, disk);
  assert.notEqual(queue.state.mode, 'open');
  assert.equal(queue.state.reason?.code, 'disk_full');
  const opened = once(queue, 'opened');
  disk.clear();
  const [watermarks] = (await opened) as [{ stored: number }[]];
  assert.equal(watermarks[0]?.stored, 50);
  await eventually(() => queue.state.mode === 'open' && queue.state.ledger.queued === 50);
  assert.equal(queue.state.damage, null);
});

test('with less free space than QUEUE_MIN_FREE_DISK_BYTES nothing is accepted until there is more', async (t) => {
  const disk = smallDisk(12 * MiB);
  if (disk === undefined) return cannotRun(t, NO_MOUNT);
  const queue = new Queue(
    testConfig({ DATA_DIR: disk.folder, QUEUE_MIN_FREE_DISK_BYTES: '4MiB', QUEUE_COMMIT_INTERVAL_MS: '0' }),
  );
  await queue.start();
  t.after(() => queue.stop());
  disk.fillTo(3 * MiB);
  queue.append(appendOf(1, 5));
  await eventually(() => queue.state.mode !== 'open');
  assert.equal(queue.state.reason?.code, 'disk_low');
  assert.equal(queue.state.ledger.accepted, 5);
  disk.clear();
  await eventually(() => queue.state.mode === 'open');
});

test('a forwarder on a full disk reports it while its bridge holds; with space, every reading is stored once', async (t) => {
  const disk = smallDisk(12 * MiB);
  if (disk === undefined) return cannotRun(t, NO_MOUNT);
  const home = tempDir(t);
  const config = testConfig({ DATA_DIR: home });
  const gateway = new GatewayService({ config, log: testLog(config) });
  await gateway.start();
  t.after(() => gateway.stop());
  const MQTT_URL = `mqtt://127.0.0.1:${gateway.mqttPort}`;
  const linkConfig = { ...config, MQTT_URL };
  let link: MqttLink | undefined;
  const outbox = new BridgeOutbox({
    config: linkConfig,
    log: testLog(config),
    publish: (topic, payload) => link?.publish(topic, payload) ?? false,
    writableLength: () => 0,
  });
  link = new MqttLink({
    service: 'ble-bridge',
    config: linkConfig,
    log: testLog(config),
    subscriptions: () => outbox.subscriptions,
  });
  let status: ServiceStatus | undefined;
  const watcher = new MqttLink({
    service: 'admin-api',
    config: linkConfig,
    log: testLog(config),
    subscriptions: {
      'edge/test-box/forwarder/status': (_, payload) => {
        const parsed = parseServiceStatus(payload);
        if (parsed.ok) status = parsed.value;
      },
    },
  });
  link.on('up', () => outbox.up());
  outbox.start();
  link.start();
  watcher.start();
  t.after(async () => {
    await link.stop();
    await watcher.stop();
    await outbox.stop();
  });
  await eventually(() => link.connected && watcher.connected);
  cpSync(path.join(home, 'keys'), path.join(disk.folder, 'keys'), { recursive: true });
  const forwarder = startProduct(t, 'forwarder/main', {
    DATA_DIR: disk.folder,
    GATEWAY_NAME: 'test-box',
    MQTT_URL,
    QUEUE_MIN_FREE_DISK_BYTES: '0',
    KINESIS_TARGET: 'http://127.0.0.1:9',
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
    AWS_REGION: 'us-east-1',
  });
  await forwarder.event('started');
  disk.fillTo(MiB);
  let taken = 0;
  const queueCheck = (): string => status?.checks?.find(({ name }) => name === 'queue')?.code ?? '';
  await eventually(
    () => {
      for (let n = 0; n < 200; n += 1) {
        outbox.accept({
          timestamp: new Date().toISOString(),
          heart_rate: 60 + (taken % 90),
          device: 'strap-1',
          rr_intervals_ms: [],
          sensor_contact: true,
          energy_expended_kj: null,
          clock: 'synced',
        });
        taken += 1;
      }
      return queueCheck().startsWith('disk_full');
    },
    { everyMs: 100, withinMs: 60_000 },
  );
  await eventually(() => outbox.held > 0);
  assert.equal(forwarder.child.exitCode, null);
  disk.clear();
  await eventually(() => outbox.held === 0 && status?.forwarder?.ledger.queued === taken, { withinMs: 90_000 });
  assert.deepEqual(status?.forwarder?.ledger, { accepted: taken, shipped: 0, queued: taken, dead: 0, evicted: 0, missed: 0 });
  await eventually(() => queueCheck() === '');
  assert.equal(await forwarder.end(), 0);
});

test('an outbox whose disk is full keeps its readings in memory, reports it, and writes them once there is space', async (t) => {
  const disk = smallDisk(2 * MiB);
  if (disk === undefined) return cannotRun(t, NO_MOUNT);
  const config = testConfig({ DATA_DIR: disk.folder, OUTBOX_MEMORY: '1000' });
  const outbox = new BridgeOutbox({ config, log: testLog(config), publish: () => false, writableLength: () => 0 });
  outbox.start();
  t.after(() => outbox.stop());
  disk.fillTo(0);
  for (let n = 0; n < 600; n += 1)
    outbox.accept({
      timestamp: new Date().toISOString(),
      heart_rate: 70,
      device: 'strap-1',
      rr_intervals_ms: [],
      sensor_contact: true,
      energy_expended_kj: null,
      clock: 'synced',
    });
  await eventually(() => outbox.checks().some(({ code }) => code === 'spill_failed' || code.startsWith('outbox')));
  assert.equal(outbox.held, 600);
  assert.equal(outbox.status().dropped, 0);
  disk.clear();
  await eventually(() => outbox.status().spilled === 600);
  assert.equal(outbox.held, 600);
});
