/** Makes the SDK's client of the stream: for the forwarder, and for the operator's commands. */
import type { KinesisClient, KinesisClientConfig } from '@aws-sdk/client-kinesis';
import { sdkEnvironment, type Config } from '../../service/config/config.ts';
import { streamAddress } from '../../service/config/stream-address.ts';
import type { Logger } from '../../service/log/log.ts';
import { hostToConnect } from '../../service/network/addresses.ts';
import { withoutCredentials } from '../../service/secrets/url-credentials.ts';
import { gatewayNameOf } from '../../service/storage/data-dir.ts';
import { defaultCredentials, refreshed } from './credentials.ts';
import { makeAgents, makeHttpHandler, type Agents, type HttpTimeouts } from './http-handler.ts';
import { iotCredentials, regionOfIotEndpoint } from './iot-credentials.ts';
import { Misconfigured } from './misconfigured.ts';

const ATTEMPTS = 2;
type SdkLogger = NonNullable<KinesisClientConfig['logger']>;

export interface ClientOptions {
  log: Logger;
  timeouts: HttpTimeouts;
  /** For SubscribeToShard, which AWS serves over HTTP/2 only, as the SDK's default handler does; without proxies. */
  pushed?: boolean;
  /** Gets the agents of the client's connections before the first request, for example to meter these. */
  onAgents?: (agents: Agents) => void;
}

/** `http://host:port` of the local stream. */
export const localEndpoint = ({ LOCAL_KINESIS_HOST, LOCAL_KINESIS_PORT }: Config): string =>
  `http://${hostToConnect(LOCAL_KINESIS_HOST)}:${LOCAL_KINESIS_PORT}`;

/** Without `info`: with it, even an empty one, the SDK prepares every input for logging. It requires the other methods. */
function sdkLogger(log: Logger): SdkLogger {
  return {
    trace() {},
    debug() {},
    warn: (...words: unknown[]) => log.debug({ event: 'sdk_warning' }, String(words[0])),
    error: (...words: unknown[]) => log.debug({ event: 'sdk_error' }, String(words[0])),
  } as unknown as SdkLogger;
}

/** The settings of a client of the local stream: no variable of the SDK counts. */
function localSettings(config: Config): KinesisClientConfig {
  return {
    endpoint: localEndpoint(config),
    region: 'us-east-1',
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
    maxAttempts: ATTEMPTS,
    retryMode: 'standard',
    defaultsMode: 'standard',
    useFipsEndpoint: false,
    useDualstackEndpoint: false,
    accountIdEndpointMode: 'disabled',
    authSchemePreference: [],
    userAgentAppId: '',
    disableClockSkewCorrection: false,
  };
}

/** The settings of a client of AWS or of an endpoint. Throws Misconfigured. */
function remoteSettings(config: Config, log: Logger): KinesisClientConfig {
  const { KINESIS_TARGET, KINESIS_IOT_ENDPOINT } = config;
  const sdk = sdkEnvironment();
  const faults = sdk.faults({ ownEndpoint: KINESIS_TARGET !== 'aws' });
  if (faults.length > 0) throw new Misconfigured(faults.join('; '));
  const region =
    streamAddress(config.KINESIS_STREAM).region ??
    sdk.value('AWS_REGION') ??
    sdk.value('AWS_DEFAULT_REGION') ??
    regionOfIotEndpoint(KINESIS_IOT_ENDPOINT ?? '');
  const uncorrected = sdk.value('AWS_DISABLE_CLOCK_SKEW_CORRECTION');
  const provide = KINESIS_IOT_ENDPOINT === undefined ? defaultCredentials : iotCredentials(config, gatewayNameOf(config, log));
  return {
    credentials: refreshed(provide, log),
    maxAttempts: Number(sdk.value('AWS_MAX_ATTEMPTS') ?? ATTEMPTS),
    ...(region === undefined ? {} : { region }),
    // The SDK reads it once in a process.
    ...(uncorrected === undefined ? {} : { disableClockSkewCorrection: uncorrected === 'true' }),
    ...(KINESIS_TARGET === 'aws' ? {} : { endpoint: withoutCredentials(KINESIS_TARGET) }),
  };
}

/** Throws Misconfigured, which names the variable that cannot be obeyed. Does not connect. */
export async function makeKinesisClient(
  config: Config,
  { log, timeouts, pushed = false, onAgents }: ClientOptions,
): Promise<KinesisClient> {
  // Imported at first use: it takes 0.3 s and 18 MB.
  const { KinesisClient: Client } = await import('@aws-sdk/client-kinesis');
  const isLocal = config.KINESIS_TARGET === 'local';
  const settings = isLocal ? localSettings(config) : remoteSettings(config, log);
  const ca = isLocal ? undefined : sdkEnvironment().caBundle();
  const agents = await makeAgents(ca === undefined ? {} : { ca }, { proxied: !isLocal });
  onAgents?.(agents);
  const isHttp2 = pushed && !isLocal && !config.KINESIS_TARGET.startsWith('http://');
  return new Client({
    ...settings,
    ...(isHttp2 ? {} : { requestHandler: await makeHttpHandler(agents, timeouts) }),
    logger: sdkLogger(log),
  });
}

/** The server that a client sends to, as the origin of a URL; undefined if that cannot be told, for example without a region. */
export async function originOf({ config }: KinesisClient): Promise<string | undefined> {
  try {
    const [region, useFips, useDualstack, endpoint] = await Promise.all([
      config.region(),
      config.useFipsEndpoint(),
      config.useDualstackEndpoint(),
      config.endpoint?.(),
    ]);
    if (endpoint !== undefined) return `${endpoint.protocol}//${endpoint.hostname}:${endpoint.port ?? ''}`;
    return config.endpointProvider({ Region: region, UseFIPS: useFips, UseDualStack: useDualstack }, {}).url.origin;
  } catch {
    return undefined;
  }
}
