import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { RepeatLimiter, createLogger } from '../../../service/log/log.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig } from '../../support/test-config.ts';

const logModule = new URL('../../../service/log/log.ts', import.meta.url).href;
const errorsModule = new URL('../../../service/errors/errors.ts', import.meta.url).href;

function linesOf(code: string, config = "{ LOG_LEVEL: 'info', LOG_PRETTY: undefined }"): string[] {
  const script = `
    const { createLogger, RepeatLimiter } = await import(${JSON.stringify(logModule)});
    const { HrError } = await import(${JSON.stringify(errorsModule)});
    const log = createLogger('forwarder', ${config});
    ${code}`;
  const result = spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], { encoding: 'utf8' });
  assert.equal(result.status, 0, result.stderr);
  return result.stdout.trim().split('\n');
}

test('without a terminal lines are JSON with level, ISO time, service and event; errors have code and cause; secrets are masked', () => {
  const lines = linesOf(`
    log.info({ event: 'strap_connected', device: 'polar-1' }, 'connected');
    const err = new HrError('data_dir_in_use', { operation: 'lock', detail: 'd', cause: new Error('the cause') });
    log.error({ event: 'x', err }, 'words');
    log.warn({ event: 'y', password: 'pl4nted', options: { key: 'pl4nted', deep: { token: 'pl4nted' } } }, 'secrets');`);
  assert.equal(lines.length, 3);
  const [info, error, warn] = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.equal(info?.['level'], 'info');
  assert.equal(info['service'], 'forwarder');
  assert.equal(info['event'], 'strap_connected');
  assert.ok(!Number.isNaN(Date.parse(String(info['time']))));
  assert.equal((error?.['err'] as Record<string, unknown> | undefined)?.['code'], 'data_dir_in_use');
  assert.match(JSON.stringify(error), /the cause/);
  assert.ok(!JSON.stringify(warn).includes('pl4nted'));
});

test('a repeated event is logged once per interval with the number of suppressed ones; unlimited keys need bounded memory', () => {
  const config = testConfig({});
  const log = createLogger('test', config);
  const written: object[] = [];
  log.warn = ((fields: object) => void written.push(fields)) as typeof log.warn;
  let nowMs = 0;
  const repeats = new RepeatLimiter(log, { intervalMs: 1000, now: () => nowMs });
  for (let i = 0; i < 5; i += 1) repeats.warn('a', { event: 'a' }, 'words');
  repeats.warn('b', { event: 'b' }, 'words');
  nowMs = 1001;
  repeats.warn('a', { event: 'a' }, 'words');
  assert.deepEqual(written, [{ event: 'a' }, { event: 'b' }, { event: 'a', repeats: 4 }]);
  for (let i = 0; i < 20_000; i += 1) repeats.warn(`key ${i}`, { event: 'k' }, 'words');
  assert.equal(written.length, 20_003);
});

test('lines carry a priority if stdout is the journal, and none if JOURNAL_STREAM was only inherited', (t) => {
  const file = path.join(tempDir(t), 'journal');
  const fd = openSync(file, 'w');
  const { dev, ino } = fstatSync(fd, { bigint: true });
  const code = `
    const { createLogger } = await import(${JSON.stringify(logModule)});
    const log = createLogger('forwarder', { LOG_LEVEL: 'debug', LOG_PRETTY: undefined });
    for (const level of ['fatal', 'error', 'warn', 'info', 'debug']) log.child({ service: 'x' })[level]({ event: level }, 'words');`;
  const run = (journal: string): string => {
    const before = readFileSync(file, 'utf8').length;
    const result = spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
      stdio: ['ignore', fd, 'inherit'],
      env: { ...process.env, JOURNAL_STREAM: journal },
    });
    assert.equal(result.status, 0);
    return readFileSync(file, 'utf8').slice(before);
  };
  t.after(() => closeSync(fd));
  assert.deepEqual(
    run(`${dev}:${ino}`)
      .trim()
      .split('\n')
      .map((line) => [/^<(\d)>\{/.exec(line)?.[1], (JSON.parse(line.slice(3)) as { event: string }).event]),
    [
      ['2', 'fatal'],
      ['3', 'error'],
      ['4', 'warn'],
      ['6', 'info'],
      ['7', 'debug'],
    ],
  );
  assert.match(run('1:1'), /^\{/);
});
