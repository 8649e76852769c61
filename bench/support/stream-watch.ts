/**
 * Watches the local stream for what becomes visible: asks GetRecords again and again (the stream's limits are off for it), and takes the
 * time between a reading's timestamp, which its bridge gave it, and the answer that first holds it. Milliseconds, on one clock.
 */
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 2;

async function call(agent: Agent, port: number, operation: string, input: object): Promise<Record<string, unknown>> {
  const body = JSON.stringify(input);
  return await new Promise((resolve, reject) => {
    const asked = request(
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
    asked.on('error', reject);
    asked.end(body);
  });
}

/** Ages of readings at the moment they became visible, for as long as it is asked; from the newest record on. */
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
