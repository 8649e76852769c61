import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { describe, test } from 'node:test';
import { tempDir } from '../support/temp-dir.ts';
import { runCli } from './support/run-cli.ts';

describe('wrong usage ends with exit code 2, says what is wrong, and does nothing', () => {
  for (const [args, expected] of [
    [['docter'], "hr-gateway: unknown command 'docter', did you mean doctor?"],
    [['users', 'lisst'], "hr-gateway: unknown command 'lisst', did you mean list?"],
    [['nothing-like-it'], "hr-gateway: unknown command 'nothing-like-it'"],
    [['doctor', '--jsn'], "hr-gateway: unknown option '--jsn', did you mean --json?"],
    [['token', '--hlep'], "hr-gateway: unknown option '--hlep', did you mean --help?"],
    [['restore'], "hr-gateway: missing required argument 'file'"],
    [['completion', 'tcsh'], "hr-gateway: command-argument value 'tcsh' is invalid for argument 'shell'."],
    [['token', 'extra'], "hr-gateway: too many arguments for 'token'. Expected 0 arguments but got 1."],
    [['users', 'add'], "hr-gateway: missing required argument 'name'"],
    [['users', 'add', 'anna', '--subscribe', '#'], 'hr-gateway: --subscribe #: '],
    [['tail', '--from', 'yesterday'], "hr-gateway: option '--from <position>' argument 'yesterday' is invalid."],
    [['tail', '--count', '0'], "hr-gateway: option '--count <number>' argument '0' is invalid."],
    [['tail', '--count'], "hr-gateway: option '--count <number>' argument missing"],
  ] as const)
    test(`hr-gateway ${args.join(' ')}`, async (t) => {
      const folder = tempDir(t);
      const { code, stdout, stderr } = await runCli(args, { environment: { DATA_DIR: folder }, cwd: folder });
      assert.equal(code, 2);
      assert.equal(stdout, '');
      const [line, hint, ...rest] = stderr.split('\n');
      assert.ok(line?.startsWith(expected), stderr);
      if (!expected.includes('did you mean')) assert.ok(!line?.includes('did you mean'), stderr);
      assert.equal(hint, 'hr-gateway --help lists commands and options.');
      assert.deepEqual(rest, ['']);
      assert.deepEqual(readdirSync(folder), []);
    });

  for (const args of [[], ['users']])
    test(`${['hr-gateway', ...args].join(' ')} without a command prints the help on stderr`, async () => {
      const { code, stdout, stderr } = await runCli(args);
      assert.equal(code, 2);
      assert.equal(stdout, '');
      assert.match(stderr, /^Usage: hr-gateway[^]*^Commands:/m);
    });
});

test('faulty settings end every command that reads them with exit code 2, all faults at once', async (t) => {
  const folder = tempDir(t);
  const environment = { DATA_DIR: folder, BLE_ADAPTER: 'bluetooth', QUEUE_MAX_BITES: '1GiB' };
  for (const args of [
    ['doctor'],
    ['config'],
    ['token'],
    ['users', 'list'],
    ['users', 'add', 'anna'],
    ['users', 'remove', 'anna'],
    ['restore', 'a-file'],
    ['acl', 'mosquitto'],
    ['verify'],
    ['export', 'polar-h10-a1b2c3'],
    ['tail'],
    ['backup'],
  ]) {
    const { code, stdout, stderr } = await runCli(args, { environment });
    assert.equal(code, 2, args.join(' '));
    assert.equal(stdout, '');
    const [line, ...rest] = stderr.trimEnd().split('\n');
    assert.match(line ?? '', /^config_invalid: /);
    assert.equal(rest.length, 3, stderr);
    assert.match(rest[0] ?? '', /^ {2}BLE_ADAPTER: must /);
    assert.match(rest[1] ?? '', /^ {2}unknown setting QUEUE_MAX_BITES \(did you mean QUEUE_MAX_BYTES\?\)/);
    assert.match(rest[2] ?? '', /^hint: \S/);
  }
  assert.deepEqual(readdirSync(folder), []);
});
