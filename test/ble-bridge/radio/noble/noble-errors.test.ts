import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { describe, test } from 'node:test';
import { connectErrorOf, startFailureOf } from '../../../../ble-bridge/radio/noble/noble-errors.ts';
import { cannotRun } from '../../../support/cannot-run.ts';

describe('errors of noble', () => {
  test('a failed connect has the status that the controller reported, for every status that noble names', (t) => {
    let names: string[];
    try {
      names = createRequire(import.meta.url)('@abandonware/noble/lib/hci-socket/hci-status.json') as string[];
    } catch {
      return cannotRun(t, '@abandonware/noble is optional and not installed');
    }
    for (const [status, name] of names.entries()) {
      const error = connectErrorOf(new Error(`${name} (0x${status.toString(16)})`));
      assert.equal(error.hciStatus, status);
      assert.equal(error.code, status === 0x09 || status === 0x0d ? 'controller_limit' : 'connect_failed');
    }
  });

  test('a failed connect without a status is connect_failed, whatever was thrown', () => {
    for (const thrown of [new Error('Peripheral already connected'), 'connection canceled!', undefined, { status: 9 }]) {
      const error = connectErrorOf(thrown);
      assert.deepEqual([error.code, error.hciStatus], ['connect_failed', undefined]);
      assert.equal(error.cause, thrown);
    }
  });

  test('a start that fails has a state and a reason, by code or by message', () => {
    const coded = (code: string): Error => Object.assign(new Error('x'), { code });
    assert.equal(startFailureOf(coded('MODULE_NOT_FOUND')).state, 'missing');
    assert.match(startFailureOf(coded('EAFNOSUPPORT')).reason, /kernel has no Bluetooth/);
    assert.match(startFailureOf(new Error('Address family not supported by protocol')).reason, /kernel has no Bluetooth/);
    assert.equal(startFailureOf(new Error('Operation not permitted')).state, 'unauthorized');
    assert.deepEqual(startFailureOf(new Error('boom')), { state: 'missing', reason: 'Bluetooth cannot be used: boom' });
  });
});
