import { test } from 'node:test';
import { fuzzThroughNoble } from './support/noble-fuzz.ts';
import { virtualRadioMissing } from './support/virtual-radio.ts';

test('a million notifications through unmodified noble break no law', { skip: virtualRadioMissing() }, async (t) => {
  await fuzzThroughNoble(t, 1_000_000);
});
