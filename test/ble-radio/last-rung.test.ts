import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { connectAsync } from 'mqtt';
import { pino } from 'pino';
import { parseServiceStatus, type ServiceStatus } from '../../contract/service-status.ts';
import { GatewayService } from '../../gateway/service.ts';
import { childEnvironment } from '../../service/config/config.ts';
import { SupervisedProcess } from '../../service/process/supervised-process.ts';
import { readOrCreateSecret } from '../../service/storage/data-dir.ts';
import { eventually } from '../support/eventually.ts';
import { tempDir } from '../support/temp-dir.ts';
import { testConfig, testLog } from '../support/test-config.ts';
import { startVirtualRadio, virtualRadioMissing } from './support/virtual-radio.ts';

test(
  'if an adapter hangs for good, the bridge exits with code 1 and a retained reason; restarted, it streams once the adapter answers',
  { skip: virtualRadioMissing() },
  async (t) => {
    const radio = await startVirtualRadio(t);
    await radio.add(1, { name: 'HR1', bpm: 71, period: 0.3 });
    const folder = tempDir(t);
    const config = testConfig({ DATA_DIR: folder });
    const gateway = new GatewayService({ config, log: testLog(config) });
    t.after(() => gateway.stop());
    await gateway.start();
    const ended: Record<string, unknown>[] = [];
    const { environment, nodeArgs } = radio.environment();
    // Runs the bridge as npm start does, but with seconds instead of minutes per step of the recovery ladder.
    const bridge = new SupervisedProcess({
      name: 'ble-bridge',
      module: new URL('./support/quick-ladder-bridge.ts', import.meta.url),
      environment: childEnvironment({
        ...environment,
        DATA_DIR: folder,
        MQTT_URL: `mqtt://127.0.0.1:${gateway.mqttPort}`,
        GATEWAY_NAME: 'test-box',
        BLE_SOURCE: 'noble',
        BLE_SILENCE_MS: '1000',
        LOG_LEVEL: 'error',
        // SupervisedProcess passes no arguments of node, but the environment.
        NODE_OPTIONS: nodeArgs.join(' '),
      }),
      log: pino(
        { base: null },
        new Writable({
          write(chunk: Buffer, _encoding, done) {
            ended.push(JSON.parse(chunk.toString()) as Record<string, unknown>);
            done();
          },
        }),
      ),
    });
    t.after(() => bridge.stop());
    bridge.start();
    const subscriber = await connectAsync(`mqtt://127.0.0.1:${gateway.mqttPort}`, {
      username: 'admin-api',
      password: readOrCreateSecret(config, 'admin-api'),
      protocolVersion: 4,
      reconnectPeriod: 0,
    });
    t.after(() => subscriber.end(true));
    let readings = 0;
    const statuses: { status: ServiceStatus; retained: boolean }[] = [];
    subscriber.on('message', (topic, payload, { retain }) => {
      if (topic.endsWith('/bpm')) return void (readings += 1);
      const parsed = parseServiceStatus(payload);
      if (!parsed.ok) return;
      statuses.push({ status: parsed.value, retained: retain });
      // Subscribe again at once, as a later client would: the retained status stays until the next process publishes one.
      if (parsed.value.state === 'offline' && !retain)
        void subscriber
          .unsubscribeAsync('edge/+/ble-bridge/status')
          .then(async () => await subscriber.subscribeAsync('edge/+/ble-bridge/status'));
    });
    await subscriber.subscribeAsync(['hr/+/bpm', 'edge/+/ble-bridge/status']);
    await eventually(() => readings > 2, { withinMs: 60_000 });
    const firstPid = statuses.at(-1)?.status.pid;

    radio.hang(true);
    const from = performance.now();
    const end = await eventually(() => ended.find(({ event }) => event === 'child_ended'), { withinMs: 120_000 });
    t.diagnostic(`ended after ${Math.round(performance.now() - from)} ms`);
    assert.equal(end['reason'], 'exit code 1');
    const { status } = await eventually(() =>
      statuses.find(({ retained, status: { pid, state } }) => retained && pid === firstPid && state === 'offline'),
    );
    assert.match(status.checks?.find(({ name }) => name === 'radio')?.reason ?? '', /^no sign of life after 4 restarts of noble/);

    radio.hang(false);
    readings = 0;
    await eventually(() => readings > 2, { withinMs: 90_000, what: 'readings of the restarted bridge' });
    await eventually(() => statuses.find(({ status: { pid, state } }) => state === 'online' && pid !== firstPid));
    await bridge.stop();
  },
);
