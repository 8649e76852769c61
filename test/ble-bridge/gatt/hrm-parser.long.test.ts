import { test } from 'node:test';
import fc from 'fast-check';
import { checkParserInvariants, notificationBytes } from '../support/parser-laws.ts';

test('a million random and mutated notifications never make the parser throw or break an invariant', () => {
  fc.assert(fc.property(notificationBytes, checkParserInvariants), { numRuns: 1_000_000 });
});
