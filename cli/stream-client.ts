/** A Kinesis client for the operator's commands: of the stream that the forwarder ships to. */
import { KinesisClient } from '@aws-sdk/client-kinesis';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { withoutSdkNotice, type Config } from '../service/config/config.ts';
import { withoutCredentials } from '../service/secrets/url-credentials.ts';

/** `pushed`: for SubscribeToShard, which AWS serves over HTTP/2 only, as the SDK's default handler does. */
export function streamClient(config: Config, { pushed = false }: { pushed?: boolean } = {}): KinesisClient {
  withoutSdkNotice();
  const requestHandler = new NodeHttpHandler({ connectionTimeout: 3000, requestTimeout: 10_000, throwOnRequestTimeout: true });
  if (config.KINESIS_TARGET === 'local')
    return new KinesisClient({
      endpoint: `http://${config.LOCAL_KINESIS_HOST}:${config.LOCAL_KINESIS_PORT}`,
      region: 'us-east-1',
      credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
      requestHandler,
    });
  const http1 = !pushed || config.KINESIS_TARGET.startsWith('http://');
  return new KinesisClient({
    ...(http1 ? { requestHandler } : {}),
    ...(config.KINESIS_TARGET === 'aws' ? {} : { endpoint: withoutCredentials(config.KINESIS_TARGET) }),
  });
}
