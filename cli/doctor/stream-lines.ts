/** Asks the stream itself, as the forwarder would: credentials, the stream and its limits. */
import { DescribeStreamSummaryCommand, type KinesisClient, type StreamDescriptionSummary } from '@aws-sdk/client-kinesis';
import type { ForwarderStatus } from '../../contract/service-status.ts';
import { maskUrl, type Config } from '../../service/config/config.ts';
import { messageOf } from '../../service/errors/errors.ts';
import { streamClient } from '../stream-client.ts';
import { fail, ok, warn, type DoctorLine } from './check-line.ts';

const LIMIT_MS = 10_000;

const ADVICE: Record<string, string> = {
  ResourceNotFoundException: 'Make the stream (cloud/template.yaml) or correct KINESIS_STREAM and AWS_REGION.',
  AccessDeniedException: 'Allow kinesis:DescribeStreamSummary, ListShards, PutRecord and PutRecords on this stream.',
  UnrecognizedClientException: 'The key is not known to AWS: set valid credentials (docs/kinesis.md).',
  InvalidSignatureException: 'The secret does not fit the key, or the clock is wrong: timedatectl.',
  ExpiredTokenException: 'The session has ended: log in again (aws sso login) or renew the token.',
};

/** What the stream takes and keeps, in words. */
function limitsOf({
  StreamModeDetails,
  OpenShardCount = 0,
  RetentionPeriodHours,
  MaxRecordSizeInKiB,
}: StreamDescriptionSummary): string {
  const rate = `${OpenShardCount} open shard${OpenShardCount === 1 ? '' : 's'}: ${OpenShardCount * 1000} records/s and ${OpenShardCount} MB/s in`;
  const mode = StreamModeDetails?.StreamMode === 'ON_DEMAND' ? ', grows on demand' : '';
  return `${rate}${mode}; records up to ${MaxRecordSizeInKiB ?? 1024} KiB, kept ${RetentionPeriodHours ?? '?'} h`;
}

async function streamLine(config: Config, client: KinesisClient): Promise<DoctorLine> {
  try {
    const answer = await client.send(new DescribeStreamSummaryCommand({ StreamName: config.KINESIS_STREAM }), {
      abortSignal: AbortSignal.timeout(LIMIT_MS),
    });
    const summary = answer.StreamDescriptionSummary;
    if (summary === undefined)
      return fail('stream limits', `${config.KINESIS_STREAM}: an empty answer`, 'Is this endpoint Kinesis?');
    const words = `${config.KINESIS_STREAM} is ${summary.StreamStatus ?? 'of unknown state'}, ${limitsOf(summary)}`;
    return summary.StreamStatus === 'ACTIVE' || summary.StreamStatus === 'UPDATING'
      ? ok('stream limits', words)
      : warn('stream limits', words, 'Wait until the stream is ACTIVE.');
  } catch (error) {
    const name = error instanceof Error ? error.name : '';
    const words = `${config.KINESIS_STREAM}: ${name}: ${messageOf(error)}`;
    // Seen from here the local stream may be in a network that is not ours; the forwarder says by its uplink whether it reaches it.
    if (config.KINESIS_TARGET === 'local')
      return warn(
        'stream limits',
        words,
        'The local stream does not answer here; where the line "stream" is ok the forwarder reaches it.',
      );
    return fail('stream limits', words, ADVICE[name] ?? 'Check network, proxy, AWS_REGION and the endpoint.');
  }
}

/** `shipsTo`: where the running forwarder ships to; it may know more than this shell. */
export async function streamLines(
  config: Config,
  shipsTo: Pick<ForwarderStatus, 'target' | 'target_name'> | undefined,
): Promise<DoctorLine[]> {
  const target = config.KINESIS_TARGET === 'local' || config.KINESIS_TARGET === 'aws' ? config.KINESIS_TARGET : 'endpoint';
  if (shipsTo !== undefined && shipsTo.target !== target)
    return [
      warn(
        'AWS',
        `the forwarder ships to ${shipsTo.target_name}; the settings here say ${maskUrl(config.KINESIS_TARGET)}`,
        "Run the doctor with the forwarder's settings: docker compose run --rm --no-deps forwarder node dist/cli/doctor/main.js",
      ),
    ];
  const client = streamClient(config);
  try {
    const credentials =
      target === 'local' ? ok('AWS credentials', 'not needed: the target is the local stream') : await credentialsLine(client);
    return credentials.status === 'fail' ? [credentials] : [credentials, await streamLine(config, client)];
  } finally {
    client.destroy();
  }
}

async function credentialsLine(client: KinesisClient): Promise<DoctorLine> {
  let limit: NodeJS.Timeout | undefined;
  try {
    const tooLong = new Promise<never>((_, reject) => {
      limit = setTimeout(() => reject(new Error(`no answer in ${LIMIT_MS / 1000} s`)), LIMIT_MS);
    });
    const { accessKeyId, expiration } = await Promise.race([client.config.credentials(), tooLong]);
    const until = expiration === undefined ? '' : `, valid until ${expiration.toISOString()}`;
    return ok('AWS credentials', `found (key …${accessKeyId.slice(-4)}${until})`);
  } catch (error) {
    return fail(
      'AWS credentials',
      messageOf(error),
      'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role: docs/kinesis.md.',
    );
  } finally {
    clearTimeout(limit);
  }
}
