/** What the system holds for clients that do not read: it is counted, and freed as soon as they are disconnected. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { test, type TestContext } from 'node:test';
import { generate } from 'mqtt-packet';
import { WebSocket } from 'ws';
import { parseUnreadBytes } from '../../service/network/unread-bytes.ts';
import { makeAuthority } from '../support/certificates.ts';
import { eventually } from '../support/eventually.ts';
import { tempDir } from '../support/temp-dir.ts';
import { startGateway } from './support/gateway.ts';
import { connected } from './support/raw-client.ts';

const MIB = 1024 * 1024;
const KINDS = ['mqtt', 'ws', 'mqtts'] as const;
type Kind = (typeof KINDS)[number];
const FROZEN = 12;
/** The broker measures every second, and resets at once; the last packets to a client have another second. */
const FREED_WITHIN_MS = 5000;
const USERS = { hog: { password: 'pass-word', subscribe: ['app/#'], publish: ['app/#'] } };
const HOG = { username: 'hog', password: Buffer.from('pass-word') };

/** CONNECT and SUBSCRIBE of one of the clients that then read nothing. */
const greeting = (index: number): Buffer =>
  Buffer.concat([
    generate({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clean: true,
      keepalive: 0,
      clientId: `frozen-${index}`,
      ...HOG,
    }),
    generate({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'app/#', qos: 0 }] }),
  ]);

/** Resolves when the SUBACK, the second answer, has arrived; from then on nothing is read. */
async function frozenTcp(socket: Socket, index: number): Promise<void> {
  socket.on('error', () => {});
  socket.write(greeting(index));
  let received = 0;
  await new Promise<void>((resolve) => {
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length;
      if (received < 4 + 5) return;
      socket.pause();
      resolve();
    });
  });
}

async function frozenWebSocket(t: Pick<TestContext, 'after'>, port: number, index: number): Promise<Socket> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}`, 'mqtt');
  t.after(() => socket.terminate());
  socket.on('error', () => {});
  socket.once('open', () => socket.send(greeting(index)));
  let received = 0;
  await new Promise<void>((resolve) => {
    socket.on('message', (data: Buffer) => {
      received += data.length;
      if (received < 4 + 5) return;
      socket.pause();
      resolve();
    });
  });
  return (socket as unknown as { _socket: Socket })._socket;
}

/** A subscriber that reads nothing, over one of the listeners. */
async function frozenClient(
  t: TestContext,
  { kind, port, ca }: { kind: Kind; port: number; ca: Buffer },
  index: number,
): Promise<Socket> {
  if (kind === 'ws') return await frozenWebSocket(t, port, index);
  const socket = kind === 'mqtt' ? connect({ port, host: '127.0.0.1' }) : connectTls({ port, host: '127.0.0.1', ca });
  t.after(() => socket.destroy());
  await frozenTcp(socket, index);
  return socket;
}

/** What the system holds in connections of a local port. */
function heldBytes(port: number): number {
  let sum = 0;
  for (const [key, bytes] of parseUnreadBytes(readFileSync('/proc/self/net/tcp', 'latin1')))
    if (key.startsWith(`${port} `)) sum += bytes;
  return sum;
}

for (const kind of KINDS)
  test(`what the system holds for frozen subscribers counts, and is freed when they are disconnected (${kind})`, async (t) => {
    const { caFile, certFile, keyFile } = makeAuthority(tempDir(t));
    const gateway = await startGateway(
      t,
      { MQTT_SLOW_SUBSCRIBER_MS: '60000', MQTT_TLS_CERT_FILE: certFile, MQTT_TLS_KEY_FILE: keyFile },
      USERS,
      { memoryOfBacklogs: 6 * MIB },
    );
    const port = gateway.ports[kind];
    const ca = readFileSync(caFile);
    const hog = await connected(t, gateway.ports.mqtt, HOG);
    for (let index = 0; index < FROZEN; index += 1) await frozenClient(t, { kind, port, ca }, index);
    const payload = Buffer.alloc(64 * 1024);
    let most = 0;
    const timer = setInterval(() => {
      most = Math.max(most, heldBytes(port));
      if (hog.socket.writableLength < MIB) hog.publish('app/x', payload);
    }, 20);
    t.after(() => clearInterval(timer));
    await eventually(() => (gateway.service.breaches['memory'] ?? 0) >= FROZEN / 2, {
      what: 'the largest ones to be disconnected',
    });
    await eventually(() => gateway.service.checks.some(({ reason }) => reason.startsWith('user hog ')), { what: 'a name' });
    clearInterval(timer);
    const stoppedAtMs = performance.now();
    await eventually(() => heldBytes(port) < 8 * MIB, { withinMs: FREED_WITHIN_MS, what: 'the system to free what it held' });
    t.diagnostic(
      `the system held up to ${(most / MIB).toFixed(1)} MiB, and ${(heldBytes(port) / MIB).toFixed(1)} MiB ` +
        `${Math.round(performance.now() - stoppedAtMs)} ms after the end`,
    );
    assert.ok(most > 6 * MIB, 'the budget was exceeded');
    // A second's deliveries come on top.
    assert.ok(most < 6 * MIB + 40 * MIB, `${most} bytes`);
    assert.equal(gateway.service.breaches['slow_subscriber'], undefined, 'their time had not run out');
  });

const end = (socket: Socket): void => void socket.end();
const ENDS: readonly (readonly [how: string, kind: Kind, close: (socket: Socket) => void])[] = [
  ...KINDS.map((kind) => [`close their side only (${kind})`, kind, end] as const),
  ['send what is no MQTT', 'mqtt', (socket) => void socket.write('\0\0\0\0')],
  ['announce a huge packet', 'mqtt', (socket) => void socket.write(Buffer.from([0x82, 0xff, 0xff, 0x7f, 0, 0]))],
];

for (const [how, kind, close] of ENDS)
  test(`frozen subscribers that ${how} are disconnected, and leave nothing with the system`, async (t) => {
    const { caFile, certFile, keyFile } = makeAuthority(tempDir(t));
    const tls = { MQTT_TLS_CERT_FILE: certFile, MQTT_TLS_KEY_FILE: keyFile };
    const gateway = await startGateway(t, { MQTT_SLOW_SUBSCRIBER_MS: '60000', ...tls }, USERS);
    const port = gateway.ports[kind];
    const hog = await connected(t, gateway.ports.mqtt, HOG);
    const frozen: Socket[] = [];
    for (let index = 0; index < FROZEN; index += 1)
      frozen.push(await frozenClient(t, { kind, port, ca: readFileSync(caFile) }, index));
    const payload = Buffer.alloc(64 * 1024);
    const timer = setInterval(() => {
      if (hog.socket.writableLength < MIB) hog.publish('app/x', payload);
    }, 20);
    t.after(() => clearInterval(timer));
    await eventually(() => heldBytes(port) > 6 * MIB, { what: 'the system to hold much' });
    clearInterval(timer);
    await hog.settled();
    for (const socket of frozen) close(socket);
    await eventually(() => heldBytes(port) < MIB, { withinMs: FREED_WITHIN_MS, what: 'the system to free what it held' });
    assert.equal(gateway.service.breaches['memory'], undefined, 'the budget was not exceeded');
    assert.equal(gateway.service.breaches['slow_subscriber'], undefined, 'their time had not run out');
  });
