/** The product with unmodified noble on the virtual radio, in the test's process: bridge, broker, forwarder, local stream. */
import { createRequire } from 'node:module';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectAsync } from 'mqtt';
import { BleBridgeService } from '../../../ble-bridge/service.ts';
import type { Check } from '../../../contract/check.ts';
import { parseDeviceStatus, type DeviceStatus } from '../../../contract/device-status.ts';
import type { Reading } from '../../../contract/reading.ts';
import type { BridgeStatus } from '../../../contract/bridge-status.ts';
import { parseServiceStatus } from '../../../contract/service-status.ts';
import { serviceStatusTopic } from '../../../contract/topics.ts';
import { ForwarderService } from '../../../forwarder/service.ts';
import { GatewayService } from '../../../gateway/service.ts';
import { LocalKinesisService } from '../../../local-kinesis/service.ts';
import { readOrCreateSecret } from '../../../service/storage/data-dir.ts';
import { readAll, type StreamReading } from '../../system/pipeline/support/stream.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig, testLog } from '../../support/test-config.ts';
import type { VirtualRadio } from './virtual-radio.ts';

export interface RadioProduct {
  /** The bridge's last published status. */
  status(): BridgeStatus | undefined;
  /** Errors that would have ended the bridge process. */
  fatal: unknown[];
  /** The last status of the strap with this address, as the page shows it. */
  deviceStatus(address: string): DeviceStatus | undefined;
  /** All readings in the stream. */
  readStream(): Promise<StreamReading[]>;
  /** The health checks that the bridge last published. */
  checks(): readonly Check[];
  /** Stops the bridge and starts another one, in the same process and with the same DATA_DIR. */
  restartBridge(): Promise<void>;
  /** Topics that the broker retains for straps: statuses and Home Assistant's. */
  retainedTopics(): Promise<number>;
}

/** Starts it; `onReading` is called with each published reading. */
export async function startRadioProduct(
  t: Pick<TestContext, 'after'>,
  radio: VirtualRadio,
  options: { environment?: Record<string, string>; onReading?: (reading: Reading) => void },
): Promise<RadioProduct> {
  process.env['NOBLE_HCI_H4'] = `127.0.0.1:${radio.hciPort}`;
  process.env['NOBLE_HCI_H4_RECONNECT_MS'] = '300';
  createRequire(import.meta.url)('./hci-h4-socket.cjs');
  const folder = tempDir(t);
  const fatal: unknown[] = [];
  const start = async <S extends { start(): Promise<void>; stop(): Promise<void> }>(service: S): Promise<S> => {
    t.after(() => service.stop());
    await service.start();
    return service;
  };
  const LOG_LEVEL = process.env['BENCH_LOG'] ?? 'silent';
  const config = testConfig({ DATA_DIR: folder, LOG_LEVEL });
  const log = testLog(config);
  const gateway = await start(new GatewayService({ config, log }));
  const stream = await start(new LocalKinesisService({ config, log }));
  const mqttUrl = `mqtt://127.0.0.1:${gateway.mqttPort}`;
  await start(
    new ForwarderService({
      config: testConfig({ DATA_DIR: folder, LOG_LEVEL, MQTT_URL: mqttUrl, LOCAL_KINESIS_PORT: String(stream.port) }),
      log,
    }),
  );
  const subscriber = await connectAsync(mqttUrl, {
    username: 'admin-api',
    password: readOrCreateSecret(config, 'admin-api'),
    protocolVersion: 4,
    reconnectPeriod: 0,
  });
  t.after(() => subscriber.end(true));
  let status: BridgeStatus | undefined;
  let checks: readonly Check[] = [];
  const devices = new Map<string, DeviceStatus>();
  const keepStatus = (topic: string, payload: Buffer): void => {
    // An empty payload removes the topic, and with it the device from the page.
    if (payload.length === 0) return void devices.delete(topic);
    const parsed = parseDeviceStatus(payload);
    if (!parsed.ok) throw new Error(`${topic}: ${parsed.reason}`);
    devices.set(topic, parsed.value);
  };
  subscriber.on('message', (topic, payload) => {
    if (topic.endsWith('/bpm')) return options.onReading?.(JSON.parse(payload.toString()) as Reading);
    if (topic.startsWith('hr/')) return keepStatus(topic, payload);
    const parsed = parseServiceStatus(payload);
    if (!parsed.ok) return;
    status = parsed.value.bridge ?? status;
    checks = parsed.value.checks ?? [];
  });
  await subscriber.subscribeAsync(['hr/+/bpm', 'hr/+/status', serviceStatusTopic('test-box', 'ble-bridge')]);
  const bridgeConfig = testConfig({
    DATA_DIR: folder,
    LOG_LEVEL,
    MQTT_URL: mqttUrl,
    BLE_SOURCE: 'noble',
    ...options.environment,
  });
  const makeBridge = async (): Promise<BleBridgeService> =>
    await start(
      new BleBridgeService({ config: bridgeConfig, log: testLog(bridgeConfig), onFatal: (error) => fatal.push(error) }),
    );
  let bridge = await makeBridge();
  const deviceStatus = (address: string): DeviceStatus | undefined =>
    [...devices.values()].find((device) => device.address === address);
  return {
    status: () => status,
    fatal,
    deviceStatus,
    readStream: async () => await readAll(`http://127.0.0.1:${stream.port}`),
    checks: () => checks,
    async restartBridge() {
      await bridge.stop();
      bridge = await makeBridge();
    },
    async retainedTopics() {
      const reader = await connectAsync(mqttUrl, {
        username: 'admin-api',
        password: readOrCreateSecret(config, 'admin-api'),
        clientId: `reader-${process.pid}`,
        protocolVersion: 4,
        reconnectPeriod: 0,
      });
      let count = 0;
      reader.on('message', (_topic, _payload, packet) => {
        if (packet.retain) count += 1;
      });
      await reader.subscribeAsync(['hr/+/status', 'homeassistant/#']);
      await sleep(1000);
      await reader.endAsync(true);
      return count;
    },
  };
}
