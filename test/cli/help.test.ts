import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { tempDir } from '../support/temp-dir.ts';
import { commandsIn } from './support/help-text.ts';
import { productEntry, runCli, type CliResult } from './support/run-cli.ts';
import { unbuiltCheckout } from './support/unbuilt-checkout.ts';

const TOKEN = 'planted-token-that-no-help-text-may-print';
/** Reports TCP sockets and product processes on stderr. tsx itself uses a Unix socket, and its compiler is another program. */
const REPORT_SIDE_EFFECTS = `
  import net from 'node:net';
  import { ChildProcess } from 'node:child_process';
  const report = (object, name, when = () => true) => {
    const original = object[name];
    object[name] = function (...args) {
      if (when(...args)) process.stderr.write('SIDE EFFECT: ' + name + '\\n');
      return original.apply(this, args);
    };
  };
  report(net.Server.prototype, 'listen');
  report(net.Socket.prototype, 'connect', (...args) => args.flat()[0]?.port !== undefined);
  report(ChildProcess.prototype, 'spawn', ({ file }) => file === process.execPath);
`;

/** Runs a command beside a planted token and asserts that it changed nothing, and printed no secret and nothing on stderr. */
async function withoutSideEffects(t: TestContext, entry: readonly string[], args: readonly string[]): Promise<CliResult> {
  const folder = tempDir(t);
  const [dataDir, cwd, tmp] = ['data', 'cwd', 'tmp'].map((name) => path.join(folder, name)) as [string, string, string];
  for (const each of [dataDir, cwd, tmp]) mkdirSync(each);
  writeFileSync(path.join(dataDir, 'token'), TOKEN, { mode: 0o600 });
  const environment = { DATA_DIR: dataDir, TMPDIR: tmp };
  const result = await runCli(args, { entry, cwd, environment, before: REPORT_SIDE_EFFECTS });
  const what = `hr-gateway ${args.join(' ')}`;
  assert.equal(result.stderr, '', what);
  assert.ok(!result.stdout.includes(TOKEN), what);
  assert.deepEqual(readdirSync(dataDir), ['token'], what);
  assert.equal(readFileSync(path.join(dataDir, 'token'), 'utf8'), TOKEN, what);
  assert.deepEqual(readdirSync(cwd), [], what);
  assert.deepEqual(
    readdirSync(tmp).filter((name) => name.startsWith('hr-gateway')),
    [],
    what,
  );
  return result;
}

/** Asserts the help of a command and of all commands below it; returns how many there were. */
async function checkHelp(t: TestContext, entry: readonly string[], names: readonly string[] = []): Promise<number> {
  const { code, stdout } = await withoutSideEffects(t, entry, [...names, '--help']);
  assert.equal(code, 0, stdout);
  assert.ok(stdout.startsWith(`Usage: ${['hr-gateway', ...names].join(' ')}`), stdout);
  for (const text of ['-h, --help', '-V, --version', '-v, --verbose', 'Exit codes:\n  0 ', '\n  2 '])
    assert.ok(stdout.includes(text), text);
  let count = 1;
  for (const name of commandsIn(stdout)) count += await checkHelp(t, entry, [...names, name]);
  return count;
}

describe('--help has no side effects', () => {
  test('every command prints its usage and ends with 0, and the listed commands are those of the product', async (t) => {
    assert.ok((await checkHelp(t, productEntry())) >= 12);
    const { stdout } = await runCli(['--help']);
    for (const name of ['start', 'doctor', 'config', 'token', 'users', 'tail', 'backup', 'drill'])
      assert.ok(commandsIn(stdout).includes(name), name);
  });

  test('the same holds in a checkout that was never compiled', async (t) => {
    assert.ok((await checkHelp(t, [path.join(unbuiltCheckout(t), 'cli/bin.mjs')])) >= 12);
  });

  test('the probe for side effects notices a socket and a token', async (t) => {
    // The folder of a box: without a running one the token is read from it, and the command says so on stderr.
    await assert.rejects(withoutSideEffects(t, productEntry(), ['token']), /no box uses/);
    const dataDir = tempDir(t);
    mkdirSync(path.join(dataDir, 'keys'));
    writeFileSync(path.join(dataDir, 'keys/admin-api'), 'a key', { mode: 0o600 });
    const { stderr } = await runCli(['doctor'], {
      environment: { DATA_DIR: dataDir, MQTT_URL: 'mqtt://127.0.0.1:9', KINESIS_TARGET: 'http://127.0.0.1:9' },
      before: REPORT_SIDE_EFFECTS,
    });
    assert.match(stderr, /SIDE EFFECT: connect/);
  });

  test('help <command> prints the same as <command> --help', async () => {
    assert.equal((await runCli(['help', 'tail'])).stdout, (await runCli(['tail', '--help'])).stdout);
  });

  test('--version prints the version of package.json', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };
    assert.deepEqual(await runCli(['--version']), { code: 0, stdout: `${version}\n`, stderr: '' });
  });
});
