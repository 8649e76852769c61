/** Checks credentials and stream with the SDK, as the forwarder uses them. */
import { DescribeStreamSummaryCommand, type KinesisClient, type StreamDescriptionSummary } from '@aws-sdk/client-kinesis';
import type { ForwarderStatus } from '../../contract/forwarder-status.ts';
import { classify } from '../../forwarder/sink/failure-classes.ts';
import { failureText } from '../../forwarder/sink/sink.ts';
import { maskUrl, type Config } from '../../service/config/config.ts';
import { streamOf, targetOf } from '../../service/config/stream-address.ts';
import { streamClient } from '../stream-client.ts';
import { doctorInContainer, fail, ok, warn, type DoctorLine } from './check-line.ts';

const LIMIT_MS = 10_000;

/** Shards, rates and retention of the stream, as text. */
function limitsOf({
  StreamModeDetails,
  OpenShardCount = 0,
  RetentionPeriodHours,
  MaxRecordSizeInKiB,
}: StreamDescriptionSummary): string {
  const shards = `${OpenShardCount} open shard${OpenShardCount === 1 ? '' : 's'}`;
  const rate = `${shards}: ${OpenShardCount * 1000} records/s and ${OpenShardCount} MB/s in`;
  const mode = StreamModeDetails?.StreamMode === 'ON_DEMAND' ? ', scales on demand' : '';
  return `${rate}${mode}; records up to ${MaxRecordSizeInKiB ?? 1024} KiB, kept ${RetentionPeriodHours ?? '?'} h`;
}

async function streamLine(config: Config, client: KinesisClient): Promise<DoctorLine> {
  try {
    const answer = await client.send(new DescribeStreamSummaryCommand(streamOf(config)), {
      abortSignal: AbortSignal.timeout(LIMIT_MS),
    });
    const summary = answer.StreamDescriptionSummary;
    if (summary === undefined)
      return fail('stream limits', `${config.KINESIS_STREAM}: the answer is empty`, 'Check that this endpoint is Kinesis.');
    const found = `${config.KINESIS_STREAM} is ${summary.StreamStatus ?? 'in an unknown state'}, ${limitsOf(summary)}`;
    return summary.StreamStatus === 'ACTIVE' || summary.StreamStatus === 'UPDATING'
      ? ok('stream limits', found)
      : warn('stream limits', found, 'Wait until the stream is ACTIVE.');
  } catch (error) {
    const failure = classify(error, targetOf(config));
    const found = `${config.KINESIS_STREAM}: ${failure.detail}`;
    // The local stream may be in a network that this process cannot reach; the forwarder's line tells whether the forwarder can.
    if (config.KINESIS_TARGET === 'local')
      return warn(
        'stream limits',
        found,
        'The local stream does not answer from here; if the line "stream" is ok, the forwarder reaches it.',
      );
    return fail('stream limits', found, failure.hint);
  }
}

/** `shipsTo`: the target of the running forwarder, whose settings may differ from those of this shell. */
export async function streamLines(
  config: Config,
  shipsTo: Pick<ForwarderStatus, 'target' | 'target_name'> | undefined,
): Promise<DoctorLine[]> {
  const target = targetOf(config);
  if (shipsTo !== undefined && shipsTo.target !== target)
    return [
      warn(
        'AWS',
        `the forwarder ships to ${shipsTo.target_name}, but KINESIS_TARGET is ${maskUrl(config.KINESIS_TARGET)} here`,
        `Run the doctor with the forwarder's settings: ${doctorInContainer('forwarder')}`,
      ),
    ];
  let client: KinesisClient;
  try {
    client = await streamClient(config);
  } catch (error) {
    const failure = classify(error);
    return [fail('AWS', failureText(failure), failure.hint)];
  }
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
      limit = setTimeout(() => reject(new Error(`no answer within ${LIMIT_MS / 1000} s`)), LIMIT_MS);
    });
    const { accessKeyId, expiration } = await Promise.race([client.config.credentials(), tooLong]);
    const until = expiration === undefined ? '' : `, valid until ${expiration.toISOString()}`;
    return ok('AWS credentials', `found (key …${accessKeyId.slice(-4)}${until})`);
  } catch (error) {
    const failure = classify(error);
    return fail('AWS credentials', failureText(failure), failure.hint);
  } finally {
    clearTimeout(limit);
  }
}
