import { test } from 'node:test';
import { fuzzThroughNoble } from './support/noble-fuzz.ts';
import { virtualRadioMissing } from './support/virtual-radio.ts';

test(
  'any notification through noble becomes one reading of exactly what was sent, or none; nothing throws, the link stays open',
  { skip: virtualRadioMissing() },
  async (t) => {
    await fuzzThroughNoble(t, 10_000);
  },
);
