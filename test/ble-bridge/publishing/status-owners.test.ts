import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StatusOwners } from '../../../ble-bridge/publishing/status-owners.ts';
import type { DeviceState } from '../../../contract/device-status.ts';
import { STATUS_STALE_MS, type ServiceStatus } from '../../../contract/service-status.ts';
import { deviceStatus } from '../../support/messages.ts';

const OTHER = 'gym-2';

function world(): {
  owners: StatusOwners;
  bridge: (state: ServiceStatus['state']) => void;
  device: (gateway: string | undefined, state: DeviceState) => boolean;
  pass: (ms: number) => void;
} {
  let nowMs = 1000;
  const owners = new StatusOwners(
    () => 'front-desk',
    () => nowMs,
  );
  return {
    owners,
    bridge: (state) =>
      owners.bridge(`edge/${OTHER}/ble-bridge/status`, {
        service: 'ble-bridge',
        state,
        since: new Date().toISOString(),
        version: '2.0.0',
      }),
    device: (gateway, state) => owners.received(deviceStatus('polar', { state, ...(gateway === undefined ? {} : { gateway }) })),
    pass: (ms) => (nowMs += ms),
  };
}

test('a bridge takes a status over only with more of the strap than the bridge has that published it', () => {
  const { owners, bridge, device } = world();
  bridge('online');
  const takesOver = (theirs: DeviceState): DeviceState[] => {
    device(OTHER, theirs);
    const states: DeviceState[] = ['discovered', 'connecting', 'connected', 'silent', 'streaming', 'no_pulse', 'lost'];
    return states.filter((ours) => owners.mayPublish('polar', ours));
  };
  assert.deepEqual(takesOver('lost'), ['connected', 'silent', 'streaming', 'no_pulse']);
  assert.deepEqual(takesOver('silent'), ['streaming', 'no_pulse']);
  assert.deepEqual(takesOver('streaming'), []);
});

test('a status of a bridge that is offline, silent or unknown, of version 1, or that was removed is nobody else’s', () => {
  const { owners, bridge, device, pass } = world();
  assert.equal(device(OTHER, 'streaming'), false);
  bridge('online');
  assert.equal(device(OTHER, 'streaming'), true);
  bridge('offline');
  assert.ok(owners.mayPublish('polar', 'lost'));
  bridge('online');
  assert.ok(!owners.mayPublish('polar', 'lost'));
  pass(STATUS_STALE_MS + 1);
  assert.ok(owners.mayPublish('polar', 'lost'));
  bridge('online');
  owners.removed('polar');
  assert.ok(owners.mayPublish('polar', 'lost'));
  assert.equal(device(undefined, 'streaming'), false);
  assert.ok(owners.mayPublish('polar', 'lost'));
});

test('our own status is ours, and stays it while we are cut off from the broker', () => {
  const { owners, bridge, device, pass } = world();
  bridge('online');
  device(OTHER, 'streaming');
  assert.equal(device('front-desk', 'lost'), false);
  assert.ok(!owners.isOthers('polar'));
  device(OTHER, 'streaming');
  pass(STATUS_STALE_MS + 1);
  owners.up();
  assert.ok(!owners.mayPublish('polar', 'lost'), 'the other bridge was not received while we were away');
});
