/** Kinesis by the AWS SDK, with the settings that make its time limits and its connections work (facts of issue 5). */
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import type { KinesisClient, KinesisClientConfig } from '@aws-sdk/client-kinesis';
import type { Config } from '../../service/config/config.ts';
import { maskUrl, proxyIsSet } from '../../service/config/config.ts';
import type { Logger } from '../../service/log/log.ts';
import { classify } from './failure-classes.ts';
import { SinkError, type RecordOutcome, type SendResult, type Sink, type SinkLimits, type SinkRecord } from './sink.ts';

export interface SinkTimeouts {
  connectMs: number;
  requestMs: number;
  /** A stalled body is no request time-out for the SDK's handler: the socket's own limit ends it. */
  socketMs: number;
  /** With the SDK's own second attempt. */
  wholeMs: number;
}

const TIMEOUTS: SinkTimeouts = { connectMs: 3000, requestMs: 10_000, socketMs: 10_000, wholeMs: 30_000 };
const SOCKETS_MAX = 16;
const DEFAULT_RECORD_BYTES = 1024 * 1024;

interface Agents {
  httpAgent: HttpAgent;
  httpsAgent: HttpsAgent;
}
type SdkLogger = NonNullable<KinesisClientConfig['logger']>;

/** Where readings go, as a person would name it. */
export function targetName(config: Config): string {
  if (config.KINESIS_TARGET === 'local') return `local stream on ${config.LOCAL_KINESIS_HOST}:${config.LOCAL_KINESIS_PORT}`;
  return config.KINESIS_TARGET === 'aws' ? 'AWS' : maskUrl(config.KINESIS_TARGET);
}

/** Agents that go through the proxies of the environment, or directly where NO_PROXY spares the host. */
async function proxyAgents(direct: Agents): Promise<Agents> {
  const { ProxyAgent } = await import('proxy-agent');
  // A plain request through a proxy names its whole URL, which the agent writes at a connection's first request alone: one a connection.
  const httpAgent = new ProxyAgent({ ...direct, keepAlive: false, maxSockets: SOCKETS_MAX });
  const httpsAgent = new ProxyAgent({ ...direct, keepAlive: true, maxSockets: SOCKETS_MAX });
  return { httpAgent: httpAgent as unknown as HttpAgent, httpsAgent: httpsAgent as unknown as HttpsAgent };
}

export class KinesisSink implements Sink {
  readonly #config: Config;
  readonly #log: Logger;
  readonly #timeouts: SinkTimeouts;
  #client: Promise<KinesisClient> | undefined;
  #clockAheadMs: number | undefined;

  constructor(config: Config, log: Logger, timeouts: SinkTimeouts = TIMEOUTS) {
    this.#config = config;
    this.#log = log;
    this.#timeouts = timeouts;
  }

  async #make(): Promise<KinesisClient> {
    // Imported at first use: 0.3 s and 18 MB that a bridge or a doctor need not pay.
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
    const client = new KinesisClient({
      maxAttempts: 2,
      // An instance: the default handler opens a connection a request, and fails on http:// endpoints.
      requestHandler: new NodeHttpHandler({
        ...agents,
        connectionTimeout: connectMs,
        requestTimeout: requestMs,
        socketTimeout: socketMs,
        throwOnRequestTimeout: true,
      }),
      // No info, not even an empty one: with it the SDK walks every input for what to log. The others it calls without asking.
      logger: {
        trace() {},
        debug() {},
        warn: (...words: unknown[]) => this.#log.debug({ event: 'sdk_warning' }, String(words[0])),
        error: (...words: unknown[]) => this.#log.debug({ event: 'sdk_error' }, String(words[0])),
      } as unknown as SdkLogger,
      // The SDK's own chain; without the cache, which would keep the shared files as they were at the first start of a client.
      ...(KINESIS_TARGET === 'local'
        ? {
            endpoint: `http://${LOCAL_KINESIS_HOST}:${LOCAL_KINESIS_PORT}`,
            region: 'us-east-1',
            credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
          }
        : { credentials: defaultProvider({ ignoreCache: true }) }),
      ...(KINESIS_TARGET !== 'local' && KINESIS_TARGET !== 'aws' ? { endpoint: KINESIS_TARGET } : {}),
    });
    client.middlewareStack.add(
      (next) => async (args) => {
        const result = await next(args);
        const date = (result.response as { headers?: Record<string, string> }).headers?.['date'];
        const farMs = date === undefined ? Number.NaN : Date.parse(date);
        // The header has whole seconds: its middle is the best guess.
        if (Number.isFinite(farMs)) this.#clockAheadMs = Date.now() - farMs - 500;
        return result;
      },
      { step: 'deserialize', priority: 'low', name: 'clockOfTheFarSide' },
    );
    return client;
  }

  async #use<T>(
    work: (client: KinesisClient, options: { abortSignal: AbortSignal }) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    // A controller a request, given back at its end: Node keeps what AbortSignal.any makes for as long as its sources, 12 KB a request.
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
    const answer = await this.#use(
      async (client, options) =>
        await client.send(
          new PutRecordsCommand({
            StreamName: this.#config.KINESIS_STREAM,
            Records: records.map(({ data, partitionKey }) => ({ Data: data, PartitionKey: partitionKey })),
          }),
          options,
        ),
      signal,
    );
    const outcomes = records.map((_, index): RecordOutcome => {
      const record = answer.Records?.[index];
      if (record?.SequenceNumber === undefined || record.SequenceNumber === '')
        return { ok: false, code: record?.ErrorCode ?? 'NoSequenceNumber' };
      return record.ShardId === undefined ? { ok: true } : { ok: true, shard: record.ShardId };
    });
    return { outcomes, ...(this.#clockAheadMs === undefined ? {} : { clockAheadMs: this.#clockAheadMs }) };
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
