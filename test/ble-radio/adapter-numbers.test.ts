import { describe } from 'node:test';
import { followsAdapters, reportsAdaptersThatAreOff } from './support/adapter-cases.ts';
import { virtualRadioMissing } from './support/virtual-radio.ts';

describe('the adapter is found by what it is, not by its number', { skip: virtualRadioMissing() }, () => {
  followsAdapters('unset');
  reportsAdaptersThatAreOff();
});
