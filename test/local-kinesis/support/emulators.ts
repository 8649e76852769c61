/** Streams with Kinesis' API: ours, moto's server, npm's kinesis-local. */
import { spawn } from 'node:child_process';
import { createServer, type AddressInfo } from 'node:net';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ListStreamsCommand, type KinesisClient } from '@aws-sdk/client-kinesis';
import { cloudPython, startMoto } from '../../cloud/support/moto.ts';
import { clientOf } from '../../system/pipeline/support/stream.ts';
import { eventually } from '../../support/eventually.ts';
import { startLocalStream } from '../../support/local-stream.ts';

type Scope = Pick<TestContext, 'after'>;

export interface Emulator {
  endpoint: string;
  client: KinesisClient;
}

function emulatorAt(t: Scope, endpoint: string): Emulator {
  // The laws make more streams a second than an account may.
  const client = clientOf(endpoint, { maxAttempts: 10 });
  t.after(() => client.destroy());
  return { endpoint, client };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function startKinesisLocal(t: Scope): Promise<Emulator> {
  const port = await freePort();
  // It reads its certificate from the working folder.
  const cwd = path.dirname(fileURLToPath(import.meta.resolve('kinesis-local/package.json')));
  const child = spawn(process.execPath, ['main.js'], {
    cwd,
    env: { PATH: process.env['PATH'], KINESIS_MOCK_TLS_PORT: '0', KINESIS_MOCK_PLAIN_PORT: String(port), LOG_LEVEL: 'ERROR' },
    stdio: 'ignore',
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const emulator = emulatorAt(t, `http://127.0.0.1:${port}`);
  await eventually(async () => await emulator.client.send(new ListStreamsCommand({})), { withinMs: 60_000, everyMs: 200 });
  return emulator;
}

/** Starts an emulator; undefined, with a message, if it cannot run here. */
export const emulators: Readonly<Record<'local stream' | 'moto' | 'kinesis-local', (t: Scope) => Promise<Emulator | undefined>>> =
  {
    'local stream': async (t) => emulatorAt(t, (await startLocalStream(t)).endpoint),
    moto: async (t) => {
      const python = await cloudPython();
      return python === undefined ? undefined : emulatorAt(t, await startMoto(t, python));
    },
    'kinesis-local': startKinesisLocal,
  };
