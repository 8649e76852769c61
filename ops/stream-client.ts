/** A Kinesis client for what an operator runs: of the same stream that the forwarder ships to. */
import { KinesisClient } from '@aws-sdk/client-kinesis';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import type { Config } from '../service/config.ts';

export function streamClient(config: Config): KinesisClient {
  const requestHandler = new NodeHttpHandler({ connectionTimeout: 3000, requestTimeout: 10_000, throwOnRequestTimeout: true });
  if (config.KINESIS_TARGET === 'local') return new KinesisClient({ endpoint: `http://${config.LOCAL_KINESIS_HOST}:${config.LOCAL_KINESIS_PORT}`, region: 'us-east-1', credentials: { accessKeyId: 'local', secretAccessKey: 'local' }, requestHandler });
  return new KinesisClient({ requestHandler, ...(config.KINESIS_TARGET === 'aws' ? {} : { endpoint: config.KINESIS_TARGET }) });
}
