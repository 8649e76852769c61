/** What web pages and other programs on this machine do to the local stream, which accepts any credentials. */
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { test } from 'node:test';
import { DescribeStreamCommand, PutRecordCommand } from '@aws-sdk/client-kinesis';
import { attack, openOf, type Attacker } from '../admin-api/support/attacks.ts';
import { eventually } from '../support/eventually.ts';
import { startLocalStream } from '../support/local-stream.ts';
import { clientOf } from '../system/pipeline/support/stream.ts';

const STREAM = 'hr-data-stream';

async function ask(
  port: number,
  operation: string,
  headers: Record<string, string>,
  target = '/',
): Promise<{ status: number; text: string }> {
  return await new Promise((resolve, reject) => {
    const asked = request(
      {
        port,
        host: '127.0.0.1',
        method: 'POST',
        path: target,
        agent: false,
        headers: {
          'x-amz-target': `Kinesis_20131202.${operation}`,
          'content-type': 'application/x-amz-json-1.1',
          ...headers,
        },
      },
      (answer) => {
        let text = '';
        answer.on('data', (chunk) => (text += String(chunk)));
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }));
      },
    );
    asked.on('error', reject);
    asked.end(JSON.stringify({ StreamName: STREAM }));
  });
}

test("another site's name for this address reads, deletes and controls nothing (DNS rebinding)", async (t) => {
  const { port, client } = await startLocalStream(t);
  for (const host of [
    'evil.example',
    'evil.example:4567',
    '127.0.0.1.evil.example',
    'localhost.evil.example',
    '[::1',
    'local-kinesis.evil.example',
  ])
    for (const operation of ['DescribeStream', 'ListStreams', 'DeleteStream', 'GetRecords']) {
      const answer = await ask(port, operation, { host });
      assert.equal(answer.status, 403, `${host} ${operation}`);
      assert.match(answer.text, /AccessDeniedException.*LOCAL_KINESIS_ALLOWED_HOSTS/);
    }
  assert.equal((await ask(port, '', { host: 'evil.example' }, '/control/faults')).status, 403);
  const { StreamDescription } = await client.send(new DescribeStreamCommand({ StreamName: STREAM }));
  assert.equal(StreamDescription?.StreamStatus, 'ACTIVE');
});

test('a page of another site is refused under every name of this machine; so is an empty origin', async (t) => {
  const { port } = await startLocalStream(t);
  for (const origin of ['http://evil.example', 'null', `http://127.0.0.1:${port + 1}`, 'http://localhost', 'file://'])
    for (const target of ['/', '/control/faults'])
      assert.equal((await ask(port, 'DeleteStream', { origin }, target)).status, 403, `${origin} ${target}`);
});

test('localhost, addresses, its name in docker-compose.yml and allowed names are accepted, as the AWS SDK sends them', async (t) => {
  const { port, endpoint } = await startLocalStream(t, { LOCAL_KINESIS_ALLOWED_HOSTS: 'stream.lan, other' });
  const hosts = ['127.0.0.1', 'localhost', '[::1]', '192.0.2.7', 'local-kinesis', 'LOCAL-KINESIS', 'stream.lan', 'other'];
  for (const host of hosts)
    for (const written of [host, `${host}:4567`])
      assert.equal((await ask(port, 'ListShards', { host: written })).status, 200, written);
  for (const url of [endpoint, endpoint.replace('127.0.0.1', 'localhost')]) {
    const client = clientOf(url);
    t.after(() => client.destroy());
    const put = await client.send(new PutRecordCommand({ StreamName: STREAM, PartitionKey: 'a', Data: Buffer.from('x') }));
    assert.equal(typeof put.SequenceNumber, 'string');
  }
});

test('connections that send nothing, little or garbage keep no reading from being put', async (t) => {
  const { port, client } = await startLocalStream(t);
  const put = async (): Promise<number> => {
    const beganMs = performance.now();
    await client.send(new PutRecordCommand({ StreamName: STREAM, PartitionKey: 'a', Data: Buffer.from('x') }));
    return performance.now() - beganMs;
  };
  await put();
  const head = `POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nx-amz-target: Kinesis_20131202.PutRecord\r\n`;
  const attackers: Attacker[] = [];
  for (let i = 0; i < 400; i += 1)
    attackers.push(
      attack(t, port, ''),
      attack(t, port, head),
      attack(t, port, `${head}Content-Length: 1000000\r\n\r\n{`),
      attack(t, port, '\0\u0001garbage\r\n\r\n'),
      attack(t, port, `GET / HTTP/1.1\r\nx: ${'a'.repeat(50_000)}\r\n\r\n`),
    );
  const times: number[] = [];
  for (let i = 0; i < 50; i += 1) times.push(await put());
  assert.ok(Math.max(...times) < 5000, `the slowest put took ${Math.max(...times)} ms`);
  await eventually(() => openOf(attackers) <= 200, { what: 'the surplus to be closed' });
});

test('large bodies that are never finished use bounded memory, and readings are put all the while', async (t) => {
  const { port, client } = await startLocalStream(t);
  const before = process.memoryUsage.rss();
  const head = `POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nx-amz-target: Kinesis_20131202.PutRecord\r\nContent-Length: 15000000\r\n\r\n`;
  const attackers = Array.from({ length: 20 }, () => attack(t, port, head + 'a'.repeat(14_000_000)));
  await eventually(() => openOf(attackers) <= 5, { withinMs: 20_000, what: 'the largest bodies to be dropped' });
  await client.send(new PutRecordCommand({ StreamName: STREAM, PartitionKey: 'a', Data: Buffer.from('x') }));
  for (const { socket } of attackers) socket.destroy();
  const growthMib = (process.memoryUsage.rss() - before) / 1024 ** 2;
  assert.ok(growthMib < 1000, `the process grew by ${growthMib} MiB (attackers included)`);
});
