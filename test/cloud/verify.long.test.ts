import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryFor } from './support/memory-for.ts';

test('40 million readings of a run, shuffled, with 40,000 losses, take less than 60 MiB', async (t) => {
  const [few, many] = [await memoryFor(100_000, 1000), await memoryFor(40_000_000, 1000)];
  t.diagnostic(`${few} MiB, ${many} MiB for 40 million`);
  assert.ok(many - few < 60, `${few} MiB became ${many} MiB`);
});
