/** A Kinesis client for the operator's commands: of the stream that the forwarder ships to, made as the forwarder makes it. */
import type { KinesisClient } from '@aws-sdk/client-kinesis';
import { makeKinesisClient } from '../forwarder/sink/kinesis-client.ts';
import { withoutSdkNotice, type Config } from '../service/config/config.ts';
import { createLogger } from '../service/log/log.ts';

const TIMEOUTS = { connectMs: 3000, requestMs: 10_000, socketMs: 10_000 };

/**
 * `pushed`: for SubscribeToShard, which AWS serves over HTTP/2 only. Throws Misconfigured, which names the variable of the AWS SDK that
 * cannot be obeyed.
 */
export async function streamClient(config: Config, { pushed = false }: { pushed?: boolean } = {}): Promise<KinesisClient> {
  withoutSdkNotice();
  const log = createLogger('cli', { ...config, LOG_LEVEL: 'silent', LOG_PRETTY: 'false' });
  return await makeKinesisClient(config, { log, timeouts: TIMEOUTS, pushed });
}
