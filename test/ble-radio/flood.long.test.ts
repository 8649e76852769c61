import { describe, test } from 'node:test';
import { floodBesideStrap } from './support/flood.ts';
import { virtualRadioMissing } from './support/virtual-radio.ts';

describe('a flood of advertising addresses', { skip: virtualRadioMissing() }, () => {
  test('three restarts during the flood do not lock the bridge out of the broker, and memory stays flat', async (t) =>
    await floodBesideStrap(t, 3));
});
