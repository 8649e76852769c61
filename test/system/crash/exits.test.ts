import assert from 'node:assert/strict';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer, type AddressInfo } from 'node:net';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Queue } from '../../../forwarder/queue/queue.ts';
import { bridgeEnvironment, spilledReadings, superviseBridge } from './support/bridge-exits.ts';
import { getJson, startOneProcess, type OneProcess, type QueueAnswer } from '../pipeline/support/one-process.ts';
import { appendOf } from '../../forwarder/queue/support/queue-files.ts';
import { eventually } from '../../support/eventually.ts';
import { startProduct, type ProductProcess } from '../../support/product-process.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig } from '../../support/test-config.ts';

/** A stream that takes connections and never answers. */
async function silentStream(t: TestContext): Promise<Record<string, string>> {
  const silent = createServer((socket) => socket.on('error', () => {}));
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  t.after(() => silent.close());
  return {
    KINESIS_TARGET: `http://127.0.0.1:${(silent.address() as AddressInfo).port}`,
    AWS_REGION: 'eu-west-1',
    AWS_ACCESS_KEY_ID: 'x',
    AWS_SECRET_ACCESS_KEY: 'y',
    BLE_SOURCE: 'simulated',
    ALLOW_TEST_READINGS: 'true',
  };
}

const damagedFiles = (folder: string): string[] => readdirSync(folder).filter((name) => name.startsWith('queue.damaged'));

/** Opens the queue as the next start does, and returns how many readings are in it. Fails if it counts as damaged. */
async function assertHealthy(folder: string): Promise<number> {
  const queue = new Queue(testConfig({ DATA_DIR: folder }));
  await queue.start();
  const { ledger, damage } = queue.state;
  await queue.stop();
  assert.equal(damage, null);
  assert.deepEqual(damagedFiles(folder), []);
  assert.equal(ledger.accepted, ledger.shipped + ledger.queued + ledger.dead + ledger.evicted);
  return ledger.queued;
}

async function startHanging(t: TestContext, folder: string, options: { nodeArgs?: string[] } = {}): Promise<OneProcess> {
  const box = startOneProcess(t, folder, { WATCHDOG_TIMEOUT_MS: '0', ...(await silentStream(t)) }, options);
  const { admin } = await box.addresses();
  await eventually(async () => (await getJson<QueueAnswer>(`${admin}/queue`)).ledger.accepted >= 3);
  return box;
}

for (const [signal, afterMs] of [
  ['SIGINT', 700],
  ['SIGTERM', 50],
] as const)
  test(`a second ${signal} after ${afterMs} ms, while the stream hangs, changes nothing: the queue is closed, exit code 0`, async (t) => {
    const folder = tempDir(t);
    const box = await startHanging(t, folder);
    box.child.kill(signal);
    await sleep(afterMs);
    box.child.kill(signal);
    assert.equal(await box.ended, 0, box.output());
    assert.ok(!existsSync(path.join(folder, 'queue.db-wal')), 'the queue was closed in order');
    assert.ok((await assertHealthy(folder)) >= 3);
  });

test('a signal later than 2 s speeds up the stop, and the queue is still closed', async (t) => {
  const folder = tempDir(t);
  // The stop of the first service takes for ever.
  const slow = path.join(folder, 'slow.cjs');
  writeFileSync(
    slow,
    `const { Server } = require('node:http'); const close = Server.prototype.close;
     Server.prototype.close = function (done) { setTimeout(() => close.call(this, done), 6500); return this; };`,
  );
  const box = await startHanging(t, folder, { nodeArgs: ['--require', slow] });
  const startedAt = performance.now();
  box.child.kill('SIGTERM');
  await sleep(2300);
  assert.ok(existsSync(path.join(folder, 'queue.db-wal')), 'the stop waits for the first service');
  box.child.kill('SIGTERM');
  await eventually(() => !existsSync(path.join(folder, 'queue.db-wal')), { withinMs: 3500, what: 'the queue is closed' });
  await box.ended;
  assert.ok(performance.now() - startedAt < 9000);
  assert.ok(box.lines().some((line) => line['event'] === 'stop_hurried'));
  assert.ok((await assertHealthy(folder)) >= 3);
});

test('SIGHUP stops in order', async (t) => {
  const folder = tempDir(t);
  const box = await startHanging(t, folder);
  assert.equal(await box.end('SIGHUP'), 0, box.output());
  assert.ok((await assertHealthy(folder)) >= 3);
});

/** Loaded into every thread: the queue's thread does something some time after its start. */
const inQueueThread = (code: string): string => `
const { isMainThread, workerData } = require('node:worker_threads');
if (!isMainThread && String(workerData?.file).endsWith('queue.db')) setTimeout(() => { ${code} }, 2500);
`;

/** A forwarder that has run before, so that it has a queue; its queue thread does `code` some time after the start. */
async function forwarderWith(
  t: TestContext,
  folder: string,
  code: string,
  watchdogMs: number,
  nodeArgs: readonly string[] = [],
): Promise<ProductProcess> {
  const queue = new Queue(testConfig({ DATA_DIR: folder }));
  await queue.start();
  queue.append(appendOf(1, 5));
  await eventually(() => queue.state.ledger.accepted === 5);
  await queue.stop();
  const preload = path.join(folder, 'preload.cjs');
  writeFileSync(preload, code);
  return startProduct(
    t,
    'forwarder/main',
    {
      DATA_DIR: folder,
      WATCHDOG_TIMEOUT_MS: String(watchdogMs),
      MQTT_URL: 'mqtt://127.0.0.1:1',
      KINESIS_TARGET: 'http://127.0.0.1:1',
    },
    { nodeArgs: ['--require', preload, ...nodeArgs] },
  );
}

/** A connection that nobody closed in order is closed by the cleanup of its thread. */
const onceAsked = (inMainThread: boolean, code: string): string => `
const { isMainThread, workerData } = require('node:worker_threads');
const { existsSync } = require('node:fs');
if (${inMainThread} ? isMainThread : String(workerData?.file).endsWith('queue.db'))
  setInterval(() => { if (existsSync(process.env.DATA_DIR + '/go')) { ${code} } }, 50).unref();
`;
const FILL_MEMORY = 'const kept = []; for (;;) kept.push(new Array(1e5).fill(0).map(() => ({})));';

for (const [what, code, nodeArgs] of [
  ['a call of process.exit by a library', onceAsked(true, 'process.exit(3)'), []],
  ['a queue thread that ran out of memory', onceAsked(false, FILL_MEMORY), ['--max-old-space-size=150']],
] as const)
  test(`after ${what} the next start finds the queue whole`, async (t) => {
    const folder = tempDir(t);
    const forwarder = await forwarderWith(t, folder, code, 0, nodeArgs);
    await eventually(() => existsSync(path.join(folder, 'queue.db-wal')), { what: 'the queue is open' });
    await sleep(1000);
    writeFileSync(path.join(folder, 'go'), '');
    assert.notEqual(await forwarder.ended, 0, forwarder.output());
    assert.equal(await assertHealthy(folder), 5);
  });

for (const [what, code, watchdogMs, signal] of [
  ['a fatal error in the queue thread', `throw new Error('injected');`, 0, undefined],
  ['the watchdog', 'for (;;);', 1500, undefined],
  ['a stop that takes too long, because the queue thread hangs', 'for (;;);', 0, 'SIGTERM'],
] as const)
  test(`after ${what} the next start finds the queue whole`, async (t) => {
    const folder = tempDir(t);
    const forwarder = await forwarderWith(t, folder, inQueueThread(code), watchdogMs);
    await forwarder.event('started');
    if (signal !== undefined) {
      await sleep(3000);
      forwarder.child.kill(signal);
    }
    assert.notEqual(await forwarder.ended, 0);
    assert.equal(await assertHealthy(folder), 5);
  });

test('a forwarder that is stopped while it opens its queue leaves it whole', async (t) => {
  const folder = tempDir(t);
  const queue = new Queue(testConfig({ DATA_DIR: folder }));
  await queue.start();
  queue.append(appendOf(1, 5));
  await eventually(() => queue.state.ledger.accepted === 5);
  await queue.stop();
  // Opening ends with a checkpoint, which takes long here.
  const slow = path.join(folder, 'slow.cjs');
  const name = Number(process.versions['napi']) >= 10 ? 'better-sqlite3' : 'better-sqlite3-node20';
  writeFileSync(
    slow,
    `const { isMainThread } = require('node:worker_threads');
     if (!isMainThread) {
       const { prototype } = require(${JSON.stringify(createRequire(import.meta.url).resolve(name))});
       const pragma = prototype.pragma;
       prototype.pragma = function (...args) {
         const result = pragma.apply(this, args);
         if (String(args[0]).startsWith('wal_checkpoint')) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2000);
         return result;
       };
     }`,
  );
  const forwarder = startProduct(
    t,
    'forwarder/main',
    { DATA_DIR: folder, WATCHDOG_TIMEOUT_MS: '0', MQTT_URL: 'mqtt://127.0.0.1:1', KINESIS_TARGET: 'http://127.0.0.1:1' },
    { nodeArgs: ['--require', slow] },
  );
  await eventually(() => existsSync(path.join(folder, 'queue.db-wal')), { everyMs: 1 });
  await sleep(800);
  assert.equal(await forwarder.end(), 0, forwarder.output());
  assert.equal(await assertHealthy(folder), 5);
});

test('a bridge that is signalled twice spills all readings that it holds', async (t) => {
  const folder = tempDir(t);
  const bridge = startProduct(t, 'ble-bridge/main', bridgeEnvironment(folder));
  await bridge.event('started');
  await sleep(2000);
  bridge.child.kill('SIGINT');
  bridge.child.kill('SIGTERM');
  await sleep(5);
  bridge.child.kill('SIGTERM');
  assert.equal(await bridge.ended, 0, bridge.output());
  assert.ok(spilledReadings(folder) > 0);
});

test('a bridge whose parent was killed spills what it holds and ends itself', async (t) => {
  const folder = tempDir(t);
  const parent = await superviseBridge(t, folder);
  await sleep(2500);
  process.kill(parent.pid, 'SIGKILL');
  await eventually(() => !parent.bridgeRuns(), { withinMs: 15_000, what: 'the bridge has ended' });
  assert.ok(spilledReadings(folder) > 0);
});
