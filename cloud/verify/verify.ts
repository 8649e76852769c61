/** Proves whether anything is missing in a stream, or in the files that Firehose made of it. */
import { DescribeStreamSummaryCommand, type KinesisClient } from '@aws-sdk/client-kinesis';
import { readStream } from '../reader/read-stream.ts';
import { streamNamed } from '../reader/shards.ts';
import { filesBelow, readRecords, recordsOfLine } from './json-lines.ts';
import { Verifier, type VerifierOptions, type VerifyReport } from './verifier.ts';

export { Verifier, type VerifierOptions, type VerifyReport } from './verifier.ts';
export type { LostSpan, RunReport } from './run-proof.ts';

const HOUR_MS = 3_600_000;
/** What was sent again came up to this much later than its neighbours. */
const HEAD_MS = 10 * 60_000;

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function take(verifier: Verifier, record: unknown, isHead = false): void {
  if (record === undefined) verifier.notJson();
  else verifier.add(record, isHead);
}

/**
 * Verifies a folder of JSON Lines, plain or gzipped, with all folders below it (or one file). A file that cannot be read to its end is
 * named in the report, which then is not `ok`. Throws an error of the file system if the folder does not exist.
 */
export async function verifyFolder(folder: string, options: VerifierOptions = {}): Promise<VerifyReport> {
  const verifier = new Verifier(options);
  for await (const file of filesBelow(folder))
    try {
      await readRecords(file, (record) => take(verifier, record));
    } catch (error) {
      verifier.unreadable(file, reasonOf(error));
    }
  return verifier.report();
}

export interface VerifyStreamOptions extends VerifierOptions {
  /** Name of the stream; the default is `hr-data-stream`. */
  stream?: string;
  signal?: AbortSignal;
}

/** Whether the stream is so old that its first records have expired. */
async function hasExpired(client: KinesisClient, stream: string): Promise<boolean> {
  const { StreamDescriptionSummary: summary } = await client.send(new DescribeStreamSummaryCommand(streamNamed(stream)));
  const createdMs = summary?.StreamCreationTimestamp?.getTime() ?? 0;
  return Date.now() - createdMs > (summary?.RetentionPeriodHours ?? 24) * HOUR_MS;
}

/**
 * Verifies what a stream holds now, from its oldest record to its newest. If older records have expired, what is missing at the beginning
 * of a run is reported as older than the data. Throws the SDK's errors.
 */
export async function verifyStream(client: KinesisClient, options: VerifyStreamOptions = {}): Promise<VerifyReport> {
  const { stream = 'hr-data-stream', signal, ...rest } = options;
  const verifier = new Verifier(rest);
  verifier.beginsLater = await hasExpired(client, stream);
  let headEndsMs: number | undefined;
  const records = readStream(client, {
    stream,
    from: 'oldest',
    untilCaughtUp: true,
    ...(signal === undefined ? {} : { signal }),
  });
  for await (const { data, arrivedAt } of records) {
    headEndsMs ??= arrivedAt.getTime() + HEAD_MS;
    const isHead = arrivedAt.getTime() < headEndsMs;
    for (const record of recordsOfLine(data.toString())) take(verifier, record, isHead);
  }
  return verifier.report();
}
