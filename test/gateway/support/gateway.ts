/** A real gateway for tests: real Aedes on free ports, users and keys in a folder of its own, its log lines kept. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Writable } from 'node:stream';
import type { TestContext } from 'node:test';
import { pino } from 'pino';
import type { ClientLimits } from '../../../gateway/client-limits.ts';
import { GatewayService } from '../../../gateway/service.ts';
import type { User } from '../../../contract/users-file.ts';
import { newUser, writeUsers } from '../../../gateway/users.ts';
import type { ServiceName } from '../../../contract/topics.ts';
import type { Config } from '../../../service/config/config.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig } from '../../support/test-config.ts';

export interface TestGateway {
  service: GatewayService;
  config: Config;
  ports: GatewayService['ports'];
  lines: Record<string, unknown>[];
  /** The key of a service, as the gateway made it. */
  keyOf(service: ServiceName): string;
  /** Names of limits that are counted and named in the log. */
  breached(limit: string): boolean;
}

export async function startGateway(
  t: Pick<TestContext, 'after'>,
  environment: Record<string, string> = {},
  users: Record<string, { password: string; subscribe?: string[]; publish?: string[] }> = {},
  limits: Partial<ClientLimits> = {},
): Promise<TestGateway> {
  const config = testConfig({ DATA_DIR: tempDir(t), MQTT_TLS_LISTEN_PORT: '0', MQTT_TLS_LISTEN_WS_PORT: '0', ...environment });
  const made: Record<string, User> = {};
  for (const [name, { password, subscribe = [], publish = [] }] of Object.entries(users))
    made[name] = await newUser(password, { subscribe, publish });
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
  const service = new GatewayService({ config, log }, limits);
  t.after(() => service.stop());
  await service.start();
  return {
    service,
    config,
    ports: service.ports,
    lines,
    keyOf: (name) => readFileSync(path.join(config.DATA_DIR, 'keys', name), 'utf8').trim(),
    breached: (limit) =>
      (service.breaches[limit] ?? 0) > 0 && lines.some((line) => line['event'] === 'limit_breached' && line['limit'] === limit),
  };
}
