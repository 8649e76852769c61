/** `hr-gateway tail`: prints the readings of a stream, local or AWS, as they arrive. */
import { Option } from 'commander';
import type { StreamRecord } from '../../cloud/reader/read-stream.ts';
import { targetStream } from '../../service/config/stream-address.ts';
import { flagOf, numberOf, parsePositiveInteger, textOf } from '../frame/options.ts';
import type { AddCommand } from '../frame/program.ts';

interface TailOptions {
  from: 'now' | 'oldest';
  json: boolean;
  /** How many readings to print; undefined: until interrupted. */
  count: number | undefined;
  /** ARN of a registered consumer: SubscribeToShard instead of polling. */
  consumerArn: string | undefined;
}

function lineOf({ reading, data }: StreamRecord, json: boolean): string {
  const text = data.toString().trimEnd();
  if (json) return text;
  if (reading === undefined) return `?  ${text.slice(0, 200)}`;
  const { timestamp, heart_rate, device, seq, source } = reading;
  const origin = `${seq === undefined ? '' : `  seq ${seq}`}${source === undefined ? '' : `  (${source})`}`;
  return `${timestamp}  ${String(heart_rate).padStart(3)} bpm  ${device ?? ''}${origin}`;
}

async function tail({ from, json, count, consumerArn }: TailOptions): Promise<void> {
  const { findBoxWithConfig } = await import('../box/box.ts');
  const { config } = await findBoxWithConfig();
  const { readStream } = await import('../../cloud/reader/read-stream.ts');
  const { streamClient, streamFailure } = await import('../stream-client.ts');
  const client = await streamClient(config, { pushed: consumerArn !== undefined });
  let left = count ?? Number.POSITIVE_INFINITY;
  try {
    for await (const record of readStream(client, {
      stream: targetStream(config),
      from,
      ...(consumerArn === undefined ? {} : { consumerArn }),
    })) {
      console.log(lineOf(record, json));
      left -= 1;
      if (left <= 0) break;
    }
  } catch (error) {
    throw streamFailure(config, config.KINESIS_STREAM, error);
  } finally {
    client.destroy();
  }
}

export const addTail: AddCommand = (program) => {
  program
    .command('tail')
    .summary('print the readings of the stream as they arrive')
    .description('Prints the readings of the stream, local or AWS, as they arrive, until it is interrupted.')
    .addOption(new Option('--from <position>', 'where to begin').choices(['now', 'oldest']).default('now'))
    .option('--json', 'print each record as it is in the stream')
    .option('--count <number>', 'end after this many readings', parsePositiveInteger)
    .option('--fan-out <arn>', 'read as this registered consumer (enhanced fan-out)')
    .action(async (_options: unknown, command) => {
      await tail({
        from: textOf(command, 'from') === 'oldest' ? 'oldest' : 'now',
        json: flagOf(command, 'json'),
        count: numberOf(command, 'count'),
        consumerArn: textOf(command, 'fanOut'),
      });
    });
};
