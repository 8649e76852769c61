/** A stream with enhanced fan-out, which the local stream has not: npm's kinesis-local as a process. It is slow and throttles nothing. */
import { spawn } from 'node:child_process';
import { createServer, type AddressInfo } from 'node:net';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  CreateStreamCommand,
  DescribeStreamConsumerCommand,
  DescribeStreamSummaryCommand,
  RegisterStreamConsumerCommand,
  type KinesisClient,
} from '@aws-sdk/client-kinesis';
import { clientOf } from '../../system/pipeline/support/stream.ts';
import { eventually } from '../../support/eventually.ts';

const folder = path.dirname(fileURLToPath(import.meta.resolve('kinesis-local/package.json')));

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export interface FanOutStream {
  client: KinesisClient;
  consumerArn: string;
  /** Waits until the stream is ACTIVE with so many open shards. */
  active(openShards: number): Promise<void>;
  /** Kills it. */
  stop(): Promise<void>;
}

/** A stream `hr-data-stream` with this many shards and a registered consumer. */
export async function startFanOutStream(t: Pick<TestContext, 'after'>, shards: number): Promise<FanOutStream> {
  const plainPort = await freePort();
  const child = spawn(process.execPath, ['main.js'], {
    // It reads its certificate from the working folder.
    cwd: folder,
    env: {
      PATH: process.env['PATH'],
      KINESIS_MOCK_TLS_PORT: '0',
      KINESIS_MOCK_PLAIN_PORT: String(plainPort),
      LOG_LEVEL: 'ERROR',
    },
    stdio: 'ignore',
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const client = clientOf(`http://127.0.0.1:${plainPort}`);
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended;
  };
  t.after(async () => {
    client.destroy();
    await stop();
  });
  const StreamName = 'hr-data-stream';
  await eventually(async () => await client.send(new CreateStreamCommand({ StreamName, ShardCount: shards })), {
    withinMs: 60_000,
    everyMs: 200,
  });
  const active = async (openShards: number): Promise<void> => {
    await eventually(
      async () => {
        const { StreamDescriptionSummary } = await client.send(new DescribeStreamSummaryCommand({ StreamName }));
        return StreamDescriptionSummary?.StreamStatus === 'ACTIVE' && StreamDescriptionSummary.OpenShardCount === openShards;
      },
      { everyMs: 100 },
    );
  };
  await active(shards);
  const { StreamDescriptionSummary } = await client.send(new DescribeStreamSummaryCommand({ StreamName }));
  const { Consumer } = await client.send(
    new RegisterStreamConsumerCommand({ StreamARN: StreamDescriptionSummary?.StreamARN, ConsumerName: 'reader' }),
  );
  const consumerArn = Consumer?.ConsumerARN ?? '';
  await eventually(
    async () =>
      (await client.send(new DescribeStreamConsumerCommand({ ConsumerARN: consumerArn }))).ConsumerDescription?.ConsumerStatus ===
      'ACTIVE',
    { everyMs: 100 },
  );
  return { client, consumerArn, active, stop };
}
