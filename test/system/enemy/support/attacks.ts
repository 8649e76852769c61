/**
 * Attacks on a box: one entry each. The code of an attack runs in a process of its own, which is stopped half of the time (as a CPU quota
 * of 50 % would) and killed at the end. To add one, add an entry; a new kind of target goes into `Target`.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { generate, type Packet } from 'mqtt-packet';

/** What an attacker reaches, and what it has: users of the box with the password, and the key of another box's bridge. */
export interface Target {
  mqtt: number;
  ws: number;
  services: number;
  admin: number;
  password: string;
}

export interface Attack {
  /** What the attacker does, as a sentence without a subject. */
  name: string;
  /** The party that health must name; undefined: nobody is over a budget for long. */
  named: RegExp | undefined;
  run: (target: Target) => Promise<void>;
}

function open(port: number, data?: Buffer): Socket {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  socket.on('error', () => {});
  socket.resume();
  if (data !== undefined) socket.write(data);
  return socket;
}

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

/** Writes as fast as TCP takes it, and connects again when it is disconnected. */
async function pour(port: number, first: () => Buffer, next: (index: number) => Buffer): Promise<void> {
  for (let index = 0; ;) {
    const socket = open(port, first());
    while (!socket.destroyed) {
      const isRoom = socket.write(next(index));
      index += 1;
      if (!isRoom) await once(socket, 'drain', { signal: AbortSignal.timeout(1000) }).catch(() => undefined);
      else if (index % 20 === 0) await sleep(0);
    }
    await sleep(20);
  }
}

async function each(count: number, run: (index: number) => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: count }, async (_, index) => await run(index)));
}

/** Keeps so many connections open, and opens others for those that are closed. */
async function keepOpen(port: number, count: number, first: () => Buffer | undefined, isFrozen = false): Promise<void> {
  const sockets = new Set<Socket>();
  for (;;) {
    for (let missing = Math.min(50, count - sockets.size); missing > 0; missing -= 1) {
      const socket = open(port, first());
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      if (isFrozen) socket.once('data', () => socket.pause());
    }
    await sleep(20);
  }
}

const ADDRESS = /^address 127\.0\.0\.1/;
const HOG = /^user hog/;
const RUN = (index: number): string => index.toString(16).padStart(16, '0');

export const ATTACKS: readonly Attack[] = [
  {
    name: 'subscribes 3,000 times on each of 100 anonymous connections',
    named: ADDRESS,
    run: async ({ mqtt }) =>
      await each(
        100,
        async () =>
          await pour(
            mqtt,
            () => hello(),
            () => many(50, subscribe('hr/#')),
          ),
      ),
  },
  {
    name: 'subscribes to different filters, and unsubscribes again',
    named: ADDRESS,
    run: async ({ mqtt }) =>
      await each(
        50,
        async () =>
          await pour(
            mqtt,
            () => hello(),
            (index) => {
              const topic = `hr/x${index}/+`;
              return Buffer.concat([subscribe(topic), generate({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: [topic] })]);
            },
          ),
      ),
  },
  {
    name: 'pings without end on 50 connections',
    named: ADDRESS,
    run: async ({ mqtt }) =>
      await each(
        50,
        async () =>
          await pour(
            mqtt,
            () => hello(),
            () => many(1000, { cmd: 'pingreq' }),
          ),
      ),
  },
  {
    name: 'fills the retained messages',
    named: HOG,
    run: async ({ mqtt, password }) =>
      await each(
        4,
        async (lane) =>
          await pour(
            mqtt,
            () => hello('hog', password),
            (index) => publish(`app/${lane}/${index}`, 'x'.repeat(2000), true),
          ),
      ),
  },
  {
    name: 'publishes readings as fast as possible on ten connections',
    named: HOG,
    run: async ({ mqtt, password }) =>
      await each(
        10,
        async () =>
          await pour(
            mqtt,
            () => hello('hog', password),
            () => many(20, publish('hr/hog/bpm', '72')),
          ),
      ),
  },
  {
    name: 'sends as many bytes as possible',
    named: HOG,
    run: async ({ mqtt, password }) =>
      await each(
        4,
        async () =>
          await pour(
            mqtt,
            () => hello('hog', password),
            () => publish('app/x', Buffer.alloc(500_000)),
          ),
      ),
  },
  {
    name: 'does not read on 60 connections what it publishes on another one',
    named: HOG,
    run: async ({ mqtt, password }) => {
      const frozen = keepOpen(mqtt, 60, () => Buffer.concat([hello('hog', password), subscribe('app/#')]), true);
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
    named: undefined,
    run: async ({ mqtt, password }) => {
      const almost = publish('app/x', Buffer.alloc(1_000_000)).subarray(0, 990_000);
      await keepOpen(mqtt, 200, () => Buffer.concat([hello('hog', password), almost]));
    },
  },
  {
    name: 'opens connections on each port, and says nothing',
    named: ADDRESS,
    run: async ({ mqtt, ws, services }) =>
      void (await Promise.all([mqtt, ws, services].map(async (port) => await keepOpen(port, 800, () => undefined)))),
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
    named: undefined,
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
