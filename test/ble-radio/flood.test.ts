import { describe, test } from 'node:test';
import { floodBesideStrap } from './support/flood.ts';
import { virtualRadioMissing } from './support/virtual-radio.ts';

describe('a flood of advertising addresses', { skip: virtualRadioMissing() }, () => {
  test('200 new ones a second neither delay a real strap nor lock the bridge out, and a check names them meanwhile', async (t) =>
    await floodBesideStrap(t, 1));
});
