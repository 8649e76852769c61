/** Reference brokers: Aedes as configured in its README, and Debian's Mosquitto. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
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

/** Undefined if Mosquitto is not installed. */
export async function startMosquitto(scratch: Scratch): Promise<ReferenceBroker | undefined> {
  const program = ['/usr/sbin/mosquitto', 'mosquitto'].find(hasProgram);
  if (program === undefined) return undefined;
  const port = await freePort();
  const file = path.join(mkdtempSync(path.join(tmpdir(), 'hr-gateway-bench-')), 'mosquitto.conf');
  writeFileSync(file, `listener ${port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nset_tcp_nodelay true\n`);
  const child = startProgram(scratch, program, ['-c', file]);
  await sleep(500);
  return { url: `mqtt://127.0.0.1:${port}`, child };
}
