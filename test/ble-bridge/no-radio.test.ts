import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { eventually } from '../support/eventually.ts';
import { startProduct } from '../support/product-process.ts';
import { tempDir } from '../support/temp-dir.ts';

const preload = fileURLToPath(new URL('../ble-radio/support/broken-hci-socket.cjs', import.meta.url));

/** The fault, and the reason that the log reports. */
const CASES = {
  no_af_bluetooth: /kernel has no Bluetooth/,
  no_privileges: /no right to the adapter \(capabilities NET_ADMIN and NET_RAW/,
  no_adapter: /no Bluetooth adapter answers \(hci7\)/,
  not_installed: /no Bluetooth socket was built: noble is not installed/,
} as const;

describe('a machine that cannot use Bluetooth', () => {
  for (const [kind, words] of Object.entries(CASES))
    test(`${kind}: the bridge logs the reason, keeps running and stops cleanly`, async (t) => {
      const bridge = startProduct(
        t,
        'ble-bridge/main',
        { BLE_SOURCE: 'noble', BLE_ADAPTER: 'hci7', DATA_DIR: tempDir(t), MQTT_URL: 'mqtt://127.0.0.1:9', HR_BROKEN_HCI: kind },
        { nodeArgs: ['--require', preload] },
      );
      await eventually(
        () => bridge.lines().some(({ event, reason }) => event === 'radio_unavailable' && words.test(String(reason))),
        { what: `${String(words)} in\n${bridge.output()}` },
      );
      await bridge.event('started');
      // The adapter is looked for again every 2 s: the reason stays the same, and is not logged again.
      await sleep(3000);
      assert.equal(bridge.lines().filter(({ event }) => event === 'radio_unavailable').length, 1);
      assert.equal(bridge.child.exitCode, null);
      assert.equal(await bridge.end(), 0);
      assert.doesNotMatch(bridge.output(), /uncaught_error/);
    });
});
