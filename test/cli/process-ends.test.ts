import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { PutRecordsCommand } from '@aws-sdk/client-kinesis';
import { startLocalStream } from '../support/local-stream.ts';
import { tempDir } from '../support/temp-dir.ts';
import { testConfig } from '../support/test-config.ts';
import { cliEnvironment, productEntry } from './support/run-cli.ts';

const StreamName = testConfig({}).KINESIS_STREAM;

/** A command line for bash. */
const quoted = (args: readonly string[]): string => args.map((arg) => `'${arg}'`).join(' ');
const hrGateway = (args: readonly string[]): string => quoted([process.execPath, ...productEntry(), ...args]);

describe('a reader that closes the pipe ends the command quietly', () => {
  test('a pipe that is closed before the first line', () => {
    const script = `${hrGateway(['config'])} | true; echo "exit code \${PIPESTATUS[0]}"`;
    const { stdout, stderr } = spawnSync('bash', ['-c', script], { encoding: 'utf8', env: cliEnvironment({}) });
    assert.equal(stderr, '');
    assert.equal(stdout, 'exit code 0\n');
  });

  test('tail | head -1 ends after one reading, although the stream continues', async (t) => {
    const { client, port } = await startLocalStream(t);
    const put = async (): Promise<void> => {
      await client.send(
        new PutRecordsCommand({ StreamName, Records: [{ PartitionKey: 'k', Data: Buffer.from('no reading\n') }] }),
      );
    };
    const child = spawn(
      'bash',
      ['-c', `${hrGateway(['tail', '--from', 'oldest'])} | head -n 1; echo "exit code \${PIPESTATUS[0]}"`],
      {
        env: cliEnvironment({ environment: { LOCAL_KINESIS_PORT: String(port) } }),
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    const timer = setInterval(() => void put().catch(() => {}), 100);
    t.after(() => {
      clearInterval(timer);
      child.kill('SIGKILL');
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    await new Promise((resolve) => child.once('close', resolve));
    assert.equal(stderr, '');
    assert.equal(stdout, '?  no reading\nexit code 0\n');
  });
});

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)
  test(`${signal} ends a waiting command quietly with exit code ${code}`, async (t) => {
    const { port } = await startLocalStream(t);
    const child = spawn(process.execPath, [...productEntry(), 'tail'], {
      env: cliEnvironment({
        environment: { DATA_DIR: tempDir(t), LOCAL_KINESIS_PORT: String(port) },
        // Once the command listens for signals, however long its start takes.
        before:
          "process.on('newListener', (name) => name === 'SIGTERM' && setTimeout(() => process.stdout.write('ready'), 500));",
      }),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    t.after(() => child.kill('SIGKILL'));
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    await new Promise((resolve) => child.stdout.once('data', resolve));
    child.kill(signal);
    assert.equal(await new Promise((resolve) => child.once('exit', resolve)), code);
    assert.equal(stderr, '');
  });
