/** Many rows through the real queue thread, and a backlog through a real forwarder: depth, age and memory. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { Queue } from '../../../../forwarder/queue/queue.ts';
import { MqttLink } from '../../../../service/mqtt/mqtt-link.ts';
import type { ForwarderStatus } from '../../../../contract/forwarder-status.ts';
import { parseServiceStatus } from '../../../../contract/service-status.ts';
import { GatewayService } from '../../../../gateway/service.ts';
import { eventually } from '../../../support/eventually.ts';
import { startLocalStream } from '../../../support/local-stream.ts';
import { startProduct } from '../../../support/product-process.ts';
import { tempDir } from '../../../support/temp-dir.ts';
import { testConfig, testLog } from '../../../support/test-config.ts';
import { appendOf } from './queue-files.ts';

const MiB = 1024 * 1024;
const PER_APPEND = 500;

const rssMiB = (): number => Math.round(process.memoryUsage().rss / MiB);

async function openQueue(folder: string): Promise<Queue> {
  const queue = new Queue(testConfig({ DATA_DIR: folder, QUEUE_MIN_FREE_DISK_BYTES: '0', QUEUE_MAX_BYTES: '4GiB' }));
  await queue.start();
  return queue;
}

/** Appends as many, a few commits ahead at most. `each` is called about every tenth of it. */
async function fill(queue: Queue, rows: number, each: () => void): Promise<void> {
  let committed = queue.state.ledger.accepted;
  const listener = ({ watermarks }: { watermarks: { stored: number }[] }): void =>
    void (committed = Math.max(committed, ...watermarks.map(({ stored }) => stored)));
  queue.on('committed', listener);
  for (let from = committed + 1; from <= rows; from += PER_APPEND) {
    queue.append(appendOf(from, Math.min(PER_APPEND, rows - from + 1)));
    if (from - committed > 10 * PER_APPEND)
      await eventually(() => from - committed <= 5 * PER_APPEND, { everyMs: 1, withinMs: 60_000 });
    if (Math.floor(from / (rows / 10)) !== Math.floor((from - PER_APPEND) / (rows / 10))) each();
  }
  await eventually(() => committed === rows, { withinMs: 60_000 });
  queue.off('committed', listener);
}

export interface ManyRows {
  rows: number;
  /** Memory of this process after the first tenth, and the most after it. */
  rssMiB: { early: number; most: number };
  bytesARow: number;
  seconds: { fill: number; open: number; drain: number };
}

/** Fills the queue, closes and opens it, and takes everything, checking depth and oldest age along the way. */
export async function throughQueue(t: TestContext, rows: number): Promise<ManyRows> {
  const folder = tempDir(t);
  const filled = await openQueue(folder);
  t.after(() => filled.stop());
  const samples: number[] = [];
  const startedAt = Date.now();
  await fill(filled, rows, () => void samples.push(rssMiB()));
  const filledAt = Date.now();
  assert.equal(filled.depth, rows);
  const oldest = filled.state.oldestAcceptedAtMs ?? 0;
  assert.ok(oldest >= startedAt && oldest <= filledAt);
  const bytesARow = Math.round(filled.state.bytes / rows);
  await filled.stop();
  const queue = await openQueue(folder);
  t.after(() => queue.stop());
  const openedAt = Date.now();
  assert.equal(queue.depth, rows);
  assert.equal(queue.state.oldestAcceptedAtMs, oldest, 'a restart makes nothing younger');
  let taken = 0;
  while (taken < rows) {
    const batch = await queue.take({ maxRows: 2000, maxBytes: 4 * MiB });
    for (const { data } of batch) {
      taken += 1;
      if ((JSON.parse(data) as { seq: number }).seq !== taken) assert.fail(`row ${taken} is ${data}`);
    }
    queue.acknowledge(batch.map(({ id }) => id));
    if (Math.floor(taken / (rows / 10)) !== Math.floor((taken - batch.length) / (rows / 10))) {
      samples.push(rssMiB());
      await eventually(() => queue.depth === rows - taken);
      const { oldestAcceptedAtMs: age } = queue.state;
      assert.equal(age === null, taken === rows);
      if (age !== null) assert.ok(age >= oldest && age <= filledAt);
    }
  }
  await eventually(() => queue.state.ledger.shipped === rows);
  assert.deepEqual(queue.state.ledger, { accepted: rows, shipped: rows, queued: 0, dead: 0, evicted: 0, missed: 0 });
  const seconds = {
    fill: (filledAt - startedAt) / 1000,
    open: (openedAt - filledAt) / 1000,
    drain: (Date.now() - openedAt) / 1000,
  };
  return { rows, rssMiB: { early: samples[0] ?? 0, most: Math.max(...samples) }, bytesARow, seconds };
}

function rssOf(pid: number): number {
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024);
}

export interface Backlog {
  rows: number;
  rssMiB: { early: number; most: number };
  seconds: number;
}

/** A real forwarder that finds a backlog and ships it to a local stream without limits. */
export async function throughForwarder(t: TestContext, rows: number): Promise<Backlog> {
  const folder = tempDir(t);
  const filled = await openQueue(folder);
  t.after(() => filled.stop());
  await fill(filled, rows, () => undefined);
  await filled.stop();
  const config = testConfig({ DATA_DIR: folder });
  const gateway = new GatewayService({ config, log: testLog(config) });
  await gateway.start();
  t.after(() => gateway.stop());
  const MQTT_URL = `mqtt://127.0.0.1:${gateway.mqttPort}`;
  const statuses: ForwarderStatus[] = [];
  const watcher = new MqttLink({
    service: 'admin-api',
    config: { ...config, MQTT_URL },
    log: testLog(config),
    subscriptions: {
      'edge/test-box/forwarder/status': (_, payload) => {
        const parsed = parseServiceStatus(payload);
        if (parsed.ok && parsed.value.forwarder !== undefined) statuses.push(parsed.value.forwarder);
      },
    },
  });
  watcher.start();
  t.after(() => watcher.stop());
  await eventually(() => watcher.connected);
  const stream = await startLocalStream(t, { LOCAL_KINESIS_LIMITS: 'false' });
  const startedAt = performance.now();
  const forwarder = startProduct(t, 'forwarder/main', {
    DATA_DIR: folder,
    GATEWAY_NAME: 'test-box',
    MQTT_URL,
    LOCAL_KINESIS_PORT: String(stream.port),
    QUEUE_MIN_FREE_DISK_BYTES: '0',
  });
  await forwarder.event('started');
  const samples: number[] = [];
  await eventually(
    () => {
      samples.push(rssOf(forwarder.pid));
      return statuses.at(-1)?.ledger.shipped === rows;
    },
    { everyMs: 100, withinMs: 20 * 60_000 },
  );
  const seconds = Math.round((performance.now() - startedAt) / 100) / 10;
  for (const { ledger, depth, oldest_age_seconds: age } of statuses) {
    assert.equal(ledger.accepted, ledger.shipped + ledger.queued + ledger.dead + ledger.evicted);
    assert.equal(depth, ledger.queued);
    assert.equal(age > 0, depth > 0);
  }
  assert.deepEqual({ ...statuses.at(-1)?.ledger }, { accepted: rows, shipped: rows, queued: 0, dead: 0, evicted: 0, missed: 0 });
  assert.equal(await forwarder.end(), 0);
  const seqs = new Set((await stream.readAll()).map(({ seq }) => seq));
  assert.equal(seqs.size, rows);
  return { rows, rssMiB: { early: samples[Math.floor(samples.length / 5)] ?? 0, most: Math.max(...samples) }, seconds };
}
