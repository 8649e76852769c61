import { test } from 'node:test';
import fc from 'fast-check';
import { checkParserInvariants, notificationBytes } from '../support/parser-laws.ts';

test('a million random and mutated notifications: no throw, every invariant holds', () => {
  fc.assert(fc.property(notificationBytes, checkParserInvariants), { numRuns: 1_000_000 });
});
