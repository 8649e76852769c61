import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { eventually } from '../../support/eventually.ts';
import { startProduct } from '../../support/product-process.ts';
import { tempDir } from '../../support/temp-dir.ts';

test('the drill cuts, kills and restores, accounts for every reading, passes, and leaves nothing behind', async (t) => {
  const scratch = tempDir(t);
  const drill = startProduct(t, 'cli/main', { TMPDIR: scratch }, { args: ['drill'] });
  assert.equal(await drill.ended, 0, drill.output());
  const output = drill.output();
  for (const step of [
    'cut the stream',
    'kill the forwarder',
    'start the forwarder again',
    'give the stream back',
    'read everything back',
  ])
    assert.ok(output.includes(step), step);
  const [, taken, cut, dead] =
    /sent by the straps\s+(\d+), (\d+) while the stream was cut, (\d+) while the forwarder was dead/.exec(output)?.map(Number) ??
    [];
  assert.ok((taken ?? 0) > 300 && (cut ?? 0) > 100 && (dead ?? 0) > 50, output);
  assert.match(output, new RegExp(`in the stream\\s+${taken}, duplicates: \\d+, missing: 0`));
  assert.match(output, /^ledger\s+balances/m);
  assert.match(output, /PASSED/);
  assert.deepEqual(readdirSync(scratch), []);
});

test('an interrupted drill ends its services and removes its folder', async (t) => {
  const scratch = tempDir(t);
  const drill = startProduct(t, 'cli/main', { TMPDIR: scratch }, { args: ['drill'] });
  await eventually(() => drill.output().includes('] '), { withinMs: 30_000 });
  assert.equal(await drill.end('SIGINT'), 130);
  assert.deepEqual(readdirSync(scratch), []);
});
