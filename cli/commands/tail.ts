/** `npm run tail`: prints a stream's readings as they come, local or AWS. `-- --from oldest --json --count 10 --fan-out <consumer ARN>` */
import { parseArgs } from 'node:util';
import { readStream, type StreamRecord } from '../cloud/reader/read-stream.ts';
import { processConfig } from '../service/config/config.ts';
import { messageOf } from '../service/errors/errors.ts';
import { reportStartFailure } from '../service/process/lifecycle.ts';
import { streamClient } from './stream-client.ts';

function lineOf({ reading, data }: StreamRecord, json: boolean): string {
  const text = data.toString().trimEnd();
  if (json) return text;
  if (reading === undefined) return `?  ${text.slice(0, 200)}`;
  const { timestamp, heart_rate, device, seq, source } = reading;
  return `${timestamp}  ${String(heart_rate).padStart(3)} bpm  ${device ?? ''}${seq === undefined ? '' : `  seq ${seq}`}${source === undefined ? '' : `  (${source})`}`;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      from: { type: 'string', default: 'now' },
      json: { type: 'boolean', default: false },
      count: { type: 'string' },
      'fan-out': { type: 'string' },
    },
  });
  const config = processConfig();
  const ended = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => ended.abort());
  // `npm run tail | head` closes the pipe.
  process.stdout.on('error', () => ended.abort());
  const consumerArn = values['fan-out'];
  const client = streamClient(config, { pushed: consumerArn !== undefined });
  let left = values.count === undefined ? Number.POSITIVE_INFINITY : Number(values.count);
  try {
    for await (const record of readStream(client, {
      stream: config.KINESIS_STREAM,
      from: values.from === 'oldest' ? 'oldest' : 'now',
      signal: ended.signal,
      ...(consumerArn === undefined ? {} : { consumerArn }),
    })) {
      console.log(lineOf(record, values.json));
      left -= 1;
      if (left <= 0) break;
    }
  } catch (error) {
    if (!ended.signal.aborted) {
      console.error(`the stream ${config.KINESIS_STREAM} cannot be read: ${messageOf(error)}`);
      process.exitCode = 1;
    }
  } finally {
    client.destroy();
  }
}

try {
  await main();
} catch (error) {
  process.exitCode = reportStartFailure(error);
}
