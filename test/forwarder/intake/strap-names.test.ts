import assert from 'node:assert/strict';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { StrapNames } from '../../../forwarder/intake/strap-names.ts';
import { RefusedMessages } from '../../../service/mqtt/refused-messages.ts';
import { deviceStatus } from '../../support/messages.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig, testLog } from '../../support/test-config.ts';

const OURS = 'front-desk';

function start(t: TestContext, file?: string): { names: StrapNames; refused: RefusedMessages } {
  const refused = new RefusedMessages('forwarder', testLog(testConfig({})));
  const names = new StrapNames({ isDelivering: (gateway) => gateway === OURS, refused, file });
  names.start();
  t.after(() => names.stop());
  return { names, refused };
}

const retained = (device: string, gateway?: string): Buffer =>
  Buffer.from(JSON.stringify(deviceStatus(device, gateway === undefined ? {} : { gateway })));

test('a strap has its name by the retained status of its bridge, before the first reading is delivered', (t) => {
  const { names } = start(t);
  names.status('hr/polar/status', retained('polar', OURS));
  assert.ok(names.has('polar'));
});

test('the status of a gateway that delivers nothing here names no strap: its readings may be relayed', (t) => {
  const { names } = start(t);
  names.status('hr/polar/status', retained('polar', 'gym-2'));
  assert.ok(!names.has('polar'));
  names.delivered('polar', OURS);
  assert.ok(names.has('polar'));
});

test('a status names only the device of its topic, and one that does not match the contract is counted', (t) => {
  const { names, refused } = start(t);
  names.status('hr/polar/status', retained('garmin', OURS));
  names.status('hr/old/status', retained('old'));
  names.status('hr/odd/status', Buffer.from('on'));
  for (const device of ['polar', 'garmin', 'old', 'odd']) assert.ok(!names.has(device), device);
  assert.equal(refused.total, 1);
});

test('names outlive a restart, also if the broker has lost its retained statuses; a name that was freed does not', async (t) => {
  const file = path.join(tempDir(t), 'strap-names.json');
  const { names } = start(t, file);
  names.delivered('polar', OURS);
  names.status('hr/garmin/status', retained('garmin', OURS));
  names.delivered('__proto__', OURS);
  names.status('hr/garmin/status', Buffer.alloc(0));
  await names.stop();
  const { names: later } = start(t, file);
  assert.deepEqual(
    ['polar', '__proto__', 'garmin', 'constructor'].map((device) => later.has(device)),
    [true, true, false, false],
  );
});
