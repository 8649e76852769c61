import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startProduct } from '../support/product-process.ts';
import { tempDir } from '../support/temp-dir.ts';

test('hr-gateway start runs all services, and SIGTERM and Ctrl-C stop them in order with exit code 0', async (t) => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const environment = {
      DATA_DIR: tempDir(t),
      MQTT_LISTEN_PORT: '0',
      MQTT_LISTEN_WS_PORT: '0',
      ADMIN_PORT: '0',
      LOCAL_KINESIS_PORT: '0',
      BLE_SOURCE: 'simulated',
    };
    const product = startProduct(t, 'cli/main', environment, { args: ['start'] });
    await product.event('started');
    await product.event('strap_connected');
    assert.equal(await product.end(signal), 0);
    assert.equal(product.lines().at(-1)?.['event'], 'stopped');
  }
});

test('a faulty setting ends hr-gateway start with the exit code of a service', async (t) => {
  const product = startProduct(t, 'cli/main', { BLE_ADAPTER: 'bluetooth' }, { args: ['start'] });
  assert.equal(await product.ended, 78);
  assert.match(product.output(), /BLE_ADAPTER: must be hci0/);
});
