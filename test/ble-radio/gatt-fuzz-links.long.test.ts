import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzzLinks } from './support/gatt-fuzz-links.ts';
import { virtualRadioMissing } from './support/virtual-radio.ts';

test(
  'two minutes of mutated answers and packets on the air disturb no link of another strap',
  { skip: virtualRadioMissing() },
  async (t) => {
    const { mutated } = await fuzzLinks(t, 120_000);
    assert.ok(mutated > 3000, `${mutated} packets mutated`);
  },
);
