/** Operating a running box: backup and restore, the log level, and what a programming error leaves behind. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { Queue } from '../../../forwarder/queue/queue.ts';
import { openDatabase } from '../../../service/storage/sqlite.ts';
import { eventually } from '../../support/eventually.ts';
import { productArgs, startProduct } from '../../support/product-process.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig } from '../../support/test-config.ts';
import { getJson, startOneProcess, type QueueAnswer } from './support/one-process.ts';
import { readAll } from './support/stream.ts';

const run = promisify(execFile);
const NOWHERE = {
  KINESIS_TARGET: 'http://127.0.0.1:1',
  AWS_REGION: 'eu-west-1',
  AWS_ACCESS_KEY_ID: 'x',
  AWS_SECRET_ACCESS_KEY: 'y',
  ALLOW_TEST_READINGS: 'true',
  BLE_SOURCE: 'simulated',
};

test('npm run backup copies a queue in use; a box restored from the copy ships exactly what the copy held', async (t) => {
  const folder = tempDir(t);
  const box = startOneProcess(t, folder, { ...NOWHERE, SIMULATED_STRAPS: '20' });
  const at = await box.addresses();
  const accepted = async (): Promise<number> => (await getJson<QueueAnswer>(`${at.admin}/queue`)).ledger.accepted;
  await eventually(async () => (await accepted()) >= 40);
  const copies: { file: string; bytes: number }[] = [];
  for (let i = 0; i < 3; i += 1) {
    const { stdout } = await run(process.execPath, [...productArgs('cli/main'), 'backup'], {
      env: { PATH: process.env['PATH'], DATA_DIR: folder, MQTT_URL: `mqtt://127.0.0.1:${at.mqttPort}` },
    });
    copies.push(JSON.parse(stdout) as { file: string; bytes: number });
  }
  const after = await accepted();
  await eventually(async () => (await accepted()) > after, { what: 'readings are still accepted' });
  assert.equal(await box.end(), 0);

  const held: number[] = [];
  for (const { file, bytes } of copies) {
    assert.equal(statSync(file).size, bytes);
    assert.equal(statSync(file).mode & 0o077, 0, 'readings of people are for the owner alone');
    const database = openDatabase(file, { readonly: true });
    assert.equal(database.pragma('integrity_check', { simple: true }), 'ok');
    const seqs = (database.prepare('SELECT data FROM rows ORDER BY id').pluck().all() as string[]).map(
      (data) => (JSON.parse(data) as { seq: number }).seq,
    );
    database.close();
    assert.deepEqual(
      seqs,
      Array.from({ length: seqs.length }, (_, i) => i + 1),
      'a consistent snapshot: no reading is missing between others',
    );
    held.push(seqs.length);
  }
  assert.ok((held[0] ?? 0) >= 40 && (held[2] ?? 0) >= (held[0] ?? 0));

  const restored = path.join(tempDir(t), 'data');
  mkdirSync(restored);
  copyFileSync(copies[2]?.file ?? '', path.join(restored, 'queue.db'));
  const other = startOneProcess(t, restored, { SIMULATED_STRAPS: '1', BLE_SOURCE: 'simulated', OUTBOX_WINDOW: '20' });
  const there = await other.addresses();
  await eventually(async () => {
    const { ledger } = await getJson<QueueAnswer>(`${there.admin}/queue`);
    return ledger.shipped >= (held[2] ?? 0) && ledger.accepted === ledger.shipped + ledger.queued + ledger.dead + ledger.evicted;
  });
  const first = JSON.parse(openedRows(copies[2]?.file ?? '')[0] ?? '{}') as { run: string };
  const shipped = (await readAll(there.stream)).filter((reading) => reading.run === first.run).map(({ seq }) => seq);
  assert.deepEqual(
    shipped.sort((a, b) => a - b),
    Array.from({ length: held[2] ?? 0 }, (_, i) => i + 1),
  );
  assert.equal(await other.end(), 0);
});

function openedRows(file: string): string[] {
  const database = openDatabase(file, { readonly: true });
  try {
    return database.prepare('SELECT data FROM rows ORDER BY id').pluck().all() as string[];
  } finally {
    database.close();
  }
}

test('a request with the token changes the log level of one service and of no other', async (t) => {
  const folder = tempDir(t);
  const box = startOneProcess(t, folder, { SIMULATED_STRAPS: '1', BLE_SOURCE: 'simulated' });
  const at = await box.addresses();
  await eventually(async () => (await fetch(`${at.admin}/health`)).status === 200, { what: 'the admin API on the broker' });
  const token = readFileSync(path.join(folder, 'token'), 'utf8').trim();
  const change = async (
    service: string,
    level: string,
    headers: Record<string, string> = { authorization: `Bearer ${token}` },
  ): Promise<{ status: number; body: unknown }> => {
    const answer = await fetch(`${at.admin}/log-level`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ service, level }),
    });
    return { status: answer.status, body: await answer.json() };
  };
  const provoke = (): void => {
    const socket = connect({ port: at.mqttPort, host: '127.0.0.1' }, () => void socket.end(Buffer.from([0xf0, 0x00, 0x01])));
    socket.on('error', () => {});
  };
  const debugLines = (): number => box.lines().filter(({ level, service }) => level === 'debug' && service === 'gateway').length;
  provoke();
  assert.equal((await change('gateway', 'debug', {})).status, 401);
  assert.equal((await change('gateway', 'loud')).status, 400);
  assert.equal(debugLines(), 0);
  assert.deepEqual(await change('gateway', 'debug'), { status: 200, body: { level: 'debug' } });
  await eventually(() => {
    provoke();
    return debugLines() > 0;
  });
  for (const service of ['forwarder', 'ble-bridge', 'admin-api'])
    assert.deepEqual(await change(service, 'warn'), { status: 200, body: { level: 'warn' } }, service);
  assert.deepEqual(
    new Set(
      box
        .lines()
        .filter(({ event }) => event === 'log_level_changed')
        .map(({ service }) => service),
    ),
    new Set(['gateway']),
    'at level warn nothing is logged at info',
  );
  assert.deepEqual(await change('gateway', 'info'), { status: 200, body: { level: 'info' } });
  const before = debugLines();
  for (let i = 0; i < 5; i += 1) provoke();
  assert.equal((await change('gateway', 'info')).status, 200);
  assert.equal(debugLines(), before);
  assert.equal(await box.end(), 0);
});

test('after an uncaught error the queue is closed with everything accepted in it, and the exit code is 1', async (t) => {
  const folder = tempDir(t);
  const preload = path.join(folder, 'throw.cjs');
  const trigger = path.join(folder, 'now');
  writeFileSync(
    preload,
    `const { existsSync } = require('node:fs');
     if (require('node:worker_threads').isMainThread) {
       const timer = setInterval(() => {
         if (!existsSync(${JSON.stringify(trigger)})) return;
         clearInterval(timer);
         throw new Error('thrown on purpose');
       }, 50).unref();
     }`,
  );
  const data = path.join(folder, 'data');
  const box = startProduct(
    t,
    'start',
    { DATA_DIR: data, MQTT_LISTEN_PORT: '0', MQTT_LISTEN_WS_PORT: '0', ADMIN_PORT: '0', SIMULATED_STRAPS: '10', ...NOWHERE },
    { nodeArgs: ['--require', preload] },
  );
  await box.event('started');
  const admin = await eventually(() => /page\s+(http:\/\/\S+?)\/?\s/.exec(box.output())?.[1]);
  const accepted = await eventually(async () => {
    const { ledger } = await getJson<QueueAnswer>(`${admin}/queue`);
    return ledger.accepted >= 20 ? ledger.accepted : undefined;
  });
  writeFileSync(trigger, '');
  assert.equal(await box.ended, 1, box.output());
  const fatal = box.lines().filter(({ level }) => level === 'fatal');
  assert.deepEqual(
    fatal.map(({ event, code }) => [event, code]),
    [['uncaught_error', 'uncaught_error']],
  );
  assert.match(JSON.stringify(fatal[0]), /thrown on purpose/);
  assert.equal(box.lines().at(-1)?.['event'], 'stopped');
  // A closed database has no WAL file.
  assert.equal(existsSync(path.join(data, 'queue.db-wal')), false);
  const queue = new Queue(testConfig({ DATA_DIR: data }));
  t.after(() => queue.stop());
  await queue.start();
  assert.equal(queue.state.damage, null);
  assert.ok(queue.state.ledger.accepted >= accepted);
});
