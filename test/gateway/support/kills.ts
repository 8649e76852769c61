/** Plain QoS 1 publishers while gateway and forwarder are killed with SIGKILL: what was acknowledged is in the stream. */
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'mqtt';
import { newUser, writeUsers } from '../../../gateway/users.ts';
import { eventually } from '../../support/eventually.ts';
import { startLocalStream } from '../../support/local-stream.ts';
import { startProduct } from '../../support/product-process.ts';
import { seeded } from '../../support/seeded.ts';
import { tempDir } from '../../support/temp-dir.ts';

const PUBLISHERS = 3;
const IN_FLIGHT_MAX = 50;

async function freePort(): Promise<number> {
  return await new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

export async function runKills(t: TestContext, { kills, seed = 1 }: { kills: number; seed?: number }): Promise<void> {
  const random = seeded(seed);
  const stream = await startLocalStream(t, { LOCAL_KINESIS_LIMITS: 'false' });
  const dataDir = tempDir(t);
  writeUsers({ DATA_DIR: dataDir }, { app: await newUser('pass-word', { publish: ['hr/#'], subscribe: [] }) });
  const port = await freePort();
  const environment = {
    DATA_DIR: dataDir,
    GATEWAY_NAME: 'test-box',
    MQTT_LISTEN_PORT: String(port),
    MQTT_LISTEN_WS_PORT: '0',
    MQTT_URL: `mqtt://127.0.0.1:${port}`,
    LOCAL_KINESIS_PORT: String(stream.port),
  };
  const start = {
    gateway: () => startProduct(t, 'gateway/main', environment),
    forwarder: () => startProduct(t, 'forwarder/main', environment),
  };
  const running = { gateway: start.gateway(), forwarder: start.forwarder() };
  await running.gateway.event('listening');

  let isPublishing = true;
  let next = 0;
  const acknowledged = new Set<string>();
  const clients = Array.from({ length: PUBLISHERS }, (_, index) => {
    const client = connect(`mqtt://127.0.0.1:${port}`, {
      username: 'app',
      password: 'pass-word',
      clientId: `app-${index}`,
      protocolVersion: 4,
      reconnectPeriod: 100,
      connectTimeout: 2000,
    });
    client.on('error', () => {});
    t.after(() => void client.end(true));
    return client;
  });
  const inFlight = clients.map(() => 0);
  const publishing = setInterval(() => {
    for (const [index, client] of clients.entries())
      for (let count = 0; isPublishing && client.connected && count < 4 && (inFlight[index] ?? 0) < IN_FLIGHT_MAX; count += 1) {
        const timestamp = new Date(1_790_000_000_000 + (next += 1)).toISOString();
        inFlight[index] = (inFlight[index] ?? 0) + 1;
        client.publish(`hr/Bike${index}/bpm`, JSON.stringify({ timestamp, heart_rate: 72 }), { qos: 1 }, (error) => {
          inFlight[index] = (inFlight[index] ?? 0) - 1;
          if (!(error instanceof Error)) acknowledged.add(timestamp);
        });
      }
  }, 10);
  t.after(() => clearInterval(publishing));

  for (let kill = 0; kill < kills; kill += 1) {
    const before = acknowledged.size;
    await eventually(() => acknowledged.size >= before + 100, { what: 'acknowledgements after a restart' });
    await sleep(random() * 300);
    const victim = random() < 0.5 ? 'gateway' : 'forwarder';
    assert.equal(await running[victim].end('SIGKILL'), 'SIGKILL');
    running[victim] = start[victim]();
  }
  isPublishing = false;
  await eventually(() => acknowledged.size === next, { what: 'the last acknowledgements' });
  const stored = await eventually(
    async () => {
      const timestamps = (await stream.readAll()).map(({ timestamp }) => timestamp);
      return acknowledged.size <= new Set(timestamps).size ? timestamps : undefined;
    },
    { everyMs: 500, what: 'all acknowledged readings in the stream' },
  );
  const unique = new Set(stored);
  assert.deepEqual(
    [...acknowledged].filter((timestamp) => !unique.has(timestamp)),
    [],
  );
  const repeated = stored.length - unique.size;
  t.diagnostic(`${acknowledged.size} acknowledged, ${repeated} twice in the stream, ${kills} kills`);
  assert.ok(repeated <= kills * PUBLISHERS * IN_FLIGHT_MAX, `${repeated} twice`);
}
