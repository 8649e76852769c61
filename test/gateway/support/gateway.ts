/** A real gateway for tests: real Aedes on free ports, users and keys in its own folder, its log lines recorded. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Writable } from 'node:stream';
import type { TestContext } from 'node:test';
import type { AuthorizePublishHandler } from 'aedes';
import { pino } from 'pino';
import type { Broker } from '../../../gateway/broker.ts';
import type { ClientLimits } from '../../../gateway/client-limits.ts';
import { GatewayService } from '../../../gateway/service.ts';
import type { User } from '../../../contract/users-file.ts';
import { newUser, writeUsers } from '../../../gateway/users.ts';
import type { ServiceName } from '../../../contract/topics.ts';
import type { Config } from '../../../service/config/config.ts';
import { MemoryOutbox, type MemorySink } from './memory-outbox.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig } from '../../support/test-config.ts';

export interface TestGateway {
  service: GatewayService;
  config: Config;
  ports: GatewayService['ports'];
  lines: Record<string, unknown>[];
  /** The key of a service, as the gateway created it. */
  keyOf(service: ServiceName): string;
  /** Whether a limit is counted and named in the log. */
  breached(limit: string): boolean;
  /** What was adopted, with QoS 1 and 2 and with QoS 0. It is stored at once, unless `storesAtOnce` is false. */
  memory: MemorySink;
  spilling: MemorySink;
}

export interface TestGatewayOptions {
  /** Readings of other clients are stored before `add` returns (default), or when the test says so. */
  storesAtOnce?: boolean;
  noProgressMs?: number;
  /** Aedes acknowledges by itself, as a newer version might. */
  breaksHolding?: boolean;
}

function acknowledgeAtOnce(broker: Broker): void {
  const aedes = broker.aedes as unknown as { authorizePublish: AuthorizePublishHandler };
  const authorize = aedes.authorizePublish;
  aedes.authorizePublish = (client, packet, callback) => {
    const { qos } = packet;
    authorize(client, packet, (error) => {
      packet.qos = qos;
      callback(error);
    });
  };
}

export async function startGateway(
  t: Pick<TestContext, 'after'>,
  environment: Record<string, string> = {},
  users: Record<string, Partial<Omit<User, 'salt' | 'hash'>> & { password: string }> = {},
  limits: Partial<ClientLimits> = {},
  options: TestGatewayOptions = {},
): Promise<TestGateway> {
  const config = testConfig({ DATA_DIR: tempDir(t), MQTT_TLS_LISTEN_PORT: '0', MQTT_TLS_LISTEN_WS_PORT: '0', ...environment });
  const made: Record<string, User> = {};
  for (const [name, { password, subscribe = [], publish = [], ...role }] of Object.entries(users))
    made[name] = await newUser(password, { subscribe, publish, ...role });
  if (Object.keys(made).length > 0) writeUsers(config, made);
  const lines: Record<string, unknown>[] = [];
  const log = pino(
    { level: 'debug', base: null },
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        lines.push(JSON.parse(chunk.toString()) as Record<string, unknown>);
        done();
      },
    }),
  );
  const outbox = new MemoryOutbox(options.storesAtOnce ?? true);
  const service = new GatewayService(
    { config, log },
    {
      makeOutbox: (broker) => {
        if (options.breaksHolding === true) acknowledgeAtOnce(broker);
        return outbox;
      },
      limits,
      ...(options.noProgressMs === undefined ? {} : { noProgressMs: options.noProgressMs }),
    },
  );
  t.after(() => service.stop());
  await service.start();
  return {
    service,
    config,
    ports: service.ports,
    lines,
    ...outbox.sinks,
    keyOf: (name) => readFileSync(path.join(config.DATA_DIR, 'keys', name), 'utf8').trim(),
    breached: (limit) =>
      (service.breaches[limit] ?? 0) > 0 && lines.some((line) => line['event'] === 'limit_breached' && line['limit'] === limit),
  };
}
