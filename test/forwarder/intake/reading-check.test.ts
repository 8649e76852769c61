import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkNumbered } from '../../../forwarder/intake/reading-check.ts';

test('a reading that already carries an account or gaps is a dead letter: only the forwarder adds them', () => {
  const identity = { gateway: 'test-box', run: '0123456789abcdef', seq: 1 };
  const check = (more: object): string => {
    const reading = { timestamp: '2026-11-22T19:00:00.123Z', heart_rate: 72, device: 'strap', ...identity, ...more };
    const checked = checkNumbered(JSON.stringify(reading), identity);
    return checked.kind === 'row' ? 'row' : `${checked.letter.reason}: ${checked.letter.detail}`;
  };
  assert.equal(check({}), 'row');
  assert.equal(check({ account: null }), 'invalid: account is added by the forwarder only');
  assert.equal(check({ gaps: [] }), 'invalid: gaps is added by the forwarder only');
});
