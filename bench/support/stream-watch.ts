/**
 * Polls the local stream with GetRecords (its limits are off) and measures the time between a reading's timestamp, set by its bridge, and
 * the first response that contains it. In milliseconds, on one clock.
 */
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 2;

async function call(agent: Agent, port: number, operation: string, input: object): Promise<Record<string, unknown>> {
  const body = JSON.stringify(input);
  return await new Promise((resolve, reject) => {
    const sent = request(
      {
        agent,
        port,
        host: '127.0.0.1',
        method: 'POST',
        headers: {
          'x-amz-target': `Kinesis_20131202.${operation}`,
          'content-type': 'application/x-amz-json-1.1',
          'content-length': Buffer.byteLength(body),
        },
      },
      (answer) => {
        let text = '';
        answer.on('data', (chunk) => (text += String(chunk)));
        answer.on('end', () =>
          answer.statusCode === 200 ? resolve(JSON.parse(text) as Record<string, unknown>) : reject(new Error(text)),
        );
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

/** Ages of readings when they became visible, in milliseconds: polls for `forMs`, starting after the newest record. */
export async function visibleAges(port: number, options: { stream: string; forMs: number }): Promise<number[]> {
  const agent = new Agent({ keepAlive: true, noDelay: true });
  const shard = { StreamName: options.stream, ShardId: 'shardId-000000000000', ShardIteratorType: 'LATEST' };
  let { ShardIterator: iterator } = await call(agent, port, 'GetShardIterator', shard);
  const ages: number[] = [];
  const end = performance.now() + options.forMs;
  while (performance.now() < end) {
    const answer = await call(agent, port, 'GetRecords', { ShardIterator: iterator, Limit: 1000 });
    const now = performance.timeOrigin + performance.now();
    iterator = answer['NextShardIterator'];
    for (const { Data } of answer['Records'] as { Data: string }[]) {
      const reading = JSON.parse(Buffer.from(Data, 'base64').toString()) as { timestamp: string };
      ages.push(now - Date.parse(reading.timestamp));
    }
    await sleep(POLL_MS);
  }
  agent.destroy();
  return ages;
}
