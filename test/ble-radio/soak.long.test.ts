import assert from 'node:assert/strict';
import { test } from 'node:test';
import { soak } from './support/soak.ts';
import { virtualRadioMissing } from './support/virtual-radio.ts';

test('twenty minutes of faults: no crash, memory flat, every notification that reached noble is one reading', { skip: virtualRadioMissing() }, async (t) => {
  const seed = Date.now() % 1_000_000;
  t.diagnostic(`seed ${seed}`);
  const result = await soak(t, { seconds: 1200, seed });
  t.diagnostic(JSON.stringify(result));
  const [before, after] = result.heapMiB;
  // The bench itself keeps every reading (some 100 bytes each); beyond that the heap stays.
  const keptMiB = (result.readings * 600) / 2 ** 20;
  assert.ok(after < before + keptMiB + 25, `${before} → ${after} MiB`);
});
