import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { startLocalStream } from '../support/local-stream.ts';
import { tempDir } from '../support/temp-dir.ts';
import { runCli } from './support/run-cli.ts';

const STACK = /^\s+at /m;
const BREAK_OUTPUT = "console.log = () => { throw new TypeError('the first line\\nthe second line'); };";

describe('a failed command ends with exit code 1 and without a stack trace', () => {
  test('a coded error is one line with its code, and its hint', async (t) => {
    const folder = tempDir(t);
    mkdirSync(path.join(folder, 'locks'));
    writeFileSync(path.join(folder, 'users.json'), '{"anna": 1}');
    const { code, stdout, stderr } = await runCli(['users', 'list'], { environment: { DATA_DIR: folder } });
    assert.equal(code, 1);
    assert.equal(stdout, '');
    assert.match(stderr, /^users_unreadable: .+\nhint: .+\n$/);
  });

  test('DATA_DIR below a file is a coded error too', async (t) => {
    const file = path.join(tempDir(t), 'file');
    writeFileSync(file, '');
    const { code, stderr } = await runCli(['start'], { environment: { DATA_DIR: path.join(file, 'data') } });
    assert.equal(code, 1);
    assert.match(stderr, /^data_dir_unusable: /);
  });

  test('a failure that the command expects is one line', async (t) => {
    const { code, stderr } = await runCli(['verify', '/nowhere/at-all'], { environment: { DATA_DIR: tempDir(t) } });
    assert.equal(code, 1);
    assert.equal(stderr, 'hr-gateway: there is no folder /nowhere/at-all\n');
  });

  test('a stream that cannot be read is one line that names it', async () => {
    const { code, stderr } = await runCli(['tail'], {
      environment: {
        KINESIS_TARGET: 'http://127.0.0.1:9',
        AWS_REGION: 'eu-west-1',
        AWS_ACCESS_KEY_ID: 'x',
        AWS_SECRET_ACCESS_KEY: 'y',
      },
    });
    assert.equal(code, 1);
    assert.match(stderr, /^hr-gateway: cannot read stream \S+: .*ECONNREFUSED.*\n$/);
  });

  test('an unexpected error is one line that tells how to see the stack trace', async () => {
    const { code, stderr } = await runCli(['config'], { before: BREAK_OUTPUT });
    assert.equal(code, 1);
    assert.match(stderr, /^hr-gateway: unexpected error: the first line the second line \(--verbose or LOG_LEVEL=debug .*\)\n$/);
  });

  test('an error that nothing catches is reported in the same way', async (t) => {
    const before = "setTimeout(() => { throw new RangeError('too late'); }, 1500);";
    const { port } = await startLocalStream(t);
    const { code, stderr } = await runCli(['tail'], { before, environment: { LOCAL_KINESIS_PORT: String(port) } });
    assert.equal(code, 1);
    assert.match(stderr, /^hr-gateway: unexpected error: too late .*\n$/);
  });

  test('--verbose and LOG_LEVEL=debug show the stack trace', async (t) => {
    for (const args of [
      ['config', '--verbose'],
      ['--verbose', 'config'],
    ])
      assert.match((await runCli(args, { before: BREAK_OUTPUT })).stderr, STACK);
    assert.match((await runCli(['config'], { before: BREAK_OUTPUT, environment: { LOG_LEVEL: 'debug' } })).stderr, STACK);
    const { stderr } = await runCli(['verify', '/nowhere/at-all', '-v'], { environment: { DATA_DIR: tempDir(t) } });
    assert.match(stderr, /^hr-gateway: there is no folder \/nowhere\/at-all\n/);
    assert.match(stderr, STACK);
  });
});
