import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../../support/eventually.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { RUN, start } from './support/intake-bench.ts';

test('a run is closed once its sequencer says that it has ended, and opened again by its next use', async (t) => {
  const { queue, offer, packet, stored } = await start(t, tempDir(t));
  const state = async (): Promise<string> => (await queue.showRun({ run: RUN })).state;
  const ship = async (): Promise<void> => {
    queue.acknowledge((await queue.take({ maxRows: 100, maxBytes: 1_000_000 })).map(({ id }) => id));
    await eventually(() => queue.depth === 0);
  };
  offer('box');
  packet('box', [1, 2, 3]);
  await eventually(() => stored('box').at(-1)?.stored === 3);
  await ship();
  offer('box', { from: 5, last: 4, sync: 2, final: true });
  await eventually(() => stored('box').at(-1)?.sync === 2);
  assert.equal(await state(), 'closed', 'what it says it dropped is recorded, and nothing else can come');
  offer('box', { from: 5, last: 5, sync: 3 });
  packet('box', [5]);
  await eventually(() => stored('box').at(-1)?.stored === 5);
  await ship();
  assert.equal(await state(), 'open', 'it is used again');
  offer('box', { from: 6, last: 7, sync: 4, final: true });
  await eventually(() => stored('box').at(-1)?.sync === 4);
  assert.equal(await state(), 'open', 'it holds what this queue does not have');
});
