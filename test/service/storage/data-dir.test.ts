import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import {
  gatewayName,
  gatewayNameOf,
  lockDataDir,
  operatorToken,
  readOrCreateSecret,
  slug,
  writeFileAtomic,
} from '../../../service/storage/data-dir.ts';
import { HrError } from '../../../service/errors/errors.ts';
import { eventually } from '../../support/eventually.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig } from '../../support/test-config.ts';

const inUse = (error: unknown): boolean => error instanceof HrError && error.code === 'data_dir_in_use';

function script(code: string): ReturnType<typeof spawn> {
  return spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}
const dataDirModule = new URL('../../../service/storage/data-dir.ts', import.meta.url).href;

test('a second process is refused with a coded error while the first one lives, and admitted after its SIGKILL', async (t) => {
  const folder = tempDir(t);
  const config = testConfig({ DATA_DIR: folder });
  // The garbage collector runs in the process that holds the lock: it must not release it.
  const holder = script(`
    const { lockDataDir } = await import(${JSON.stringify(dataDirModule)});
    lockDataDir({ DATA_DIR: ${JSON.stringify(folder)} }, 'gateway');
    const garbage = []; for (let i = 0; i < 200; i += 1) garbage.push(new Array(100000).fill(i));
    console.log('held'); setInterval(() => {}, 1000);`);
  t.after(() => holder.kill('SIGKILL'));
  await new Promise((resolve) => holder.stdout?.once('data', resolve));
  assert.throws(() => lockDataDir(config, 'gateway'), inUse);
  lockDataDir(config, 'forwarder').release();
  holder.kill('SIGKILL');
  const lock = await eventually(() => lockDataDir(config, 'gateway'));
  lock.release();
});

test('within one process a second lock is refused until the first one is released', (t) => {
  const config = testConfig({ DATA_DIR: tempDir(t) });
  const lock = lockDataDir(config, 'gateway');
  assert.throws(() => lockDataDir(config, 'gateway'), inUse);
  lock.release();
  lock.release();
  lockDataDir(config, 'gateway').release();
});

test('a folder that cannot be created is a coded error', (t) => {
  const folder = tempDir(t);
  writeFileSync(path.join(folder, 'file'), '');
  const config = testConfig({ DATA_DIR: path.join(folder, 'file', 'below') });
  assert.throws(
    () => lockDataDir(config, 'gateway'),
    (error) => error instanceof HrError && error.code === 'data_dir_unusable',
  );
});

test('keys and the token are readable only by their owner, differ from each other, and stay the same', (t) => {
  const config = testConfig({ DATA_DIR: tempDir(t) });
  const key = readOrCreateSecret(config, 'gateway');
  assert.equal(readOrCreateSecret(config, 'gateway'), key);
  assert.notEqual(readOrCreateSecret(config, 'forwarder'), key);
  assert.ok(key.length >= 40);
  assert.equal(statSync(path.join(config.DATA_DIR, 'keys/gateway')).mode & 0o777, 0o600);
  assert.equal(operatorToken(config), operatorToken(config));
  assert.equal(statSync(path.join(config.DATA_DIR, 'token')).mode & 0o777, 0o600);
});

test('processes that create the same key at first start all get one value', async (t) => {
  const folder = tempDir(t);
  const answers = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const child = script(
        `const { readOrCreateSecret } = await import(${JSON.stringify(dataDirModule)});
        console.log(readOrCreateSecret({ DATA_DIR: ${JSON.stringify(folder)} }, 'k'));`,
      );
      let out = '';
      child.stdout?.on('data', (chunk) => (out += String(chunk)));
      await new Promise((resolve) => child.once('close', resolve));
      return out.trim();
    }),
  );
  assert.equal(new Set(answers).size, 1);
  assert.ok((answers[0]?.length ?? 0) >= 40);
});

test('the name of the box is the configured one, else the one stored at first start', (t) => {
  const folder = tempDir(t);
  assert.equal(gatewayName(testConfig({ DATA_DIR: folder, GATEWAY_NAME: 'front-desk' })), 'front-desk');
  const kept = gatewayName({ DATA_DIR: folder, GATEWAY_NAME: undefined });
  assert.match(kept, /^[a-z0-9-]+$/);
  writeFileSync(path.join(folder, 'gateway-name'), 'older-name\n');
  assert.equal(gatewayName({ DATA_DIR: folder, GATEWAY_NAME: undefined }), 'older-name');
  assert.equal(slug('Polar H10 Ä/b'), 'polar-h10-a-b');
});

test('a stored name that cannot be part of a topic is replaced by its slug, once, with one WARN', (t) => {
  const folder = tempDir(t);
  const config = { DATA_DIR: folder, GATEWAY_NAME: undefined };
  writeFileSync(path.join(folder, 'gateway-name'), 'Front Desk/2\n');
  const warnings: Record<string, unknown>[] = [];
  const log = pino(
    { level: 'warn' },
    { write: (line: string) => void warnings.push(JSON.parse(line) as Record<string, unknown>) },
  );
  for (let start = 0; start < 3; start += 1) assert.equal(gatewayNameOf(config, log)(), 'front-desk-2');
  assert.deepEqual(
    warnings.map(({ event, name, renamed }) => [event, name, renamed]),
    [['gateway_renamed', 'Front Desk/2', 'front-desk-2']],
  );
  assert.equal(readFileSync(path.join(folder, 'gateway-name'), 'utf8'), 'front-desk-2\n');
});

test('a file is replaced completely or not at all, whenever the writer is killed', async (t) => {
  const file = path.join(tempDir(t), 'state.json');
  const texts = ['a', 'b'].map((letter) => letter.repeat(200_000));
  writeFileAtomic(file, texts[0] ?? '', 0o600);
  for (let round = 0; round < 4; round += 1) {
    const writer = script(`const { writeFileAtomic } = await import(${JSON.stringify(dataDirModule)});
      console.log('writing'); for (let i = 0; ; i += 1) writeFileAtomic(${JSON.stringify(file)}, 'ab'[i % 2].repeat(200000), 0o600);`);
    await new Promise((resolve) => writer.stdout?.once('data', resolve));
    await sleep(Math.random() * 60);
    writer.kill('SIGKILL');
    await new Promise((resolve) => writer.once('close', resolve));
    assert.ok(texts.includes(readFileSync(file, 'utf8')));
  }
  assert.equal(statSync(file).mode & 0o777, 0o600);
});
