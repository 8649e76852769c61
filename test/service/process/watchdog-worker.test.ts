import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { productArgs, startProduct } from '../../support/product-process.ts';
import { tempDir } from '../../support/temp-dir.ts';

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

test('the first process of a container, which signals from inside cannot kill, is ended too', async (t) => {
  if (spawnSync('unshare', ['--pid', '--fork', 'true']).status !== 0) {
    assert.notEqual(process.env['CI'], 'true', 'a process namespace cannot be made in CI');
    return t.skip('a process namespace cannot be made here (needs root and unshare)');
  }
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
