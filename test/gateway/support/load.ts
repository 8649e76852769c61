/**
 * A gateway process under load: well-behaved subscribers and straps, beside a frozen subscriber, a flooding publisher and a storm of
 * connections. Clients are sockets with a minimal reader: five hundred client libraries would be the load themselves.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { generate } from 'mqtt-packet';
import { newUser, writeUsers } from '../../../gateway/users.ts';
import { eventually } from '../../support/eventually.ts';
import { startProduct } from '../../support/product-process.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { residentBytes } from './process-memory.ts';

export interface LoadShape {
  seconds: number;
  subscribers: number;
  straps: number;
  /** How many straps each subscriber follows; all of them by a wildcard. */
  strapsEach: number;
}

const PASSWORD = 'load test password';
const MIB = 1024 * 1024;
/** How long the flood may take to fill what the system holds for a frozen subscriber, and the broker to find it. */
const FILLED_WITHIN_S = 20;

function openSocket(port: number): Socket {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  socket.on('error', () => {});
  return socket;
}

function hello(clientId: string, username?: string, password?: string): Buffer {
  return generate({
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clean: true,
    keepalive: 0,
    clientId,
    ...(username === undefined ? {} : { username, password: Buffer.from(password ?? '') }),
  });
}

function subscription(filters: readonly string[]): Buffer {
  return generate({ cmd: 'subscribe', messageId: 1, subscriptions: filters.map((topic) => ({ topic, qos: 0 as const })) });
}

const message = (topic: string, payload: string): Buffer =>
  generate({ cmd: 'publish', topic, payload, qos: 0, dup: false, retain: false });

/** Counts the messages of each strap, and detects missing, repeated and reordered ones. */
class Follower {
  readonly socket: Socket;
  readonly latencies: number[];
  readonly lastSeq = new Map<string, number>();
  subscribed = false;
  received = 0;
  wrong = 0;
  closed = false;
  #rest: Buffer = Buffer.alloc(0);

  constructor(port: number, id: string, filters: readonly string[], latencies: number[]) {
    this.latencies = latencies;
    this.socket = openSocket(port);
    this.socket.on('close', () => {
      this.closed = true;
    });
    this.socket.on('data', (chunk) => this.#read(chunk));
    this.socket.write(hello(id));
    this.socket.write(subscription(filters));
  }

  #read(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    for (;;) {
      let length = 0;
      let digits = 0;
      for (;;) {
        const byte = bytes[at + 1 + digits];
        if (byte === undefined) return this.#keep(bytes, at);
        length += (byte & 0x7f) * 128 ** digits;
        digits += 1;
        if (byte < 0x80) break;
      }
      const start = at + 1 + digits;
      if (bytes.length < start + length) return this.#keep(bytes, at);
      const kind = (bytes[at] ?? 0) >> 4;
      if (kind === 9) this.subscribed = true;
      if (kind === 3) this.#take(bytes.subarray(start + 2 + bytes.readUInt16BE(start), start + length));
      at = start + length;
    }
  }

  #keep(bytes: Buffer, from: number): void {
    this.#rest = bytes.subarray(from);
  }

  #take(payload: Buffer): void {
    const [strap = '', seq = '', sentAt = ''] = payload.toString('latin1').split(' ', 3);
    this.received += 1;
    const last = this.lastSeq.get(strap) ?? 0;
    if (Number(seq) !== last + 1) this.wrong += 1;
    this.lastSeq.set(strap, Number(seq));
    this.latencies.push(performance.now() - Number(sentAt));
  }
}

/** A subscriber of everything that stops reading once it is connected. Resolves with its socket. */
function freeze(port: number): Socket {
  const socket = openSocket(port);
  socket.write(hello(`frozen-${Math.random()}`, 'flooder', PASSWORD));
  socket.write(subscription(['flood/#']));
  socket.once('data', () => socket.pause());
  return socket;
}

/** Short connections: with right and wrong passwords, with malformed packets, with nothing. */
async function storm(port: number, ended: () => boolean): Promise<number> {
  let connections = 0;
  for (; !ended(); connections += 1) {
    const socket = openSocket(port);
    const kind = connections % 4;
    if (kind === 0) socket.write(Buffer.concat([hello(`storm-${connections}`), subscription(['hr/#'])]));
    if (kind === 1) socket.write(hello(`storm-${connections}`, 'nobody', 'guess'));
    if (kind === 2) socket.write(Buffer.from('GET / HTTP/1.1\r\n\r\n'));
    setTimeout(() => socket.destroy(), 200).unref();
    await sleep(20);
  }
  return connections;
}

/** Writes as fast as TCP takes it. */
async function flood(port: number, ended: () => boolean): Promise<number> {
  const socket = openSocket(port);
  socket.write(hello('flooder', 'flooder', PASSWORD));
  const packet = message('flood/x', 'x'.repeat(4000));
  let sent = 0;
  while (!ended()) {
    for (let i = 0; i < 50; i += 1) socket.write(packet);
    sent += 50;
    // The end of the load must be noticed although nothing is read any more.
    if (socket.writableLength > 256 * 1024)
      await once(socket, 'drain', { signal: AbortSignal.timeout(500) }).catch(() => undefined);
    else await sleep(1);
  }
  socket.destroy();
  return sent;
}

const percentile = (sorted: readonly number[], part: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
const middle = (values: readonly number[]): number =>
  percentile(
    [...values].sort((a, b) => a - b),
    0.5,
  );

/** Runs the load, asserts that well-behaved clients lost nothing and that memory stays flat, and reports the latencies. */
export async function runLoad(t: TestContext, shape: LoadShape): Promise<void> {
  const dataDir = tempDir(t);
  writeUsers({ DATA_DIR: dataDir }, { flooder: await newUser(PASSWORD, { publish: ['flood/#'], subscribe: ['flood/#'] }) });
  const gateway = startProduct(t, 'gateway/main', { DATA_DIR: dataDir, MQTT_LISTEN_PORT: '0', MQTT_LISTEN_WS_PORT: '0' });
  const { port } = (await gateway.event('listening')) as { port: number };
  const latencies: number[] = [];
  const all = shape.strapsEach >= shape.straps;
  const followers: Follower[] = [];
  for (let i = 0; i < shape.subscribers; i += 1) {
    const filters = all
      ? ['hr/+/bpm']
      : Array.from({ length: shape.strapsEach }, (_, k) => `hr/strap-${(i + k) % shape.straps}/bpm`);
    followers.push(new Follower(port, `follower-${i}`, filters, latencies));
    if (i % 50 === 49) await eventually(() => followers.every(({ subscribed }) => subscribed));
  }
  const frozen: Socket[] = [];
  const bridge = openSocket(port);
  bridge.write(hello('bridge', 'ble-bridge', readFileSync(path.join(dataDir, 'keys/ble-bridge'), 'utf8').trim()));
  t.after(() => {
    for (const { socket } of followers) socket.destroy();
    bridge.destroy();
    for (const socket of frozen) socket.destroy();
  });

  let over = false;
  const ended = (): boolean => over;
  const hostile = [storm(port, ended), flood(port, ended)];
  const memory: number[] = [];
  const startedAt = performance.now();
  const padding = 'x'.repeat(150);
  // Each strap once a second, evenly spread; late ones are caught up.
  for (let tick = 0; tick < shape.seconds * shape.straps; tick += 1) {
    const dueMs = (tick * 1000) / shape.straps;
    const waitMs = startedAt + dueMs - performance.now();
    if (waitMs > 1) await sleep(waitMs);
    const strap = tick % shape.straps;
    bridge.write(
      message(`hr/strap-${strap}/bpm`, `${strap} ${1 + Math.floor(tick / shape.straps)} ${performance.now()} ${padding}`),
    );
    if (tick % shape.straps === 0) memory.push(residentBytes(gateway.pid));
    // Not near the end: the flood needs time to fill the buffers between the two.
    if (tick % (10 * shape.straps) === shape.straps && tick < (shape.seconds - FILLED_WITHIN_S) * shape.straps)
      frozen.push(freeze(port));
  }
  over = true;
  const [connections, flooded] = await Promise.all(hostile);
  // A machine that is too slow for the load may be late, but must not lose messages.
  const expected = shape.seconds * Math.min(shape.strapsEach, shape.straps);
  await eventually(() => followers.every(({ received }) => received >= expected), {
    withinMs: Math.max(60, shape.seconds) * 1000,
    what: 'every message at every subscriber',
  }).catch(() => {});

  const fifth = Math.floor(memory.length / 5);
  const [early, late] = [middle(memory.slice(fifth, 2 * fifth)), middle(memory.slice(-fifth))];
  latencies.sort((a, b) => a - b);
  const ms = (part: number): string => percentile(latencies, part).toFixed(1);
  t.diagnostic(
    `${latencies.length} deliveries to ${shape.subscribers} subscribers in ${shape.seconds} s: ` +
      `p50 ${ms(0.5)}, p99 ${ms(0.99)}, max ${ms(1)} ms; broker ${Math.round(early / MIB)} to ${Math.round(late / MIB)} MiB; ` +
      `meanwhile ${connections} connections came and went, ${flooded} messages were flooded, ${frozen.length} subscribers froze`,
  );
  assert.deepEqual(followers.filter(({ closed }) => closed).length, 0, 'no one that behaves was disconnected');
  assert.equal(
    followers.reduce((sum, { received }) => sum + received, 0),
    shape.subscribers * expected,
    'messages',
  );
  assert.equal(
    followers.reduce((sum, { wrong }) => sum + wrong, 0),
    0,
    'out of order, missing or twice',
  );
  const limits = new Set(
    gateway
      .lines()
      .filter((line) => line['event'] === 'limit_breached')
      .map((line) => line['limit']),
  );
  for (const limit of ['slow_subscriber', 'publish_rate', 'login']) assert.ok(limits.has(limit), `${limit} is named in the log`);
  assert.ok(late - early < 48 * MIB, `memory grew from ${Math.round(early / MIB)} to ${Math.round(late / MIB)} MiB`);
  assert.equal(await gateway.end(), 0);
}
