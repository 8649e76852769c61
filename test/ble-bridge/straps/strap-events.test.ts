import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StrapEvents } from '../../../ble-bridge/straps/strap-ports.ts';
import { testConfig, testLog } from '../../support/test-config.ts';

test('an observer that throws stops neither the other observers nor the caller', () => {
  const events = new StrapEvents(testLog(testConfig({ LOG_LEVEL: 'silent' })));
  const seen: string[] = [];
  events.on('dropped', () => {
    throw new Error('observer failed');
  });
  events.on('dropped', (device) => seen.push(device));
  events.emit('dropped', 'polar-h10-a1b2c3');
  assert.deepEqual(seen, ['polar-h10-a1b2c3']);
});
