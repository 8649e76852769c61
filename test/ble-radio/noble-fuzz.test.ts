import { test } from 'node:test';
import { fuzzThroughNoble } from './support/noble-fuzz.ts';
import { virtualRadioMissing } from './support/virtual-radio.ts';

test(
  'whatever bytes the controller hands to noble as a notification: one reading of exactly what was sent, or none; nothing throws, the link stays',
  { skip: virtualRadioMissing() },
  async (t) => {
    await fuzzThroughNoble(t, 10_000);
  },
);
