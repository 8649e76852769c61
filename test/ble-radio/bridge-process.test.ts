import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { startProduct } from '../support/product-process.ts';
import { tempDir } from '../support/temp-dir.ts';
import { startVirtualRadio, virtualRadioMissing } from './support/virtual-radio.ts';

describe('the bridge as a process on the virtual radio', { skip: virtualRadioMissing() }, () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    test(`${signal} disconnects the straps and exits with 0`, async (t) => {
      const radio = await startVirtualRadio(t);
      for (const id of [1, 2]) await radio.add(id, { period: 0.3 });
      const { environment, nodeArgs } = radio.environment();
      const bridge = startProduct(
        t,
        'ble-bridge/main',
        { ...environment, DATA_DIR: tempDir(t), MQTT_URL: 'mqtt://127.0.0.1:9' },
        { nodeArgs },
      );
      await eventually(() => bridge.lines().filter(({ event }) => event === 'strap_streaming').length === 2);
      assert.deepEqual(
        Object.values((await radio.state()).periph).map(({ conns }) => conns),
        [1, 1],
      );
      assert.equal(await bridge.end(signal), 0);
      assert.equal(bridge.lines().filter(({ event, reason }) => event === 'strap_lost' && reason === 'ended_by_us').length, 2);
      // The straps themselves report it: they received the disconnect, and did not wait for their supervision timeout.
      await eventually(async () => Object.values((await radio.state()).periph).every(({ conns }) => conns === 0), {
        withinMs: 2000,
      });
      assert.doesNotMatch(bridge.output(), /uncaught_error|unhandled/i);
    });
});
