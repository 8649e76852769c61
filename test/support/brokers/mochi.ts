/** A real mochi-mqtt, compiled from ./mochi once. */
import { execFile, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { freePort } from '../free-port.ts';
import { BrokerProcess } from './broker-process.ts';

const source = fileURLToPath(new URL('mochi', import.meta.url));
const cache = fileURLToPath(new URL('../../../.cache/mochi', import.meta.url));

export const GO_MISSING = 'Go is not installed';

export const hasGo = (): boolean => spawnSync('go', ['version']).status === 0;

export interface MochiOptions {
  users: Record<string, { password: string; write: string[]; read: string[] }>;
  maxPacketBytes?: number;
  maxFilters?: number;
  usernameIsTheClientId?: boolean;
}

async function binary(): Promise<string> {
  const digest = createHash('sha256');
  for (const name of ['main.go', 'go.mod', 'go.sum']) digest.update(readFileSync(path.join(source, name)));
  const file = path.join(cache, digest.digest('hex').slice(0, 12));
  if (existsSync(file)) return file;
  mkdirSync(cache, { recursive: true });
  await promisify(execFile)('go', ['build', '-o', file, '.'], { cwd: source });
  return file;
}

export async function startMochi(t: Pick<TestContext, 'after'>, options: MochiOptions): Promise<BrokerProcess> {
  const port = await freePort();
  const settings = JSON.stringify({ address: `127.0.0.1:${port}`, ...options });
  const broker = new BrokerProcess(t, { command: await binary(), args: [settings], port });
  await broker.start();
  return broker;
}
