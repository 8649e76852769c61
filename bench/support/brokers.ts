/** Reference brokers: Aedes as configured in its README, and Debian's Mosquitto. */
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { userInfo } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { hasProgram, startHelper, startProgram, type Child } from './child.ts';
import type { Scratch } from './scratch.ts';

export interface ReferenceBroker {
  url: string;
  child: Child;
}

export async function startPlainAedes(scratch: Scratch): Promise<ReferenceBroker> {
  const child = startHelper(scratch, 'support/plain-aedes.ts');
  const { port } = await child.line(({ event }) => event === 'listening');
  return { url: `mqtt://127.0.0.1:${String(port)}`, child };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function mosquitto(scratch: Scratch, settings: readonly string[] = []): Promise<ReferenceBroker | undefined> {
  const program = ['/usr/sbin/mosquitto', 'mosquitto'].find(hasProgram);
  if (program === undefined) return undefined;
  const port = await freePort();
  const folder = scratch.folder();
  const file = path.join(folder, 'mosquitto.conf');
  const lines = [
    `listener ${port} 127.0.0.1`,
    'allow_anonymous true',
    'max_queued_messages 0',
    'set_tcp_nodelay true',
    ...settings,
  ];
  writeFileSync(file, `${lines.map((line) => line.replace('<folder>', folder)).join('\n')}\n`);
  const child = startProgram(scratch, program, ['-c', file]);
  await sleep(500);
  return { url: `mqtt://127.0.0.1:${port}`, child };
}

/** Undefined if Mosquitto is not installed. */
export const startMosquitto = async (scratch: Scratch): Promise<ReferenceBroker | undefined> => await mosquitto(scratch);

/** Mosquitto that saves its database on every change. Undefined if Mosquitto is not installed. */
export async function startPersistentMosquitto(scratch: Scratch): Promise<ReferenceBroker | undefined> {
  // Started by root it would become another user, who may not write here.
  return await mosquitto(scratch, [
    'persistence true',
    'persistence_location <folder>/',
    'autosave_on_changes true',
    'autosave_interval 1',
    'max_inflight_messages 0',
    `user ${userInfo().username}`,
  ]);
}
