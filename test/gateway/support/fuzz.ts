/**
 * Malformed input for a gateway and an admin API, from a seed: MQTT packets made by mqtt-packet and then mutated, WebSocket frames, HTTP
 * requests. Both must stay up, in bounded memory, and keep serving everybody else.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { generate, type Packet } from 'mqtt-packet';
import { newUser, writeUsers } from '../../../gateway/users.ts';
import { eventually } from '../../support/eventually.ts';
import { startProduct, type ProductProcess } from '../../support/product-process.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { residentBytes } from './process-memory.ts';
import { connected, type RawClient } from './raw-client.ts';

export interface FuzzBudget {
  mqttPackets: number;
  webSocketFrames: number;
  httpRequests: number;
}

const MIB = 1024 * 1024;
const PASSWORD = 'fuzz password';

/** Deterministic numbers in [0, 1) (mulberry32). */
function numbersFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 4294967296;
  };
}

class Chance {
  readonly #next: () => number;
  constructor(seed: number) {
    this.#next = numbersFrom(seed);
  }
  below(limit: number): number {
    return Math.floor(this.#next() * limit);
  }
  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T;
  }
  bytes(count: number): Buffer {
    return Buffer.from(Array.from({ length: count }, () => this.below(256)));
  }
}

const TOPICS = [
  'hr/a/bpm',
  'hr/a/status',
  '$SYS/x',
  'edge/sync',
  '',
  '/',
  '#',
  '+',
  'hr/#/x',
  'a/'.repeat(40),
  'x'.repeat(300),
  '__proto__',
  'constructor/__proto__',
  'hr/\u0000/bpm',
  'hr/\u{1f499}/bpm',
];
const IDS = ['__proto__', 'constructor', '', 'x'.repeat(200), 'fuzz'];

function wholePacket(chance: Chance): Buffer {
  const messageId = 1 + chance.below(65_535);
  const qos = chance.pick([0, 1, 2] as const);
  const topic = chance.pick(TOPICS);
  const packet = chance.pick<() => Packet>([
    () => ({
      cmd: 'publish',
      topic: topic === '' ? 'x' : topic,
      payload: chance.bytes(chance.below(200)),
      qos,
      dup: qos > 0 && chance.below(2) === 0,
      retain: chance.below(4) === 0,
      messageId,
    }),
    () => ({
      cmd: 'subscribe',
      messageId,
      subscriptions: Array.from({ length: 1 + chance.below(5) }, () => ({ topic: chance.pick(TOPICS), qos })),
    }),
    () => ({ cmd: 'unsubscribe', messageId, unsubscriptions: [topic, chance.pick(TOPICS)] }),
    () => ({ cmd: 'puback', messageId }),
    () => ({ cmd: 'pubrec', messageId }),
    () => ({ cmd: 'pubrel', messageId }),
    () => ({ cmd: 'pubcomp', messageId }),
    () => ({ cmd: 'pingreq' }),
    () => ({ cmd: 'connack', returnCode: 0, sessionPresent: false }),
    () => ({ cmd: 'suback', messageId, granted: [0, 1, 128] }),
    () => ({
      cmd: 'connect',
      protocolId: chance.pick(['MQTT', 'MQIsdp'] as const),
      protocolVersion: 4,
      clean: true,
      keepalive: chance.below(65_536),
      clientId: chance.pick(IDS),
      will: { topic: 'hr/a/bpm', payload: chance.bytes(chance.below(100)), qos, retain: true },
    }),
    () => ({ cmd: 'disconnect' }),
  ])();
  try {
    return generate(packet);
  } catch {
    // If the library refuses to encode it, random bytes are used.
    return chance.bytes(2 + chance.below(60));
  }
}

/** One malformed packet: flipped bits, wrong lengths, truncated, doubled, or no packet at all. */
function malformed(chance: Chance): Buffer {
  const bytes = Buffer.from(wholePacket(chance));
  const flip = (): void => void (bytes[chance.below(bytes.length)] = chance.below(256));
  switch (chance.below(7)) {
    case 0:
      for (let i = chance.below(4); i >= 0; i -= 1) flip();
      return bytes;
    case 1:
      bytes[0] = chance.below(256);
      return bytes;
    case 2:
      bytes[1] = chance.below(256);
      return bytes;
    case 3:
      return bytes.subarray(0, Math.max(1, chance.below(bytes.length)));
    case 4: {
      const at = chance.below(bytes.length);
      return Buffer.concat([bytes.subarray(0, at), chance.bytes(1 + chance.below(20)), bytes.subarray(at)]);
    }
    case 5:
      return chance.bytes(1 + chance.below(80));
    default:
      return Buffer.concat([
        bytes.subarray(0, 1),
        chance.pick([
          Buffer.from([0xff, 0xff, 0xff, 0x7f]),
          Buffer.from([0xff, 0xff, 0xff, 0xff]),
          Buffer.from([0x80, 0x00]),
          Buffer.from([0x00]),
        ]),
        bytes.subarray(2),
      ]);
  }
}

/** Writes parts one after another; resolves when all are written and the other side has closed, or a moment after the last. */
async function throwAt(port: number, parts: readonly Buffer[]): Promise<void> {
  await new Promise<void>((resolve) => {
    const socket: Socket = connect({ port, host: '127.0.0.1', noDelay: true });
    const end = (): void => {
      socket.destroy();
      resolve();
    };
    socket.on('error', () => {});
    socket.once('close', end);
    socket.on('data', () => {});
    socket.once('connect', () => {
      for (const part of parts) socket.write(part);
      socket.end();
      // Half a packet keeps the other side waiting: close here.
      setTimeout(end, 30);
    });
  });
}

/** Sends `count` malformed inputs, some in parallel. */
async function atOnce(count: number, wide: number, run: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: wide }, async () => {
      while (next < count) {
        next += 1;
        await run(next);
      }
    }),
  );
}

const greeting = (clientId: string): Buffer =>
  generate({
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clean: true,
    keepalive: 0,
    clientId,
    username: 'fuzz',
    password: Buffer.from(PASSWORD),
  });

/** A masked frame (RFC 6455) with a mutated header. */
function webSocketFrame(chance: Chance, payload: Buffer): Buffer {
  const mask = chance.bytes(4);
  const first = chance.below(3) === 0 ? chance.below(256) : 0x82;
  const declared = chance.below(5) === 0 ? chance.below(126) : Math.min(125, payload.length);
  const masked = Buffer.from(payload.subarray(0, 125).map((byte, index) => byte ^ (mask[index % 4] ?? 0)));
  if (chance.below(20) === 0) return Buffer.concat([Buffer.from([first, 0xff]), Buffer.alloc(8, 0xff), mask, masked]);
  return Buffer.concat([Buffer.from([first, (chance.below(10) === 0 ? 0 : 0x80) | declared]), mask, masked]);
}

const upgrade = (chance: Chance): Buffer =>
  Buffer.from(
    'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n' +
      `Sec-WebSocket-Key: ${chance.bytes(16).toString('base64')}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n`,
  );

const PATHS = [
  '/',
  '/health',
  '/queue',
  '/devices',
  '/devices/%00',
  '/devices/../../etc/passwd',
  '/..%2f..%2fetc%2fpasswd',
  '/openapi.json',
  '/metrics',
  '/login',
  '/dead-letters',
  '/log-level',
  `/${'a'.repeat(9000)}`,
  '/devices/x/readings?format=[]',
  '/%',
  '//',
  '/docs/../../..',
];

function httpRequest(chance: Chance): Buffer {
  const method = chance.pick(['GET', 'POST', 'DELETE', 'PUT', 'HEAD', 'OPTIONS', 'TRACE', 'BREW']);
  const body = chance.pick([
    Buffer.alloc(0),
    Buffer.from('{"token":'),
    Buffer.from(`{"token":"${'x'.repeat(300)}"}`),
    Buffer.from('{"__proto__":{"x":1}}'),
    chance.bytes(chance.below(300)),
    Buffer.from('[['.repeat(500)),
  ]);
  const headers = [
    `Host: ${chance.pick(['127.0.0.1', 'evil.example', 'localhost', '127.evil.example', '', '[::1]'])}`,
    chance.pick([
      'Origin: http://evil.example',
      'Origin: null',
      'X: y',
      'Transfer-Encoding: chunked',
      `Cookie: hr_gateway_session=${'%'.repeat(chance.below(50))}`,
      'Authorization: Bearer x',
      'Content-Length: -1',
    ]),
    `Content-Type: ${chance.pick(['application/json', 'text/plain', 'multipart/form-data', 'application/json; charset=\u0000'])}`,
    `Content-Length: ${chance.pick([String(body.length), String(body.length), '999999999', '0'])}`,
  ];
  const bytes = Buffer.concat([
    Buffer.from(`${method} ${chance.pick(PATHS)} HTTP/1.1\r\n${headers.join('\r\n')}\r\nConnection: close\r\n\r\n`, 'latin1'),
    body,
  ]);
  if (chance.below(3) === 0) for (let i = chance.below(6); i >= 0; i -= 1) bytes[chance.below(bytes.length)] = chance.below(256);
  return bytes;
}

/** A well-behaved bridge and reader: what one publishes must reach the other, whatever else happens. */
class Pair {
  readonly #bridge: RawClient;
  readonly #reader: RawClient;
  sent = 0;

  private constructor(bridge: RawClient, reader: RawClient) {
    this.#bridge = bridge;
    this.#reader = reader;
  }

  static async make(t: TestContext, port: number, dataDir: string): Promise<Pair> {
    const reader = await connected(t, port);
    assert.equal(await reader.subscribe('hr/well/bpm'), 0);
    return new Pair(
      await connected(t, port, {
        username: 'ble-bridge',
        password: readFileSync(path.join(dataDir, 'keys/ble-bridge')).subarray(0, 43),
      }),
      reader,
    );
  }

  publish(): void {
    this.sent += 1;
    this.#bridge.publish('hr/well/bpm', String(this.sent));
  }

  async complete(): Promise<void> {
    await eventually(() => this.#reader.messages().length === this.sent, { what: 'all messages of who behaves' });
    assert.deepEqual(
      this.#reader.messages().map(({ payload }) => payload),
      Array.from({ length: this.sent }, (_, i) => String(i + 1)),
    );
  }
}

async function flat(process: ProductProcess, what: string, run: () => Promise<void>): Promise<void> {
  const before = residentBytes(process.pid);
  await run();
  const grownMib = (residentBytes(process.pid) - before) / MIB;
  assert.ok(grownMib < 150, `${what}: memory grew by ${Math.round(grownMib)} MiB`);
}

/** Runs the budget from one seed, which is in the report: the same seed sends the same bytes. */
export async function runFuzz(t: TestContext, seed: number, budget: FuzzBudget): Promise<void> {
  const chance = new Chance(seed);
  const dataDir = tempDir(t);
  writeUsers(
    { DATA_DIR: dataDir },
    {
      fuzz: await newUser(PASSWORD, {
        publish: ['hr/a/#', '__proto__', 'constructor/#'],
        subscribe: ['hr/#', '__proto__', 'constructor/#'],
      }),
    },
  );
  const gateway = startProduct(t, 'gateway/main', {
    DATA_DIR: dataDir,
    MQTT_LISTEN_PORT: '0',
    MQTT_LISTEN_WS_PORT: '0',
    MQTT_MAX_PUBLISHES_PER_SECOND: '1000000',
  });
  const { port, ws_port: wsPort } = (await gateway.event('listening')) as { port: number; ws_port: number };
  const admin = startProduct(t, 'admin-api/main', { DATA_DIR: dataDir, ADMIN_PORT: '0', MQTT_URL: `mqtt://127.0.0.1:${port}` });
  const { port: adminPort } = (await admin.event('listening')) as { port: number };
  const pair = await Pair.make(t, port, dataDir);
  const beat = setInterval(() => pair.publish(), 20);
  t.after(() => clearInterval(beat));

  // Most malformed packets close their connection: a few valid packets first, then malformed ones.
  const PER_CONNECTION = 5;
  const mqtt = async (index: number): Promise<void> => {
    const parts = Array.from({ length: PER_CONNECTION }, () => malformed(chance));
    await throwAt(port, index % 5 === 0 ? parts : [greeting(`fuzz-${index}`), wholePacket(chance), ...parts]);
  };
  await atOnce(200, 16, mqtt);
  await flat(gateway, 'MQTT', async () => await atOnce(Math.ceil(budget.mqttPackets / PER_CONNECTION), 16, mqtt));
  await flat(
    gateway,
    'WebSocket',
    async () =>
      await atOnce(
        Math.ceil(budget.webSocketFrames / PER_CONNECTION),
        16,
        async (index) =>
          await throwAt(wsPort, [
            upgrade(chance),
            ...(index % 2 === 0 ? [webSocketFrame(chance, greeting(`ws-${index}`))] : []),
            ...Array.from({ length: PER_CONNECTION }, () => webSocketFrame(chance, malformed(chance))),
          ]),
      ),
  );
  await flat(
    admin,
    'HTTP',
    async () => await atOnce(budget.httpRequests, 16, async () => await throwAt(adminPort, [httpRequest(chance)])),
  );

  clearInterval(beat);
  await pair.complete();
  assert.equal((await fetch(`http://127.0.0.1:${adminPort}/health/live`)).status, 200);
  for (const process of [gateway, admin]) {
    assert.deepEqual(
      process.lines().filter(({ level }) => level === 'error' || level === 'fatal'),
      [],
      'no error, nothing uncaught',
    );
    assert.equal(await process.end(), 0);
  }
  t.diagnostic(
    `seed ${seed}: ${budget.mqttPackets} MQTT packets, ${budget.webSocketFrames} WebSocket frames, ` +
      `${budget.httpRequests} HTTP requests; ${pair.sent} messages passed meanwhile`,
  );
}
