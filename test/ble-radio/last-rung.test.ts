import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectAsync } from 'mqtt';
import { parseServiceStatus, type ServiceStatus } from '../../contract/service-status.ts';
import { readOrCreateSecret } from '../../service/storage/data-dir.ts';
import { startOneProcess } from '../system/pipeline/support/one-process.ts';
import { eventually } from '../support/eventually.ts';
import { tempDir } from '../support/temp-dir.ts';
import { testConfig } from '../support/test-config.ts';
import { startVirtualRadio, virtualRadioMissing } from './support/virtual-radio.ts';

test(
  'an adapter that hangs for good: the bridge ends with exit code 1 and leaves its reason retained, its supervisor starts it again, and straps stream once the adapter answers',
  { skip: virtualRadioMissing() },
  async (t) => {
    const radio = await startVirtualRadio(t);
    await radio.add(1, { name: 'HR1', bpm: 71, period: 0.3 });
    const folder = tempDir(t);
    const { environment, nodeArgs } = radio.environment();
    // The child does not inherit arguments of node, but its environment.
    const product = startOneProcess(t, folder, {
      ...environment,
      NODE_OPTIONS: nodeArgs.join(' '),
      BLE_SILENCE_MS: '1000',
      BLE_RECOVERY_STEP_MS: '500',
    });
    const { mqttPort } = await product.addresses();
    const ears = await connectAsync(`mqtt://127.0.0.1:${mqttPort}`, {
      username: 'admin-api',
      password: readOrCreateSecret(testConfig({ DATA_DIR: folder }), 'admin-api'),
      protocolVersion: 4,
      reconnectPeriod: 0,
    });
    t.after(() => ears.end(true));
    let readings = 0;
    const statuses: { status: ServiceStatus; retained: boolean }[] = [];
    ears.on('message', (topic, payload, { retain }) => {
      if (topic.endsWith('/bpm')) return void (readings += 1);
      const parsed = parseServiceStatus(payload);
      if (!parsed.ok) return;
      statuses.push({ status: parsed.value, retained: retain });
      // Asked again at once, as somebody who comes later: what is retained stands until the next process speaks.
      if (parsed.value.state === 'offline' && !retain)
        void ears
          .unsubscribeAsync('edge/ble-bridge/status')
          .then(async () => await ears.subscribeAsync('edge/ble-bridge/status'));
    });
    await ears.subscribeAsync(['hr/+/bpm', 'edge/ble-bridge/status']);
    await eventually(() => readings > 2, { withinMs: 60_000 });
    const firstPid = statuses.at(-1)?.status.pid;

    radio.hang(true);
    const from = performance.now();
    const ended = await product.event('child_ended', { withinMs: 120_000 });
    t.diagnostic(`given up after ${Math.round(performance.now() - from)} ms`);
    assert.equal(ended['reason'], 'exit code 1');
    const { status } = await eventually(() =>
      statuses.find(({ retained, status: { pid, state } }) => retained && pid === firstPid && state === 'offline'),
    );
    assert.match(
      status.checks?.find(({ name }) => name === 'radio')?.reason ?? '',
      /^radio_stuck: no sign of life after 4 new starts of noble/,
    );

    radio.hang(false);
    readings = 0;
    await eventually(() => readings > 2, { withinMs: 90_000, what: 'readings of the bridge that was started again' });
    const again = await eventually(() => statuses.find(({ status: { pid, state } }) => state === 'online' && pid !== firstPid));
    assert.notEqual(again.status.pid, product.pid);
    assert.equal(await product.end(), 0);
  },
);
