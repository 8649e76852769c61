import assert from 'node:assert/strict';
import { test } from 'node:test';
import { soak } from './support/soak.ts';
import { virtualRadioMissing } from './support/virtual-radio.ts';

test('eight straps under faults chosen by seed: every notification that reached noble is one reading', { skip: virtualRadioMissing() }, async (t) => {
  const result = await soak(t, { seconds: 10, seed: 20_261_123 });
  t.diagnostic(JSON.stringify(result));
  assert.ok(result.delivered > 60);
});
