/** Asks AWS with the credentials of this shell, only where the target is not local: credentials, the stream and its limits. */
import type { Config } from '../../service/config.ts';
import { messageOf } from '../../service/errors.ts';
import { fail, ok, warn, type DoctorLine } from './check-line.ts';

const LIMIT_MS = 10_000;

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : '';
}

/** Credentials and stream, as the forwarder would use them. */
export async function awsLines(config: Config): Promise<DoctorLine[]> {
  if (config.KINESIS_TARGET === 'local') return [ok('AWS', 'not used: the target is the local stream')];
  const { KinesisClient, DescribeStreamSummaryCommand } = await import('@aws-sdk/client-kinesis');
  const client = new KinesisClient(config.KINESIS_TARGET === 'aws' ? { maxAttempts: 1 } : { maxAttempts: 1, endpoint: config.KINESIS_TARGET });
  try {
    await client.config.credentials();
  } catch (error) {
    client.destroy();
    return [fail('AWS credentials', messageOf(error), 'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role: docs/kinesis.md.')];
  }
  const lines = [ok('AWS credentials', 'found')];
  try {
    const answer = await client.send(new DescribeStreamSummaryCommand({ StreamName: config.KINESIS_STREAM }), { abortSignal: AbortSignal.timeout(LIMIT_MS) });
    const stream = answer.StreamDescriptionSummary;
    const shards = stream?.OpenShardCount ?? 0;
    const words = `${config.KINESIS_STREAM}: ${stream?.StreamStatus}, ${shards} open shards (${shards * 1000} readings/s, ${shards} MB/s), kept ${stream?.RetentionPeriodHours} h`;
    lines.push(stream?.StreamStatus === 'ACTIVE' || stream?.StreamStatus === 'UPDATING' ? ok('AWS stream', words) : warn('AWS stream', words, 'Wait until the stream is ACTIVE.'));
  } catch (error) {
    const advice =
      nameOf(error) === 'ResourceNotFoundException' ? 'Make the stream (cloud/template.yaml) or correct KINESIS_STREAM and AWS_REGION.' : nameOf(error) === 'AccessDeniedException' ? 'Allow kinesis:DescribeStreamSummary, ListShards, PutRecord and PutRecords on this stream.' : 'Check network, proxy and region.';
    lines.push(fail('AWS stream', `${nameOf(error)}: ${messageOf(error)}`, advice));
  } finally {
    client.destroy();
  }
  return lines;
}
