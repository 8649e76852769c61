import { describe } from 'node:test';
import { followsAdapters, tellsAdaptersApart } from './support/adapter-cases.ts';
import { virtualRadioMissing } from './support/virtual-radio.ts';

describe('the adapter is found by its address', { skip: virtualRadioMissing() }, () => {
  followsAdapters('address', 'number');
  tellsAdaptersApart();
});
