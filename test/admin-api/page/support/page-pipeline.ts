/**
 * The running pipeline behind page and API: broker, stream with fault hooks, forwarder and admin API, all real, in this process; the
 * bridge is started on request.
 */
import type { TestContext } from 'node:test';
import { connectAsync, type MqttClient } from 'mqtt';
import { AdminApiService } from '../../../../admin-api/service.ts';
import { BleBridgeService } from '../../../../ble-bridge/service.ts';
import { ForwarderService } from '../../../../forwarder/service.ts';
import type { ServiceName } from '../../../../contract/topics.ts';
import { GatewayService } from '../../../../gateway/service.ts';
import { newUser, writeUsers } from '../../../../gateway/users.ts';
import { operatorToken, readOrCreateSecret } from '../../../../service/storage/data-dir.ts';
import { startVirtualRadio, type VirtualRadio } from '../../../ble-radio/support/virtual-radio.ts';
import { startLocalStream, type LocalStream } from '../../../support/local-stream.ts';
import { startProduct, type ProductProcess } from '../../../support/product-process.ts';
import { tempDir } from '../../../support/temp-dir.ts';
import { testConfig, testLog } from '../../../support/test-config.ts';

export interface Box {
  url: string;
  token: string;
  stream: LocalStream;
  /** An app with a name and the right to publish readings. */
  app: MqttClient;
  /** The bridge in this process, with simulated straps. */
  startSimulated(environment?: Record<string, string>): Promise<BleBridgeService>;
  folder: string;
  mqttUrl: string;
  /** A client with the key of a service. */
  clientAs(service: ServiceName): Promise<MqttClient>;
  /** The bridge as a process, with noble on a virtual radio. */
  startBridge(): Promise<{ radio: VirtualRadio; bridge: ProductProcess }>;
  stopForwarder(): Promise<void>;
  /** A client with the rights of the bridge: only a bridge may publish statuses of straps. */
  bridgeClient: MqttClient;
  /** A client with the rights of the bridge of another box, gym-2. */
  otherBridge: MqttClient;
}

const APP = { name: 'coach', password: 'running-shoes' };
const OTHER_BOX = { name: 'gym-2', password: 'rowing-machine' };

/** Everything but the bridge. `prepare`: fills the folder before anything runs in it. */
export async function startBox(
  t: Pick<TestContext, 'after'>,
  environment: Record<string, string> = {},
  prepare: (folder: string) => void = () => undefined,
): Promise<Box> {
  const folder = tempDir(t);
  prepare(folder);
  const base = testConfig({ DATA_DIR: folder, ...environment });
  writeUsers(base, {
    [APP.name]: await newUser(APP.password, { publish: ['hr/+/bpm', 'hr/+/status'], subscribe: ['hr/#'] }),
    [OTHER_BOX.name]: await newUser(OTHER_BOX.password, { publish: [], subscribe: [], bridge: OTHER_BOX.name }),
  });
  const stream = await startLocalStream(t, { DATA_DIR: folder });
  const start = async <S extends { start(): Promise<void>; stop(): Promise<void> }>(service: S): Promise<S> => {
    t.after(() => service.stop());
    await service.start();
    return service;
  };
  const log = testLog(base);
  const gateway = await start(new GatewayService({ config: base, log }));
  const mqttUrl = `mqtt://127.0.0.1:${gateway.mqttPort}`;
  const config = testConfig({ DATA_DIR: folder, MQTT_URL: mqttUrl, LOCAL_KINESIS_PORT: String(stream.port), ...environment });
  const forwarder = await start(new ForwarderService({ config, log }));
  const admin = await start(new AdminApiService({ config, log }));
  const clientOf = async ({ name: username, password }: typeof APP): Promise<MqttClient> => {
    const client = await connectAsync(mqttUrl, { username, password, protocolVersion: 4, reconnectPeriod: 0 });
    t.after(() => client.end(true));
    return client;
  };
  const app = await clientOf(APP);
  return {
    bridgeClient: await clientOf({ name: 'ble-bridge', password: readOrCreateSecret(base, 'ble-bridge') }),
    otherBridge: await clientOf(OTHER_BOX),
    url: `http://127.0.0.1:${admin.port}`,
    token: operatorToken(config),
    stream,
    app,
    stopForwarder: async () => await forwarder.stop(),
    folder,
    mqttUrl,
    clientAs: async (service) => await clientOf({ name: service, password: readOrCreateSecret(base, service) }),
    async startSimulated(more = {}) {
      const own = testConfig({ DATA_DIR: folder, MQTT_URL: mqttUrl, BLE_SOURCE: 'simulated', ...environment, ...more });
      return await start(new BleBridgeService({ config: own, log }));
    },
    async startBridge() {
      const radio = await startVirtualRadio(t);
      const { environment: noble, nodeArgs } = radio.environment();
      return {
        radio,
        bridge: startProduct(
          t,
          'ble-bridge/main',
          { ...noble, DATA_DIR: folder, MQTT_URL: mqttUrl, GATEWAY_NAME: 'test-box' },
          { nodeArgs },
        ),
      };
    },
  };
}

/** A reading as an app publishes it. */
export const appReading = (heartRate: number, more: Record<string, unknown> = {}): string =>
  JSON.stringify({ timestamp: new Date().toISOString(), heart_rate: heartRate, ...more });
