/** The product over unmodified noble on the virtual radio, in the test's own process: bridge, broker, forwarder, local stream. */
import { createRequire } from 'node:module';
import type { TestContext } from 'node:test';
import { connectAsync } from 'mqtt';
import { BleBridgeService } from '../../../ble-bridge/service.ts';
import type { Reading } from '../../../contract/reading.ts';
import { parseServiceStatus, type BridgeStatus } from '../../../contract/service-status.ts';
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
  /** The bridge's status as it was last published. */
  status(): BridgeStatus | undefined;
  /** Errors that would have ended the bridge's process. */
  fatal: unknown[];
  /** Everything that is in the stream. */
  readStream(): Promise<StreamReading[]>;
}

/** Starts it; `heard` is called with each reading as it is published. */
export async function startRadioProduct(
  t: Pick<TestContext, 'after'>,
  radio: VirtualRadio,
  options: { environment?: Record<string, string>; heard: (reading: Reading) => void },
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
  const config = testConfig({ DATA_DIR: folder });
  const log = testLog(config);
  const gateway = await start(new GatewayService({ config, log }));
  const stream = await start(new LocalKinesisService({ config, log }));
  const mqttUrl = `mqtt://127.0.0.1:${gateway.mqttPort}`;
  await start(
    new ForwarderService({
      config: testConfig({ DATA_DIR: folder, MQTT_URL: mqttUrl, LOCAL_KINESIS_PORT: String(stream.port) }),
      log,
    }),
  );
  const ears = await connectAsync(mqttUrl, {
    username: 'admin-api',
    password: readOrCreateSecret(config, 'admin-api'),
    protocolVersion: 4,
    reconnectPeriod: 0,
  });
  t.after(() => ears.end(true));
  let status: BridgeStatus | undefined;
  ears.on('message', (topic, payload) => {
    if (topic.endsWith('/bpm')) return options.heard(JSON.parse(payload.toString()) as Reading);
    const parsed = parseServiceStatus(payload);
    if (parsed.ok) status = parsed.value.bridge ?? status;
  });
  await ears.subscribeAsync(['hr/+/bpm', serviceStatusTopic('ble-bridge')]);
  const bridgeConfig = testConfig({ DATA_DIR: folder, MQTT_URL: mqttUrl, BLE_SOURCE: 'noble', ...options.environment });
  await start(new BleBridgeService({ config: bridgeConfig, log: testLog(bridgeConfig), onFatal: (error) => fatal.push(error) }));
  return { status: () => status, fatal, readStream: async () => await readAll(`http://127.0.0.1:${stream.port}`) };
}
