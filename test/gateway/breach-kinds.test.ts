/** Every kind of breach: health names its user or address within 15 s, the log says what to do, and nobody is named once it has stopped. */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { describe, test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { generate } from 'mqtt-packet';
import { WebSocket } from 'ws';
import { BREACH_KINDS, type Limit } from '../../gateway/breach-kinds.ts';
import { BUDGET_ROWS } from '../../gateway/budgets/budget-table.ts';
import type { ClientLimits } from '../../gateway/client-limits.ts';
import { makeAuthority } from '../support/certificates.ts';
import { eventually } from '../support/eventually.ts';
import { tempDir } from '../support/temp-dir.ts';
import { startGateway, type TestGateway } from './support/gateway.ts';
import { rawClient, type ConnectFields, type RawClient } from './support/raw-client.ts';

const NAMED_WITHIN_MS = 15_000;
const FORGOTTEN_WITHIN_MS = 20_000;
const EVERY_MS = 100;
const HOG: ConnectFields = { username: 'hog', password: Buffer.from('pass-word') };
const USERS = {
  app: { password: 'pass-word', subscribe: ['app/#'], publish: ['app/#'] },
  hog: { password: 'pass-word', subscribe: ['app/#'], publish: ['app/#', 'hr/hog/bpm'] },
};
const ADDRESS = 'address 127.0.0.1';
const USER = 'user hog';

/** What an attacker has: sockets that are closed when it stops. */
interface Attacker {
  t: TestContext;
  gateway: TestGateway;
  open: (port: number, data?: string | Buffer) => Socket;
  /** Connects, and logs in as hog unless told otherwise; what comes of it is not reported. */
  client: (fields?: ConnectFields) => Promise<RawClient>;
}

interface Case {
  /** Who is named; undefined: nobody, on purpose. */
  who: string | undefined;
  limits?: Partial<ClientLimits>;
  environment?: Record<string, string>;
  /** Once, before. */
  before?: (attacker: Attacker) => Promise<void>;
  /** Again and again. */
  attack: (attacker: Attacker) => Promise<void>;
}

const times = (count: number, packet: (index: number) => Buffer): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, i) => packet(i)));
const subscribe = (topic: string): Buffer => generate({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 0 }] });
const publish = (topic: string, payload: string | Buffer = 'x', retain = false): Buffer =>
  generate({ cmd: 'publish', topic, payload, qos: 0, dup: false, retain });
const qos2 = (messageId: number): Buffer =>
  generate({ cmd: 'publish', topic: 'app/x', payload: 'x', qos: 2, messageId, dup: false, retain: false });
const ping = generate({ cmd: 'pingreq' });
/** A PUBLISH whose topic has these bytes, which generate() refuses. */
const rawTopic = (...bytes: number[]): Buffer =>
  Buffer.from([0x30, 6 + bytes.length, 0, 4 + bytes.length, ...Buffer.from('app/'), ...bytes]);

/** As hog: logs in and sends this. */
const sends =
  (data: () => Buffer) =>
  async ({ client }: Attacker): Promise<void> =>
    (await client()).sendBytes(data());
/** A login with these fields, as hog unless they say otherwise. */
const logsIn =
  (fields: ConnectFields) =>
  async ({ client }: Attacker): Promise<void> =>
    void (await client({ ...HOG, ...fields }));
const opens =
  (count: number, data?: string) =>
  async ({ open, gateway }: Attacker): Promise<void> => {
    for (let index = 0; index < count; index += 1) open(gateway.ports.mqtt, data);
    await Promise.resolve();
  };
const will = (topic: string, payload = 'x'): ConnectFields => ({
  will: { topic, payload: Buffer.from(payload), qos: 0, retain: false },
});
const frozen = async ({ client }: Attacker): Promise<void> => {
  const reader = await client();
  reader.sendBytes(subscribe('app/#'));
  await reader.next('suback').catch(() => undefined);
  reader.socket.pause();
};
/** The publisher, who does nothing wrong, is not slowed down. */
const UNMETERED = { bytesPerSecond: 1e9, deliveryBytesPerSecond: 1e9 };
const large = async ({ client }: Attacker): Promise<void> => {
  const app = await client({ username: 'app', password: Buffer.from('pass-word') });
  app.sendBytes(times(40, () => publish('app/x', Buffer.alloc(200_000))));
};
const publishesToReaders = async ({ client }: Attacker): Promise<void> =>
  (await client()).sendBytes(times(400, () => publish('app/x', 'x'.repeat(100))));
const readers = async ({ client }: Attacker): Promise<void> => {
  const reader = await client({ username: 'app', password: Buffer.from('pass-word') });
  reader.sendBytes(subscribe('app/#'));
};
async function webSocket({ gateway, t }: Attacker, headers: Record<string, string> = {}): Promise<WebSocket | undefined> {
  const socket = new WebSocket(`ws://127.0.0.1:${gateway.ports.ws}`, 'mqtt', { headers });
  t.after(() => socket.terminate());
  return await new Promise((resolve) => {
    socket.on('open', () => resolve(socket));
    socket.on('error', () => resolve(undefined));
  });
}

const CASES: Readonly<Record<Limit, Case>> = {
  packet_bytes: { who: USER, attack: sends(() => Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f])) },
  connections: {
    who: ADDRESS,
    environment: { MQTT_MAX_CONNECTIONS: '10' },
    limits: { connectionsShareOfAddress: 1 },
    attack: sends(() => ping),
  },
  connections_per_address: { who: ADDRESS, environment: { MQTT_MAX_CONNECTIONS: '10' }, attack: sends(() => ping) },
  connections_of_anonymous: {
    who: ADDRESS,
    environment: { MQTT_MAX_CONNECTIONS: '20' },
    limits: { connectionsShareOfUsers: 0.5 },
    attack: async ({ client }) => void (await client({})),
  },
  connect_rate: { who: ADDRESS, limits: { connectsPerSecond: 2, connectBurst: 1 }, attack: opens(3) },
  connect_abandoned: {
    who: ADDRESS,
    attack: async ({ open, gateway }) => {
      for (let index = 0; index < 10; index += 1) open(gateway.ports.mqtt, '\u0010').end();
      await Promise.resolve();
    },
  },
  connect_timeout: { who: ADDRESS, limits: { connectTimeoutMs: 200 }, attack: opens(1, '\u0010') },
  half_open: { who: ADDRESS, limits: { halfOpen: 2 }, attack: opens(30) },
  tls_handshake: {
    who: ADDRESS,
    attack: async ({ open, gateway }) => {
      await Promise.resolve();
      open(gateway.ports.mqtts, 'GET / HTTP/1.1\r\n\r\n');
    },
  },
  login: {
    who: ADDRESS,
    attack: async (attacker) =>
      void (await Promise.all(Array.from({ length: 3 }, async () => await logsIn({ password: Buffer.from('wrong') })(attacker)))),
  },
  will_right: { who: USER, attack: logsIn(will('other/x')) },
  will_reading: { who: USER, attack: logsIn(will('hr/hog/bpm')) },
  will_bytes: { who: ADDRESS, limits: { willBytes: 10 }, attack: logsIn(will('app/x', 'x'.repeat(11))) },
  client_id_bytes: { who: ADDRESS, attack: logsIn({ clientId: 'x'.repeat(2000) }) },
  client_id_taken: {
    who: USER,
    before: async ({ client }) => void (await client({ username: 'app', password: Buffer.from('pass-word'), clientId: 'taken' })),
    attack: logsIn({ clientId: 'taken' }),
  },
  subscribe_right: { who: USER, attack: sends(() => subscribe('other/#')) },
  subscriptions: { who: USER, limits: { subscriptions: 1 }, attack: sends(() => times(3, (index) => subscribe(`app/${index}`))) },
  subscriptions_of_party: {
    who: USER,
    limits: { subscriptionsOfParty: 1 },
    attack: sends(() => times(3, (index) => subscribe(`app/${index}`))),
  },
  subscriptions_of_all: {
    who: USER,
    limits: { subscriptionsOfAll: 1 },
    attack: sends(() => times(3, (index) => subscribe(`app/${index}`))),
  },
  publish_right: { who: USER, attack: sends(() => publish('other/x')) },
  retained: {
    who: USER,
    limits: { retainedTopics: 1 },
    attack: sends(() => times(2, (index) => publish(`app/${index}`, 'x', true))),
  },
  retained_bytes: {
    who: USER,
    environment: { MQTT_MAX_RETAINED_BYTES: '65536' },
    attack: sends(() => times(2, (index) => publish(`app/${index}`, Buffer.alloc(60_000), true))),
  },
  inflight_qos2: {
    who: USER,
    environment: { MQTT_MAX_PUBLISHES_PER_SECOND: '100000' },
    attack: sends(() => times(1100, (index) => qos2(index + 1))),
  },
  protocol: { who: ADDRESS, attack: opens(1, 'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n') },
  topic_bytes: { who: USER, attack: sends(() => publish(`app/${'x'.repeat(300)}`)) },
  topic_levels: { who: USER, attack: sends(() => publish(`app${'/x'.repeat(20)}`)) },
  null_character: { who: USER, attack: sends(() => rawTopic(0)) },
  surrogate: { who: USER, attack: sends(() => rawTopic(0xed, 0xa0, 0x80)) },
  publish_rate: {
    who: USER,
    environment: { MQTT_MAX_PUBLISHES_PER_SECOND: '10' },
    attack: sends(() => times(200, () => publish('app/x'))),
  },
  byte_rate: { who: USER, limits: { bytesPerSecond: 1000 }, attack: sends(() => publish('app/x', Buffer.alloc(50_000))) },
  delivery_rate: { who: USER, limits: { deliveriesPerPublish: 0.01 }, before: readers, attack: publishesToReaders },
  delivery_byte_rate: { who: USER, limits: { deliveryBytesPerSecond: 1000 }, before: readers, attack: publishesToReaders },
  request_rate: { who: USER, limits: { requestsPerSecond: 10 }, attack: sends(() => times(200, () => ping)) },
  filter_rate: {
    who: USER,
    limits: { filtersPerSecond: 10 },
    attack: sends(() => times(100, (index) => subscribe(`app/${index}`))),
  },
  over_budget: {
    who: USER,
    limits: { requestsPerSecond: 10, requestsOverMs: 100 },
    attack: sends(() => times(2000, () => ping)),
  },
  websocket_frames: {
    who: ADDRESS,
    attack: async (attacker) => {
      const socket = await webSocket(attacker);
      for (let index = 0; index < 200 && socket?.readyState === WebSocket.OPEN; index += 1) socket.pong();
    },
  },
  slow_subscriber: {
    who: USER,
    environment: { MQTT_SLOW_SUBSCRIBER_MS: '200' },
    limits: UNMETERED,
    before: frozen,
    attack: large,
  },
  backlog: {
    who: USER,
    environment: { MQTT_SLOW_SUBSCRIBER_MS: '2000' },
    limits: { ...UNMETERED, backlogBytes: 100_000 },
    before: frozen,
    attack: large,
  },
  memory: {
    who: USER,
    limits: { memoryOfIncoming: 20_000 },
    attack: sends(() => publish('app/x', Buffer.alloc(60_000)).subarray(0, 50_000)),
  },
  service_backlog: { who: undefined, attack: async () => await Promise.resolve() },
  replay_again: {
    who: undefined,
    before: sends(() => publish('app/kept', 'x', true)),
    attack: sends(() => times(3, () => subscribe('app/#'))),
  },
  origin: { who: ADDRESS, attack: async (attacker) => void (await webSocket(attacker, { origin: 'http://other.example' })) },
};

async function attackerOf(t: TestContext, { limits = {}, environment = {} }: Case): Promise<Attacker & { stop: () => void }> {
  const { certFile, keyFile } = makeAuthority(tempDir(t));
  const tls = { MQTT_TLS_CERT_FILE: certFile, MQTT_TLS_KEY_FILE: keyFile };
  const gateway = await startGateway(t, { ...tls, ...environment }, USERS, limits);
  const sockets: Socket[] = [];
  let isStopped = false;
  const keep = (socket: Socket): void => {
    socket.on('error', () => {});
    sockets.push(socket);
    if (isStopped) socket.destroy();
  };
  const stop = (): void => {
    isStopped = true;
    for (const socket of sockets) socket.resetAndDestroy();
  };
  t.after(stop);
  return {
    t,
    gateway,
    stop,
    open: (port, data) => {
      const socket = connect(port, '127.0.0.1');
      socket.resume();
      keep(socket);
      if (data !== undefined) socket.write(data);
      return socket;
    },
    client: async (fields = HOG) => {
      const client = await rawClient(t, gateway.ports.mqtt);
      keep(client.socket);
      await client.connect(fields);
      return client;
    },
  };
}

const blamed = ({ service }: TestGateway): string =>
  service.checks.find(({ name, status }) => name === 'client budgets' && status === 'warn')?.reason ?? '';

describe('breaches', { concurrency: 16 }, () => {
  for (const [limit, each] of Object.entries(CASES) as [Limit, Case][])
    test(`${limit}: health names ${each.who ?? 'nobody'}, and nobody afterwards`, async (t) => {
      const attacker = await attackerOf(t, each);
      const { gateway, stop } = attacker;
      await each.before?.(attacker);
      const { who } = each;
      const endMs = performance.now() + (who === undefined ? 2000 : NAMED_WITHIN_MS);
      const seen = new Set<string>();
      const wanted = `${who} exceeds limits of the broker, the last one was ${limit}: it ${BREACH_KINDS[limit].what}`;
      while (performance.now() < endMs && ![...seen].some((reason) => reason.startsWith(wanted))) {
        await Promise.race([each.attack(attacker), sleep(1000)]).catch(() => undefined);
        for (let wait = 0; wait < EVERY_MS; wait += 20) {
          await sleep(20);
          const reason = blamed(gateway);
          if (reason !== '') seen.add(reason);
        }
      }
      stop();
      if (who === undefined) return assert.deepEqual([...seen], []);
      const found = [...seen].find((reason) => reason.startsWith(wanted));
      assert.ok(found !== undefined, `${limit} of ${who}: ${[...seen].join('\n')} ${JSON.stringify(gateway.service.breaches)}`);
      assert.ok(found.includes(BREACH_KINDS[limit].hint), `what to do: ${found}`);
      const line = gateway.lines.find((one) => one['event'] === 'limit_breached' && one['limit'] === limit);
      assert.ok(String(line?.['msg']).startsWith(`${who} ${BREACH_KINDS[limit].what}`), JSON.stringify(line));
      assert.ok(String(line?.['msg']).endsWith(BREACH_KINDS[limit].hint), `the log says what to do: ${JSON.stringify(line)}`);
      await eventually(() => blamed(gateway) === '', { withinMs: FORGOTTEN_WITHIN_MS, everyMs: 200, what: 'nobody to be named' });
    });
});

test('every kind of breach in the table of budgets is tried', () => {
  const kinds = BUDGET_ROWS.flatMap(({ limits }) => limits);
  assert.ok(kinds.length > 20, `${kinds.length} kinds`);
  for (const kind of kinds) assert.ok(kind === 'replay_again' || CASES[kind].who !== undefined, `${kind} names nobody`);
});
