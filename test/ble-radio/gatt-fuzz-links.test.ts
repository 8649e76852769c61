import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzzLinks } from './support/gatt-fuzz-links.ts';
import { virtualRadioMissing } from './support/virtual-radio.ts';

test(
  'straps whose answers and packets are mutated on the air disturb no link of another strap, and stream once they answer well',
  { skip: virtualRadioMissing() },
  async (t) => {
    const { mutated } = await fuzzLinks(t, 8000);
    assert.ok(mutated > 200, `${mutated} packets mutated`);
  },
);
