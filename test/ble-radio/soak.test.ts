import assert from 'node:assert/strict';
import { test } from 'node:test';
import { soak } from './support/soak.ts';
import { virtualRadioMissing } from './support/virtual-radio.ts';

test(
  'a minute of faults beside phantoms and taken straps: each notification with a pulse that reached noble is one reading in the stream',
  { skip: virtualRadioMissing() },
  async (t) => {
    const result = await soak(t, { seconds: 50, seed: 20_261_123 });
    t.diagnostic(JSON.stringify(result));
    assert.ok(result.delivered > 250, `${result.delivered} notifications were delivered`);
  },
);
