/** Kinesis by the AWS SDK, configured so that its time limits hold and its connections are reused. */
import type { KinesisClient } from '@aws-sdk/client-kinesis';
import type { Config } from '../../service/config/config.ts';
import { maskUrl } from '../../service/config/config.ts';
import { streamOf, targetOf } from '../../service/config/stream-address.ts';
import type { Logger } from '../../service/log/log.ts';
import { clockAheadOf, withClockChecked } from './clock-check.ts';
import { CredentialsFailed } from './credentials.ts';
import { classify } from './failure-classes.ts';
import type { HttpTimeouts } from './http-handler.ts';
import { localEndpoint, makeKinesisClient, originOf } from './kinesis-client.ts';
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
import { factsOf } from './thrown.ts';
import { WireMeter } from './wire-meter.ts';

export interface SinkTimeouts extends HttpTimeouts {
  /** The whole call, including the SDK's second attempt. */
  wholeMs: number;
}

const TIMEOUTS: SinkTimeouts = { connectMs: 3000, requestMs: 10_000, socketMs: 10_000, wholeMs: 30_000 };
const DEFAULT_RECORD_BYTES = 1024 * 1024;

/** The target as shown to people: the local stream, AWS, or the endpoint without credentials. */
export function targetName(config: Config): string {
  if (config.KINESIS_TARGET === 'local') return `local stream on ${localEndpoint(config).replace('http://', '')}`;
  return config.KINESIS_TARGET === 'aws' ? 'AWS' : maskUrl(config.KINESIS_TARGET);
}

/** Its name is classified in failure-classes.ts. */
class RequestAborted extends Error {
  override readonly name = 'AbortError';
}

export class KinesisSink implements Sink {
  readonly #config: Config;
  readonly #log: Logger;
  readonly #timeouts: SinkTimeouts;
  #client: Promise<KinesisClient> | undefined;
  #clockAheadMs: number | undefined;
  /** Where the last request was sent to. */
  #origin: string | undefined;
  readonly #meter = new WireMeter();

  constructor(config: Config, log: Logger, timeouts: SinkTimeouts = TIMEOUTS) {
    this.#config = config;
    this.#log = log;
    this.#timeouts = timeouts;
  }

  async #make(): Promise<KinesisClient> {
    const client = await makeKinesisClient(this.#config, {
      log: this.#log,
      timeouts: this.#timeouts,
      onAgents: ({ httpAgent, httpsAgent }) => {
        for (const agent of [httpAgent, httpsAgent]) this.#meter.watch(agent);
      },
    });
    client.middlewareStack.add(
      (next) => async (args) => {
        const { protocol, hostname, port } = args.request as { protocol?: string; hostname?: string; port?: number };
        this.#origin = `${protocol}//${hostname}:${port ?? ''}`;
        const sentMs = Date.now();
        const result = await next(args);
        const { headers } = result.response as { headers?: Record<string, string> };
        this.#clockAheadMs = clockAheadOf({ sentMs, receivedMs: Date.now(), date: headers?.['date'] }) ?? this.#clockAheadMs;
        return result;
      },
      { step: 'deserialize', priority: 'low', name: 'clockOfTheStream' },
    );
    return client;
  }

  /** The client; a new one after a failure to make it. */
  async #connected(): Promise<KinesisClient> {
    this.#client ??= this.#make();
    try {
      return await this.#client;
    } catch (error) {
      this.#client = undefined;
      throw error;
    }
  }

  /** The failure of a request, as an error of this sink. */
  async #failure(error: unknown): Promise<SinkError> {
    const failure = classify(error, targetOf(this.#config));
    if (failure.mayBeClock === undefined) return new SinkError(failure, error);
    const client = await this.#client?.catch(() => undefined);
    const origin = this.#origin ?? (client === undefined ? undefined : await originOf(client));
    const date = factsOf(error instanceof CredentialsFailed ? error.cause : error).header('date');
    return new SinkError(await withClockChecked(failure, { date, origin }), error);
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
    // The SDK ends a request by its signal, but not what a source of credentials does before it.
    const aborted = new Promise<never>((_, reject) => {
      controller.signal.addEventListener('abort', () => reject(new RequestAborted('the request was aborted')), { once: true });
    });
    if (signal.aborted) abort();
    try {
      return await Promise.race([this.#connected().then((client) => work(client, { abortSignal: controller.signal })), aborted]);
    } catch (error) {
      throw await this.#failure(error);
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
          ...streamOf(this.#config),
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
              NextToken === undefined ? { ...streamOf(this.#config), ShardFilter: { Type: 'AT_LATEST' } } : { NextToken },
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
      async (client, options) => await client.send(new DescribeStreamSummaryCommand(streamOf(this.#config)), options),
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
