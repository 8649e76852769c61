import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { tempDir } from '../../support/temp-dir.ts';
import { DiskFaults, FILE_CALLS, type FileCall } from '../../support/disk-faults/disk-faults.ts';

/** Does every call once in each way that the product reaches files, for each line on standard input, and prints what failed. */
const PROGRAM = `
const fs = require('node:fs'), path = require('node:path');
const folder = process.argv[1], file = path.join(folder, 'a');
require('node:readline').createInterface({ input: process.stdin }).on('line', async () => {
  const failed = {};
  const call = async (name, work) => { try { await work(); } catch (error) { (failed[name] ??= []).push(error.code); } };
  await call('mkdir', () => fs.promises.mkdir(path.join(folder, 'b')));
  await call('open', () => fs.writeFileSync(file + '-new', ''));
  await call('write', () => fs.writeFileSync(file + '-read', 'some text'));
  await call('stat', () => fs.statSync(file + '-read'));
  await call('read', () => fs.readFileSync(file + '-read'));
  await call('read', () => fs.promises.readFile(file + '-read'));
  const handle = await fs.promises.open(process.argv[1] + '/a-write', 'a');
  await call('write', () => handle.appendFile('text'));
  await call('sync', () => handle.datasync());
  await call('truncate', () => handle.truncate(1));
  await call('stat', () => handle.stat());
  await handle.close();
  await call('link', () => fs.linkSync(file + '-read', file + '-linked'));
  await call('readdir', () => fs.readdirSync(folder));
  await call('rename', () => fs.promises.rename(file + '-read', file + '-renamed'));
  const made = fs.readdirSync('.').filter((name) => name.startsWith('a-'));
  for (const name of made) await call('unlink', () => fs.unlinkSync(path.join(folder, name)));
  for (const name of fs.readdirSync('.')) fs.rmSync(name, { recursive: true });
  console.log(JSON.stringify(failed));
});
console.log('ready');
`;

test('each call fails with the error that is asked for, as often as asked, and only for files of the pattern', async (t) => {
  const faults = DiskFaults.make(t);
  if (faults === undefined) return;
  const folder = tempDir(t);
  const child = spawn(process.execPath, ['-e', PROGRAM, folder], {
    cwd: folder,
    env: { PATH: process.env['PATH'], ...faults.environment },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  const lines = createInterface({ input: child.stdout });
  const run = async (): Promise<Record<string, string[]>> => {
    const answer = once(lines, 'line') as Promise<[string]>;
    child.stdin.write('\n');
    return JSON.parse((await answer)[0]) as Record<string, string[]>;
  };
  await once(lines, 'line');
  assert.deepEqual(await run(), {});
  const check = async (call: FileCall): Promise<void> => {
    faults.begin({ pattern: `${folder}*`, calls: [call], kind: 'EIO', count: 1 });
    assert.deepEqual(await run(), { [call]: ['EIO'] }, call);
    assert.equal(faults.end(), 1);
    assert.deepEqual(await run(), {});
    faults.begin({ pattern: `${folder}/other*`, calls: [call], kind: 'EIO' });
    assert.deepEqual(await run(), {});
    assert.equal(faults.end(), 0);
  };
  for (const call of FILE_CALLS) await check(call);
});
