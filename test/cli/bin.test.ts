import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { tempDir } from '../support/temp-dir.ts';
import { cliEnvironment, runCli } from './support/run-cli.ts';
import { unbuiltCheckout } from './support/unbuilt-checkout.ts';

/** A compiled product that only says that it ran; the stamp is what makes it complete. */
function plantCompiled(checkout: string, { newerThanSources }: { newerThanSources: boolean }): void {
  for (const folder of ['dist', 'dist/cli']) mkdirSync(path.join(checkout, folder), { recursive: true });
  for (const file of ['dist/start.js', 'dist/cli/main.js', 'dist/.compiled'])
    writeFileSync(path.join(checkout, file), file.endsWith('main.js') ? "console.log('compiled');" : '');
  const time = Date.now() / 1000 + (newerThanSources ? 60 : -24 * 3600);
  utimesSync(path.join(checkout, 'dist/.compiled'), time, time);
}

describe('the hr-gateway command of a checkout', () => {
  test('runs the sources if nothing is compiled, from any working directory, with DATA_DIR relative to that directory', async (t) => {
    const entry = [path.join(unbuiltCheckout(t), 'cli/bin.mjs')];
    const cwd = tempDir(t);
    mkdirSync(path.join(cwd, 'own-data/locks'), { recursive: true });
    writeFileSync(path.join(cwd, 'own-data/token'), 'the-token-of-this-box\n');
    const { code, stdout, stderr } = await runCli(['token'], { entry, cwd, environment: { DATA_DIR: './own-data' } });
    assert.equal(code, 0, stderr);
    assert.equal(stdout, 'the-token-of-this-box\n');
    assert.deepEqual(readdirSync(cwd), ['own-data']);
  });

  test('runs the compiled product if it is newer than every source, else the sources', async (t) => {
    const checkout = unbuiltCheckout(t);
    const entry = [path.join(checkout, 'cli/bin.mjs')];
    plantCompiled(checkout, { newerThanSources: true });
    assert.deepEqual(await runCli(['--version'], { entry }), { code: 0, stdout: 'compiled\n', stderr: '' });
    plantCompiled(checkout, { newerThanSources: false });
    assert.match((await runCli(['--version'], { entry })).stdout, /^\d+\.\d+\.\d+\n$/);
  });

  test('is executable and works through a link, as npm installs it', (t) => {
    const checkout = unbuiltCheckout(t);
    const link = path.join(tempDir(t), 'hr-gateway');
    symlinkSync(path.join(checkout, 'cli/bin.mjs'), link);
    const { status, stdout } = spawnSync(link, ['--version'], { encoding: 'utf8', env: cliEnvironment({}), cwd: '/' });
    assert.equal(status, 0);
    assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
  });

  test('the drill starts its services from another working directory, too', async (t) => {
    const entry = [path.join(unbuiltCheckout(t), 'cli/bin.mjs')];
    // Ends the drill at its second step: by then all four services have started.
    const before = `
      const write = process.stdout.write.bind(process.stdout);
      process.stdout.write = (text, ...rest) => {
        write(text, ...rest);
        if (String(text).includes('  run')) process.exit(42);
        return true;
      };`;
    const { code, stderr } = await runCli(['drill'], { entry, cwd: tempDir(t), before });
    assert.equal(code, 42, stderr);
  });
});

test('the npm scripts of operators pass their arguments on', () => {
  const root = path.join(import.meta.dirname, '../..');
  for (const name of [
    'config',
    'token',
    'users',
    'tail',
    'doctor',
    'drill',
    'backup',
    'restore',
    'verify',
    'acl',
    'export',
    'replay',
    'completion',
  ]) {
    const { status, stdout } = spawnSync('npm', ['run', '--silent', name, '--', '--help'], {
      cwd: root,
      encoding: 'utf8',
      env: cliEnvironment({}),
    });
    assert.equal(status, 0, name);
    assert.ok(stdout.startsWith(`Usage: hr-gateway ${name} `), stdout);
  }
});
