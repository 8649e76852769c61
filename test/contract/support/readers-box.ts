/** A real broker with a real admin API and a real bridge; the forwarder is played by the test, with its own rights. */
import type { TestContext } from 'node:test';
import { connectAsync, type MqttClient } from 'mqtt';
import { AdminApiService } from '../../../admin-api/service.ts';
import { BleBridgeService } from '../../../ble-bridge/service.ts';
import { GatewayService } from '../../../gateway/service.ts';
import { newUser, writeUsers } from '../../../gateway/users.ts';
import { operatorToken, readOrCreateSecret } from '../../../service/storage/data-dir.ts';
import { eventually } from '../../support/eventually.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig, testLog } from '../../support/test-config.ts';

export interface ReadersBox {
  forwarder: MqttClient;
  /** An app that may publish everything of a strap. */
  app: MqttClient;
  url: string;
  /** A further client with the rights of a service. */
  as(service: 'admin-api'): Promise<MqttClient>;
  /** An answer of the admin API. */
  get<T>(path: string): Promise<T>;
  post(path: string, body?: object): Promise<{ status: number; body: Record<string, unknown> }>;
  /** Waits until the admin API has handled everything that this client published before. */
  handled(client: MqttClient): Promise<void>;
  /** Messages that a service refused, from its metrics. */
  refused(service: 'admin-api' | 'ble-bridge', message: string): Promise<number>;
}

export async function startReaders(
  t: Pick<TestContext, 'after'>,
  beforeReaders: (forwarder: MqttClient) => Promise<void> = async () => {},
): Promise<ReadersBox> {
  const folder = tempDir(t);
  const base = testConfig({ DATA_DIR: folder });
  // The bridge of another box: what it publishes on hr/ is delivered as it is.
  writeUsers(base, { app: await newUser('app', { publish: [], subscribe: ['hr/#'], bridge: 'other-box' }) });
  const start = async <S extends { start(): Promise<void>; stop(): Promise<void> }>(service: S): Promise<S> => {
    t.after(() => service.stop());
    await service.start();
    return service;
  };
  const log = testLog(base);
  const gateway = await start(new GatewayService({ config: base, log }));
  const mqttUrl = `mqtt://127.0.0.1:${gateway.mqttPort}`;
  const config = testConfig({ DATA_DIR: folder, MQTT_URL: mqttUrl, BLE_SOURCE: 'simulated', SIMULATED_STRAPS: '1' });
  const as = async (username: string, password: string): Promise<MqttClient> => {
    const client = await connectAsync(mqttUrl, { username, password, protocolVersion: 4, reconnectPeriod: 0 });
    t.after(() => client.end(true));
    return client;
  };
  const forwarder = await as('forwarder', readOrCreateSecret(base, 'forwarder'));
  await beforeReaders(forwarder);
  const admin = await start(new AdminApiService({ config, log }));
  await start(new BleBridgeService({ config, log }));
  const app = await as('app', 'app');
  const url = `http://127.0.0.1:${admin.port}`;
  const token = operatorToken(config);
  const metricOf = async (name: string): Promise<number> =>
    Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(await (await fetch(`${url}/metrics`)).text())?.[1] ?? 0);
  let barriers = 0;
  app.publish('hr/barrier/bpm', JSON.stringify({ timestamp: new Date().toISOString(), heart_rate: 60 }));
  await eventually(async () => (await fetch(`${url}/devices/barrier`)).status === 200);
  return {
    forwarder,
    app,
    url,
    as: async (service) => await as(service, readOrCreateSecret(base, service)),
    async get<T>(path: string) {
      const answer = await fetch(`${url}${path}`);
      return (await answer.json()) as T;
    },
    async post(path, body = {}) {
      const answer = await fetch(`${url}${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
    },
    async handled(client) {
      barriers += 1;
      const number = barriers;
      const at = new Date().toISOString();
      client.publish('hr/barrier/gap', JSON.stringify({ from: at, to: at, cause: 'evicted', readings: number }));
      await eventually(
        async () => {
          const answer = await fetch(`${url}/devices/barrier`);
          const { last_gap: gap } = (await answer.json()) as { last_gap?: { readings?: number } | null };
          return gap?.readings === number;
        },
        { everyMs: 5, what: `barrier ${number}` },
      );
    },
    refused: async (service, message) =>
      await metricOf(`hr_gateway_contract_refused_total\\{gateway="test-box",service="${service}",message="${message}"\\}`),
  };
}
