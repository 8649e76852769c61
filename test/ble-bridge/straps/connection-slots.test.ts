import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RadioError } from '../../../ble-bridge/radio/radio-error.ts';
import type { Radio } from '../../../ble-bridge/radio/radio.ts';
import { ConnectionSlots } from '../../../ble-bridge/straps/connection-slots.ts';
import { RepeatLimiter } from '../../../service/log/log.ts';
import { testConfig, testLog } from '../../support/test-config.ts';

function makeSlots(kind: Radio['kind'] = 'noble') {
  const log = testLog(testConfig({}));
  const use = { connected: 0, occupied: 0 };
  const radio: { kind: Radio['kind']; state: Radio['state'] } = { kind, state: 'powered_on' };
  const slots = new ConnectionSlots({
    config: testConfig({ BLE_MAX_STRAPS: '4' }),
    log,
    repeats: new RepeatLimiter(log),
    radio,
    use,
  });
  return { slots, use, radio };
}
const limitReached = new RadioError('controller_limit', 'limit', { hciStatus: 0x0d });

describe('connection slots', () => {
  test('waiting straps count for the queue, connected ones for the turn', () => {
    const { slots, use } = makeSlots();
    Object.assign(use, { connected: 3, occupied: 4 });
    assert.deepEqual([slots.mayQueue(), slots.hasFree()], [false, true]);
    use.connected = 4;
    assert.equal(slots.hasFree(), false);
  });

  test('BLE_MAX_STRAPS does not limit simulated straps, and nothing connects while the radio is off', () => {
    const { slots, use, radio } = makeSlots('simulated');
    use.occupied = 100;
    assert.equal(slots.mayQueue(), true);
    radio.state = 'powered_off';
    assert.equal(slots.mayQueue(), false);
  });

  test('the limit of the controller is learned from its refusal alone, and forgotten with the radio', () => {
    const { slots, use } = makeSlots();
    slots.learn(limitReached);
    assert.equal(slots.limit, null, 'a refusal of the first link is not a limit');
    use.connected = 2;
    slots.learn(new RadioError('connect_failed', 'Connection Limit Exceeded'));
    slots.learn(new Error('Connection Limit Exceeded (0x9)'));
    assert.equal(slots.limit, null);
    slots.learn(limitReached);
    assert.equal(slots.limit, 2);
    assert.equal(slots.hasFree(), false);
    use.connected = 1;
    assert.equal(slots.hasFree(), true);
    slots.reset();
    assert.equal(slots.limit, null);
  });

  test('a strap of our own does not wait for strangers in the queue, and one that is connected makes room', () => {
    let ended = 0;
    const { slots, use } = makeSlots();
    Object.assign(use, { connected: 2, occupied: 4, occupiedByOwn: 2, endLinkOfStranger: () => (ended += 1) });
    assert.deepEqual([slots.mayQueue(), slots.mayQueue(true), ended], [false, true, 0]);
    Object.assign(use, { connected: 4, occupiedByOwn: 4 });
    assert.deepEqual([slots.mayQueue(true), ended], [false, 1]);
    // The slot is kept for it: a stranger does not take it first, and no further link is ended.
    Object.assign(use, { connected: 3, occupied: 3, occupiedByOwn: 3 });
    assert.deepEqual([slots.mayQueue(false), slots.hasFree(false)], [false, false]);
    assert.deepEqual([slots.mayQueue(true), slots.hasFree(true), ended], [true, true, 1]);
  });
});
