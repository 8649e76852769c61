/** Attacks on the broker's listeners: floods, frozen readers, half-open connections, guesses, garbage, and runs that nobody has. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { generate, type Packet } from 'mqtt-packet';
import { each, keepOpen, open, pour, type Attack, type Blame, type Target } from './attack.ts';

let clients = 0;

function hello(username?: string, password?: string): Buffer {
  clients += 1;
  return generate({
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clean: true,
    keepalive: 0,
    clientId: `enemy-${process.pid}-${clients}`,
    ...(username === undefined ? {} : { username, password: Buffer.from(password ?? '') }),
  });
}

const subscribe = (topic: string, messageId = 1): Buffer =>
  generate({ cmd: 'subscribe', messageId, subscriptions: [{ topic, qos: 0 }] });
const publish = (topic: string, payload: string | Buffer, retain = false): Buffer =>
  generate({ cmd: 'publish', topic, payload, qos: 0, dup: false, retain });
const many = (count: number, packet: Packet | Buffer): Buffer =>
  Buffer.concat(Array.from({ length: count }, () => (Buffer.isBuffer(packet) ? packet : generate(packet))));

interface Flood {
  connections: number;
  user?: string;
}

/** Logs in on so many connections, anonymously or as a user, and writes `next` on each of them as fast as possible. */
async function flood(
  { mqtt, password }: Target,
  { connections, user }: Flood,
  next: (index: number, connection: number) => Buffer,
): Promise<void> {
  await each(connections, async (connection) => {
    const first = (): Buffer => (user === undefined ? hello() : hello(user, password));
    await pour(mqtt, first, (index) => next(index, connection));
  });
}

/** The same packets over and over, as fast as possible: no time is spent on making them. */
const repeat = async (target: Target, options: Flood, packets: Buffer): Promise<void> =>
  await flood(target, options, () => packets);

const CHECK = 'client budgets';
const ADDRESS: readonly Blame[] = [{ check: CHECK, reason: /^address 127\.0\.0\.1 / }];
const HOG: readonly Blame[] = [{ check: CHECK, reason: /^user hog / }];
/** The first bytes of a TLS handshake. */
const TLS_BEGINNING = Buffer.from([0x16, 0x03, 0x01]);
const WEBSOCKET_UPGRADE = Buffer.from(
  'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n' +
    'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n',
);
/** Ten thousand pongs. */
const EMPTY_FRAMES = Buffer.concat(Array.from({ length: 10_000 }, () => Buffer.from([0x8a, 0x80, 0, 0, 0, 0])));
/** Nine thousand frames, each with one byte of a message. */
const SMALL_FRAMES = Buffer.concat(Array.from({ length: 9000 }, () => Buffer.from([0x82, 0x81, 0, 0, 0, 0, 0x78])));
const inOneFrame = (bytes: Buffer): Buffer => Buffer.concat([Buffer.from([0x82, 0x80 + bytes.length, 0, 0, 0, 0]), bytes]);
/** The upgrade, the login, and the beginning of a long PUBLISH (MQTT 3.1.1 section 3.3). */
const beginsPublish = (): Buffer =>
  Buffer.concat([WEBSOCKET_UPGRADE, inOneFrame(hello()), inOneFrame(Buffer.from([0x30, 0x80, 0x80, 0x3d, 0, 1, 0x78]))]);
const RUN = (index: number): string => index.toString(16).padStart(16, '0');

export const MQTT_ATTACKS: readonly Attack[] = [
  {
    name: 'subscribes 3,000 times on each of 100 anonymous connections',
    named: ADDRESS,
    run: async (target) => await repeat(target, { connections: 100 }, many(50, subscribe('hr/#'))),
  },
  {
    name: 'subscribes to different filters, and unsubscribes again',
    named: ADDRESS,
    run: async (target) =>
      await flood(target, { connections: 50 }, (index) => {
        const topic = `hr/x${index}/+`;
        return Buffer.concat([subscribe(topic), generate({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: [topic] })]);
      }),
  },
  {
    name: 'pings without end on 50 connections',
    named: ADDRESS,
    run: async (target) => await repeat(target, { connections: 50 }, many(1000, { cmd: 'pingreq' })),
  },
  {
    name: 'fills the retained messages',
    named: HOG,
    run: async (target) =>
      await flood(target, { connections: 4, user: 'hog' }, (index, lane) =>
        publish(`app/${lane}/${index}`, 'x'.repeat(2000), true),
      ),
  },
  {
    name: 'publishes readings as fast as possible on ten connections',
    named: HOG,
    run: async (target) => await repeat(target, { connections: 10, user: 'hog' }, many(20, publish('hr/hog/bpm', '72'))),
  },
  {
    name: 'sends as many bytes as possible',
    named: HOG,
    run: async (target) => await repeat(target, { connections: 4, user: 'hog' }, publish('app/x', Buffer.alloc(500_000))),
  },
  {
    name: 'does not read on 400 connections what it publishes on another one',
    named: HOG,
    run: async ({ mqtt, password }) => {
      const frozen = keepOpen(mqtt, 400, () => Buffer.concat([hello('hog', password), subscribe('app/#')]), {
        isFrozen: true,
      });
      await Promise.all([
        frozen,
        pour(
          mqtt,
          () => hello('hog', password),
          () => publish('app/x', Buffer.alloc(100_000)),
        ),
      ]);
    },
  },
  {
    name: 'begins packets of 1 MB on 200 connections, and never completes them',
    named: HOG,
    run: async ({ mqtt, password }) => {
      const almost = publish('app/x', Buffer.alloc(1_000_000)).subarray(0, 990_000);
      await keepOpen(mqtt, 200, () => Buffer.concat([hello('hog', password), almost]));
    },
  },
  {
    name: 'opens connections on each port, and says nothing',
    named: ADDRESS,
    run: async ({ mqtt, mqtts, ws, wss, services }) =>
      void (await Promise.all([mqtt, mqtts, ws, wss, services].map(async (port) => await keepOpen(port, 800, () => undefined)))),
  },
  {
    name: 'begins TLS handshakes and WebSocket upgrades, and finishes none',
    named: ADDRESS,
    run: async ({ mqtts, ws, wss }) =>
      void (await Promise.all([
        keepOpen(mqtts, 600, () => TLS_BEGINNING),
        keepOpen(wss, 600, () => TLS_BEGINNING),
        keepOpen(ws, 600, () => 'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: web'),
      ])),
  },
  {
    name: 'sends WebSocket frames without data',
    named: ADDRESS,
    run: async ({ ws }) =>
      await each(
        5,
        async () =>
          await pour(
            ws,
            () => WEBSOCKET_UPGRADE,
            () => EMPTY_FRAMES,
          ),
      ),
  },
  {
    name: 'sends a message one byte in a WebSocket frame',
    named: ADDRESS,
    run: async ({ ws }) => await each(10, async () => await pour(ws, beginsPublish, () => SMALL_FRAMES)),
  },
  {
    name: 'connects to each port, and resets the connection at once',
    named: ADDRESS,
    run: async ({ mqtt, mqtts, ws, wss, services }) =>
      await each(40, async (index) => {
        const ports = [mqtt, mqtts, ws, wss, services];
        for (;;) {
          const socket = open(ports[index % ports.length] ?? mqtt);
          await once(socket, 'connect', { signal: AbortSignal.timeout(500) }).catch(() => undefined);
          socket.resetAndDestroy();
        }
      }),
  },
  {
    name: 'sends garbage',
    named: ADDRESS,
    run: async ({ mqtt, ws, services }) =>
      void (await Promise.all([mqtt, ws, services].map(async (port) => await keepOpen(port, 60, () => randomBytes(2000))))),
  },
  {
    name: 'connects, logs in as nobody, and leaves, without a pause',
    named: ADDRESS,
    run: async ({ mqtt }) =>
      await each(40, async () => {
        for (;;) {
          const socket = open(mqtt, hello());
          await once(socket, 'data', { signal: AbortSignal.timeout(500) }).catch(() => undefined);
          socket.destroy();
        }
      }),
  },
  {
    name: 'guesses passwords on 40 connections',
    named: ADDRESS,
    run: async ({ mqtt }) =>
      await each(40, async (index) => {
        for (;;) {
          const socket = open(mqtt, hello(index % 2 === 0 ? 'calm' : `nobody-${index}`, `guess-${clients}`));
          await once(socket, 'close', { signal: AbortSignal.timeout(2000) }).catch(() => undefined);
          socket.destroy();
        }
      }),
  },
  {
    name: 'guesses service keys on the listener for services',
    named: ADDRESS,
    run: async ({ services }) =>
      await each(40, async () => {
        for (;;) {
          const socket = open(services, hello('forwarder', 'guess'));
          await once(socket, 'close', { signal: AbortSignal.timeout(500) }).catch(() => undefined);
          socket.destroy();
        }
      }),
  },
  {
    name: 'invents runs with the key of another bridge',
    named: [{ check: 'runs', reason: /gateway gym-2 / }],
    run: async ({ mqtt, password }) =>
      await pour(
        mqtt,
        () => hello('gym-2', password),
        (index) => {
          const run = RUN(index);
          const offer = JSON.stringify({ run, from: 1, last: 2000, dropped: {}, sync: 1 });
          const reading = JSON.stringify({ heart_rate: 72, pad: 'x'.repeat(1000) });
          const lines = Array.from({ length: 50 }, (_, line) => `${line + 1} ${reading}`).join('\n');
          return Buffer.concat([publish(`edge/gym-2/offer/${run}`, offer), publish(`edge/gym-2/readings/${run}`, lines)]);
        },
      ),
  },
];
