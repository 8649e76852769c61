import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { cannotRun } from '../../support/cannot-run.ts';
import { productArgs, startProduct } from '../../support/product-process.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { damagedQueue } from '../../forwarder/queue/support/large-salvage.ts';

/** Loaded into every thread of the process: the thread that has this file open hangs some time after start. */
const HANG = `
const { isMainThread, workerData } = require('node:worker_threads');
if (!isMainThread && String(workerData?.file).endsWith(process.env.TEST_HANGS)) setTimeout(() => { for (;;); }, 2500);
`;

for (const [service, file, environment] of [
  ['forwarder', 'queue.db', { MQTT_URL: 'mqtt://127.0.0.1:1' }],
  ['local-kinesis', 'local-kinesis.db', { LOCAL_KINESIS_PORT: '0' }],
] as const)
  test(`a ${service} whose SQLite thread hangs is killed, and the log names the thread; a healthy one keeps running`, async (t) => {
    const folder = tempDir(t);
    const preload = path.join(folder, 'hang.cjs');
    writeFileSync(preload, HANG);
    const start = (hangs: string): ReturnType<typeof startProduct> =>
      startProduct(
        t,
        `${service}/main`,
        { DATA_DIR: path.join(folder, hangs), WATCHDOG_TIMEOUT_MS: '1500', TEST_HANGS: hangs, ...environment },
        { nodeArgs: ['--require', preload] },
      );
    const hanging = start(file);
    const well = start('nothing');
    assert.equal(await hanging.ended, 'SIGKILL', hanging.output());
    const line = hanging.lines().find((candidate) => candidate['event'] === 'watchdog');
    assert.match(String(line?.['thread']), service === 'forwarder' ? /queue worker/ : /stream worker/);
    // Longer than the hanging process lived.
    await well.event('started');
    await sleep(4000);
    assert.equal(await well.end(), 0, well.output());
  });

test('a queue thread that hangs before its file is open is killed', async (t) => {
  const folder = tempDir(t);
  const preload = path.join(folder, 'hang.cjs');
  // The first read of the file never ends.
  writeFileSync(
    preload,
    `const { isMainThread, workerData } = require('node:worker_threads');
     const fs = require('node:fs');
     const { existsSync } = fs;
     if (!isMainThread && String(workerData?.file).endsWith('queue.db')) {
       fs.existsSync = (file) => { if (String(file).endsWith('queue.db')) for (;;); return existsSync(file); };
       require('node:module').syncBuiltinESMExports();
     }`,
  );
  const hanging = startProduct(
    t,
    'forwarder/main',
    { DATA_DIR: path.join(folder, 'data'), WATCHDOG_TIMEOUT_MS: '1500', MQTT_URL: 'mqtt://127.0.0.1:1' },
    { nodeArgs: ['--require', preload] },
  );
  assert.equal(await hanging.ended, 'SIGKILL', hanging.output());
  assert.match(String(hanging.lines().find((line) => line['event'] === 'watchdog')?.['thread']), /queue worker/);
});

test('a starved machine, on which the thread that writes the line takes seconds to start, does not cost the line', async (t) => {
  const folder = tempDir(t);
  const preload = path.join(folder, 'hang.cjs');
  const slowWriter = `
if (!isMainThread && workerData?.text !== undefined) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 4000);`;
  writeFileSync(preload, HANG + slowWriter);
  const hanging = startProduct(
    t,
    'local-kinesis/main',
    { DATA_DIR: path.join(folder, 'data'), WATCHDOG_TIMEOUT_MS: '1500', TEST_HANGS: 'local-kinesis.db', LOCAL_KINESIS_PORT: '0' },
    { nodeArgs: ['--require', preload] },
  );
  assert.equal(await hanging.ended, 'SIGKILL', hanging.output());
  assert.match(String(hanging.lines().find((line) => line['event'] === 'watchdog')?.['thread']), /stream worker/);
});

test('a queue whose check and salvage take longer than the watchdog waits is not killed: reading and writing are progress', async (t) => {
  const folder = tempDir(t);
  damagedQueue(folder, 250_000);
  const forwarder = startProduct(t, 'forwarder/main', {
    DATA_DIR: folder,
    WATCHDOG_TIMEOUT_MS: '1000',
    MQTT_URL: 'mqtt://127.0.0.1:1',
    QUEUE_MIN_FREE_DISK_BYTES: '0',
  });
  const startedAt = performance.now();
  await forwarder.event('queue_damaged');
  assert.ok(performance.now() - startedAt > 2000, 'longer than the watchdog waits');
  assert.equal(await forwarder.end(), 0, forwarder.output());
});

test('the first process of a container, which signals from inside cannot kill, is ended too', async (t) => {
  if (spawnSync('unshare', ['--pid', '--fork', 'true']).status !== 0)
    return cannotRun(t, 'a process namespace cannot be made here (needs root and unshare)');
  const child = spawn(
    'unshare',
    ['--pid', '--fork', '--kill-child', process.execPath, ...productArgs('test/service/support/fixture-service')],
    {
      env: {
        PATH: process.env['PATH'],
        DATA_DIR: tempDir(t),
        GATEWAY_NAME: 'hangs-later',
        WATCHDOG_TIMEOUT_MS: '1500',
        LOG_PRETTY: 'false',
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  t.after(() => child.kill('SIGKILL'));
  let output = '';
  child.stdout.on('data', (chunk) => (output += String(chunk)));
  await new Promise((resolve) => child.once('close', resolve));
  assert.match(output, /"event":"watchdog"/);
  return undefined;
});
