import assert from 'node:assert/strict';
import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2';
import { connect } from 'node:net';
import { test } from 'node:test';
import { CreateStreamCommand, KinesisClient, ListStreamsCommand, PutRecordCommand } from '@aws-sdk/client-kinesis';
import { eventually } from '../support/eventually.ts';
import { startLocalStream } from '../support/local-stream.ts';

async function ask(session: ClientHttp2Session, operation: string, input: object): Promise<{ status: number; body: unknown }> {
  const request = session.request({
    ':method': 'POST',
    ':path': '/',
    'x-amz-target': `Kinesis_20131202.${operation}`,
    'content-type': 'application/x-amz-json-1.1',
  });
  request.end(JSON.stringify(input));
  let status = 0;
  request.on('response', (headers) => void (status = Number(headers[':status'])));
  let text = '';
  for await (const chunk of request as AsyncIterable<Buffer>) text += chunk.toString();
  return { status, body: JSON.parse(text) };
}

test('HTTP/2 and HTTP/1 are served on one port, many requests at a time', async (t) => {
  const stream = await startLocalStream(t, { LOCAL_KINESIS_LIMITS: 'false' });
  const session = connectHttp2(stream.endpoint);
  t.after(() => session.destroy());
  const put = (index: number): object => ({
    StreamName: 'hr-data-stream',
    PartitionKey: String(index),
    Data: Buffer.alloc(20_000, index).toString('base64'),
  });
  const answers = await Promise.all(Array.from({ length: 100 }, async (_, index) => await ask(session, 'PutRecord', put(index))));
  assert.deepEqual(
    answers.filter(({ status }) => status !== 200),
    [],
  );
  await stream.client.send(new ListStreamsCommand({}));
  assert.deepEqual(await ask(session, 'DescribeStream', { StreamName: 'none-such' }), {
    status: 400,
    body: { __type: 'ResourceNotFoundException', message: 'Stream none-such under account 000000000000 not found.' },
  });
});

test("the SDK's default request handler, which speaks HTTP/2, works", async (t) => {
  const stream = await startLocalStream(t);
  const client = new KinesisClient({
    endpoint: stream.endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  });
  t.after(() => client.destroy());
  await client.send(new CreateStreamCommand({ StreamName: 'second', ShardCount: 1 }));
  const { SequenceNumber } = await client.send(
    new PutRecordCommand({ StreamName: 'second', Data: Buffer.from('x'), PartitionKey: 'a' }),
  );
  assert.ok(SequenceNumber !== undefined, 'the record is stored');
});

test('a request that arrives byte by byte is understood, HTTP/1 or HTTP/2', async (t) => {
  const stream = await startLocalStream(t);
  const answerTo = async (bytes: Buffer): Promise<Buffer> =>
    await new Promise((resolve, reject) => {
      const socket = connect(stream.port, '127.0.0.1');
      socket.setNoDelay(true);
      socket.once('data', (data) => {
        resolve(data);
        socket.destroy();
      });
      socket.once('error', reject);
      let at = 0;
      const next = (): void => {
        if (at >= bytes.length || socket.destroyed) return;
        socket.write(bytes.subarray(at, (at += 1)));
        setTimeout(next, 2);
      };
      next();
    });
  const http1 = Buffer.from('PUT / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}');
  assert.match((await answerTo(http1)).toString(), /^HTTP\/1\.1 404 /);
  const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
  const http2 = Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), settings]);
  // A SETTINGS frame.
  assert.equal((await answerTo(http2))[3], 4);
});

test('the stream stops though HTTP/2 clients and silent ones are connected', async (t) => {
  const stream = await startLocalStream(t);
  const session = connectHttp2(stream.endpoint);
  session.on('error', () => {});
  t.after(() => session.destroy());
  await ask(session, 'ListStreams', {});
  const silent = connect(stream.port, '127.0.0.1');
  silent.on('error', () => {});
  await new Promise((resolve) => silent.once('connect', resolve));
  const began = performance.now();
  await stream.stop();
  assert.ok(performance.now() - began < 3000, `${performance.now() - began} ms`);
  await eventually(() => Promise.resolve(silent.destroyed && session.destroyed), { what: 'both connections are closed' });
});
