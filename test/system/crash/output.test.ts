import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, constants, existsSync, openSync, readFileSync, writeSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { cannotRun } from '../../support/cannot-run.ts';
import { eventually } from '../../support/eventually.ts';
import { productArgs } from '../../support/product-process.ts';
import { smallDisk } from '../../support/small-disk.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { getJson, type QueueAnswer } from '../pipeline/support/one-process.ts';

interface Health {
  checks: { name: string; code: string; reason: string; status: string }[];
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

interface Running {
  admin: string;
  folder: string;
  kill(signal: NodeJS.Signals): void;
  ended: Promise<number | string>;
}

/** Starts a module with standard output and error on this descriptor, which is closed here. */
async function startOn(
  t: TestContext,
  module: string,
  stdout: number,
  environment: Record<string, string> = {},
): Promise<Running> {
  const folder = tempDir(t);
  const port = await freePort();
  const child = spawn(process.execPath, productArgs(module), {
    env: {
      PATH: process.env['PATH'],
      DATA_DIR: folder,
      LOG_PRETTY: 'false',
      LOG_LEVEL: 'debug',
      MQTT_LISTEN_PORT: '0',
      MQTT_LISTEN_WS_PORT: '0',
      ADMIN_PORT: String(port),
      LOCAL_KINESIS_PORT: '0',
      BLE_SOURCE: 'simulated',
      ...environment,
    },
    stdio: ['ignore', stdout, stdout],
  });
  closeSync(stdout);
  const ended = new Promise<number | string>((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal ?? '')));
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return { admin: `http://127.0.0.1:${port}`, folder, ended, kill: (signal) => void child.kill(signal) };
}

/**
 * The product works: readings are accepted and shipped; health says that log lines are lost, at least so many: on a stalled output, lines
 * wait in memory first.
 */
async function assertContinues({ admin }: Running, reason: RegExp, lost = 1): Promise<void> {
  const shipped = async (): Promise<number> => (await getJson<QueueAnswer>(`${admin}/queue`)).ledger.shipped;
  const before = await eventually(shipped, { withinMs: 60_000, what: 'the page answers' }).then(() => shipped());
  await eventually(async () => (await shipped()) > before + 5, { what: 'readings are shipped' });
  await eventually(
    async () => {
      const { checks } = await getJson<Health>(`${admin}/health`);
      const check = checks.find(({ code }) => code === 'log_lines_lost');
      if (check?.status !== 'warn' || !reason.test(check.reason)) return false;
      // Metrics are published at other times, so they may be ahead.
      const metrics = await (await fetch(`${admin}/metrics`)).text();
      const counted = Number(/hr_gateway_log_lines_lost_total\{[^}]*service="forwarder"[^}]*\} (\d+)/.exec(metrics)?.[1] ?? -1);
      const reported = Number(/(\d+) log lines/.exec(check.reason)?.[1]);
      return reported >= lost && counted >= reported;
    },
    { withinMs: 40_000, everyMs: 500, what: 'health names the log' },
  );
}

/** A pipe that is full, and that nobody reads: a write to it never ends. */
function fullPipe(t: TestContext): number {
  const file = path.join(tempDir(t), 'pipe');
  assert.equal(spawnSync('mkfifo', [file]).status, 0);
  const reader = openSync(file, constants.O_RDWR | constants.O_NONBLOCK);
  t.after(() => closeSync(reader));
  for (const bytes of [4096, 1])
    try {
      for (;;) writeSync(reader, Buffer.alloc(bytes, 'x'));
    } catch {
      // Full.
    }
  return openSync(file, constants.O_WRONLY);
}

test('with standard output on a full disk the product continues and stops in order; later one line says what was lost', async (t) => {
  const disk = smallDisk(256 * 1024);
  if (disk === undefined) return cannotRun(t, 'a small file system cannot be mounted here');
  disk.fillTo(0);
  const log = path.join(disk.folder, 'log');
  const box = await startOn(t, 'start', openSync(log, 'a'));
  await assertContinues(box, /ENOSPC/);
  disk.clear();
  const line = await eventually(() => /^\{.*"event":"log_lines_lost".*\}$/m.exec(readFileSync(log, 'utf8'))?.[0]);
  const { count, level } = JSON.parse(line) as { count: number; level: string };
  assert.ok(count > 0);
  assert.equal(level, 'warn');
  box.kill('SIGTERM');
  assert.equal(await box.ended, 0);
  assert.match(readFileSync(log, 'utf8'), /"event":"stopped"/);
  return undefined;
});

test('with standard output closed the product continues and stops in order', async (t) => {
  const file = path.join(tempDir(t), 'pipe');
  assert.equal(spawnSync('mkfifo', [file]).status, 0);
  const reader = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  const box = await startOn(t, 'start', openSync(file, constants.O_WRONLY));
  closeSync(reader);
  await assertContinues(box, /EPIPE/);
  box.kill('SIGTERM');
  assert.equal(await box.ended, 0);
});

test('with standard output stalled the product continues, and closes its queue at a stop', async (t) => {
  const box = await startOn(t, 'start', fullPipe(t));
  await assertContinues(box, /nobody reads standard output/, 0);
  assert.ok(existsSync(path.join(box.folder, 'queue.db-wal')));
  box.kill('SIGTERM');
  await eventually(() => !existsSync(path.join(box.folder, 'queue.db-wal')), { withinMs: 12_000, what: 'the queue is closed' });
  // The write that never ends is killed with the process.
  assert.ok([0, 'SIGKILL'].includes(await box.ended));
});

test('with readable lines on a stalled terminal the product continues, too', async (t) => {
  const box = await startOn(t, 'start', fullPipe(t), { LOG_PRETTY: 'true' });
  await assertContinues(box, /nobody reads standard output/, 0);
  box.kill('SIGTERM');
  assert.ok([0, 'SIGKILL'].includes(await box.ended));
});

test('a process that hangs is killed by its watchdog although standard output is stalled', async (t) => {
  const service = await startOn(t, 'test/service/support/fixture-service', fullPipe(t), {
    GATEWAY_NAME: 'hangs-later',
    WATCHDOG_TIMEOUT_MS: '1500',
  });
  const limit = setTimeout(() => service.kill('SIGTERM'), 30_000);
  const startedAt = performance.now();
  assert.equal(await service.ended, 'SIGKILL');
  clearTimeout(limit);
  assert.ok(performance.now() - startedAt < 25_000);
});
