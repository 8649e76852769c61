/** Kinesis by the AWS SDK, configured so that its time limits hold and its connections are reused. */
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import type { KinesisClient, KinesisClientConfig } from '@aws-sdk/client-kinesis';
import type { Config } from '../../service/config/config.ts';
import { maskUrl, proxyIsSet } from '../../service/config/config.ts';
import { registerSecret } from '../../service/secrets/mask.ts';
import { withoutCredentials } from '../../service/secrets/url-credentials.ts';
import type { Logger } from '../../service/log/log.ts';
import { classify } from './failure-classes.ts';
import { outcomesOf } from './put-answer.ts';
import {
  SinkError,
  type SendResult,
  type ShardRange,
  type Sink,
  type SinkLimits,
  type SinkRecord,
  type WireBytes,
} from './sink.ts';
import { WireMeter } from './wire-meter.ts';

export interface SinkTimeouts {
  connectMs: number;
  requestMs: number;
  /** The SDK's request timeout does not cover a stalled body; the socket's timeout does. */
  socketMs: number;
  /** The whole call, including the SDK's second attempt. */
  wholeMs: number;
}

const TIMEOUTS: SinkTimeouts = { connectMs: 3000, requestMs: 10_000, socketMs: 10_000, wholeMs: 30_000 };
const SOCKETS_MAX = 16;
/** Shorter ones are words, for emulators. */
const AWS_KEY_MIN_LENGTH = 12;
const DEFAULT_RECORD_BYTES = 1024 * 1024;

interface Agents {
  httpAgent: HttpAgent;
  httpsAgent: HttpsAgent;
}
type SdkLogger = NonNullable<KinesisClientConfig['logger']>;

/** The target as shown to people: the local stream, AWS, or the endpoint without credentials. */
export function targetName(config: Config): string {
  if (config.KINESIS_TARGET === 'local') return `local stream on ${config.LOCAL_KINESIS_HOST}:${config.LOCAL_KINESIS_PORT}`;
  return config.KINESIS_TARGET === 'aws' ? 'AWS' : maskUrl(config.KINESIS_TARGET);
}

/** Agents that use the proxies of the environment, or connect directly if NO_PROXY names the host. */
async function proxyAgents(direct: Agents): Promise<Agents> {
  const { ProxyAgent } = await import('proxy-agent');
  // A plain request through a proxy names its whole URL, which the agent writes only for the first request of a connection.
  const httpAgent = new ProxyAgent({ ...direct, keepAlive: false, maxSockets: SOCKETS_MAX });
  const httpsAgent = new ProxyAgent({ ...direct, keepAlive: true, maxSockets: SOCKETS_MAX });
  return { httpAgent: httpAgent as unknown as HttpAgent, httpsAgent: httpsAgent as unknown as HttpsAgent };
}

/** The provider; what it provides is hidden in every output from then on. */
function maskedCredentials<C extends { accessKeyId: string; secretAccessKey: string; sessionToken?: string }>(
  provide: () => Promise<C>,
): () => Promise<C> {
  return async () => {
    const credentials = await provide();
    const { accessKeyId, secretAccessKey, sessionToken = '' } = credentials;
    for (const secret of [accessKeyId, secretAccessKey, sessionToken])
      if (secret.length >= AWS_KEY_MIN_LENGTH) registerSecret(secret);
    return credentials;
  };
}

export class KinesisSink implements Sink {
  readonly #config: Config;
  readonly #log: Logger;
  readonly #timeouts: SinkTimeouts;
  #client: Promise<KinesisClient> | undefined;
  #clockAheadMs: number | undefined;
  readonly #meter = new WireMeter();

  constructor(config: Config, log: Logger, timeouts: SinkTimeouts = TIMEOUTS) {
    this.#config = config;
    this.#log = log;
    this.#timeouts = timeouts;
  }

  async #make(): Promise<KinesisClient> {
    // Imported at first use: it takes 0.3 s and 18 MB.
    const [{ KinesisClient }, { NodeHttpHandler }, { defaultProvider }] = await Promise.all([
      import('@aws-sdk/client-kinesis'),
      import('@smithy/node-http-handler'),
      import('@aws-sdk/credential-provider-node'),
    ]);
    const { KINESIS_TARGET, LOCAL_KINESIS_HOST, LOCAL_KINESIS_PORT } = this.#config;
    const { connectMs, requestMs, socketMs } = this.#timeouts;
    const agentOptions = { keepAlive: true, maxSockets: SOCKETS_MAX, noDelay: true };
    const direct = { httpAgent: new HttpAgent(agentOptions), httpsAgent: new HttpsAgent(agentOptions) };
    const agents = KINESIS_TARGET !== 'local' && proxyIsSet() ? await proxyAgents(direct) : direct;
    for (const agent of [agents.httpAgent, agents.httpsAgent]) this.#meter.watch(agent);
    const client = new KinesisClient({
      maxAttempts: 2,
      // The SDK's default handler opens a connection per request, and fails on http:// endpoints.
      requestHandler: new NodeHttpHandler({
        ...agents,
        connectionTimeout: connectMs,
        requestTimeout: requestMs,
        socketTimeout: socketMs,
        throwOnRequestTimeout: true,
      }),
      // Without `info`: with it, even an empty one, the SDK prepares every input for logging. It requires the other methods.
      logger: {
        trace() {},
        debug() {},
        warn: (...words: unknown[]) => this.#log.debug({ event: 'sdk_warning' }, String(words[0])),
        error: (...words: unknown[]) => this.#log.debug({ event: 'sdk_error' }, String(words[0])),
      } as unknown as SdkLogger,
      // The SDK's own credential chain; without its cache, which would keep the shared files as the first client read them.
      ...(KINESIS_TARGET === 'local'
        ? {
            endpoint: `http://${LOCAL_KINESIS_HOST}:${LOCAL_KINESIS_PORT}`,
            region: 'us-east-1',
            credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
          }
        : { credentials: maskedCredentials(defaultProvider({ ignoreCache: true })) }),
      ...(KINESIS_TARGET !== 'local' && KINESIS_TARGET !== 'aws' ? { endpoint: withoutCredentials(KINESIS_TARGET) } : {}),
    });
    client.middlewareStack.add(
      (next) => async (args) => {
        const result = await next(args);
        const date = (result.response as { headers?: Record<string, string> }).headers?.['date'];
        const streamMs = date === undefined ? Number.NaN : Date.parse(date);
        // The header has whole seconds: half a second later is the best estimate.
        if (Number.isFinite(streamMs)) this.#clockAheadMs = Date.now() - streamMs - 500;
        return result;
      },
      { step: 'deserialize', priority: 'low', name: 'clockOfTheStream' },
    );
    return client;
  }

  async #use<T>(
    work: (client: KinesisClient, options: { abortSignal: AbortSignal }) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    // One controller per request: Node keeps the result of AbortSignal.any as long as its sources live, 12 KB per request.
    const controller = new AbortController();
    const abort = (): void => controller.abort();
    const limit = setTimeout(abort, this.#timeouts.wholeMs);
    signal.addEventListener('abort', abort);
    if (signal.aborted) abort();
    try {
      const client = await (this.#client ??= this.#make());
      return await work(client, { abortSignal: controller.signal });
    } catch (error) {
      throw new SinkError(classify(error), error);
    } finally {
      clearTimeout(limit);
      signal.removeEventListener('abort', abort);
    }
  }

  async send(records: readonly SinkRecord[], signal: AbortSignal): Promise<SendResult> {
    const { PutRecordsCommand } = await import('@aws-sdk/client-kinesis');
    const outcomes = await this.#use(async (client, options) => {
      const answer = await client.send(
        new PutRecordsCommand({
          StreamName: this.#config.KINESIS_STREAM,
          Records: records.map(({ data, partitionKey }) => ({ Data: data, PartitionKey: partitionKey })),
        }),
        options,
      );
      return outcomesOf(answer, records.length);
    }, signal);
    return { outcomes, ...(this.#clockAheadMs === undefined ? {} : { clockAheadMs: this.#clockAheadMs }) };
  }

  get wireBytes(): WireBytes {
    return this.#meter.bytes;
  }

  async shards(signal: AbortSignal): Promise<ShardRange[]> {
    const { ListShardsCommand } = await import('@aws-sdk/client-kinesis');
    const shards: ShardRange[] = [];
    let token: string | undefined;
    do {
      const NextToken = token;
      const answer = await this.#use(
        async (client, options) =>
          await client.send(
            new ListShardsCommand(
              NextToken === undefined
                ? { StreamName: this.#config.KINESIS_STREAM, ShardFilter: { Type: 'AT_LATEST' } }
                : { NextToken },
            ),
            options,
          ),
        signal,
      );
      // Some endpoints ignore the filter, and list closed shards, too.
      for (const { ShardId, HashKeyRange, SequenceNumberRange } of answer.Shards ?? [])
        if (ShardId !== undefined && HashKeyRange !== undefined && SequenceNumberRange?.EndingSequenceNumber === undefined)
          shards.push({
            id: ShardId,
            startHash: BigInt(HashKeyRange.StartingHashKey ?? 0),
            endHash: BigInt(HashKeyRange.EndingHashKey ?? 0),
          });
      token = answer.NextToken;
    } while (token !== undefined);
    return shards;
  }

  async limits(signal: AbortSignal): Promise<SinkLimits> {
    const { DescribeStreamSummaryCommand } = await import('@aws-sdk/client-kinesis');
    const answer = await this.#use(
      async (client, options) =>
        await client.send(new DescribeStreamSummaryCommand({ StreamName: this.#config.KINESIS_STREAM }), options),
      signal,
    );
    const summary = answer.StreamDescriptionSummary;
    const kib = (summary as { MaxRecordSizeInKiB?: number } | undefined)?.MaxRecordSizeInKiB;
    return { openShards: summary?.OpenShardCount ?? null, maxRecordBytes: kib === undefined ? DEFAULT_RECORD_BYTES : kib * 1024 };
  }

  async rebuild(): Promise<void> {
    const old = this.#client;
    this.#client = undefined;
    (await old?.catch(() => undefined))?.destroy();
  }

  close(): void {
    void this.rebuild();
  }
}
