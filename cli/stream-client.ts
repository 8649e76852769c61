/** The stream as the operator's commands read it: a client made as the forwarder makes it, and what a failure means. */
import type { KinesisClient } from '@aws-sdk/client-kinesis';
import { makeKinesisClient } from '../forwarder/sink/kinesis-client.ts';
import { withoutSdkNotice, type Config } from '../service/config/config.ts';
import { targetOf } from '../service/config/stream-address.ts';
import { messageOf, systemCodeOf } from '../service/errors/errors.ts';
import { createLogger } from '../service/log/log.ts';
import { CommandFailure } from './frame/failures.ts';

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

/** Why a command cannot read the stream. Of the local stream, which runs in the box, also what to do. */
export function streamFailure(config: Config, stream: string, error: unknown): CommandFailure {
  const isAway = targetOf(config) === 'local' && systemCodeOf(error) === 'ECONNREFUSED';
  const advice = isAway ? '; the local stream runs in the box: start the box, or set DATA_DIR to its folder' : '';
  return new CommandFailure(`cannot read stream ${stream}: ${messageOf(error)}${advice}`, { cause: error });
}
