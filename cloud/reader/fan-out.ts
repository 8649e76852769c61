/**
 * Reads shards by SubscribeToShard (enhanced fan-out): the stream pushes, 2 MB a second a shard for this consumer alone. At most one event a
 * shard is asked for ahead; what is not taken waits in the connection, so a slow consumer slows the stream down and fills no memory.
 * A subscription ends after five minutes and is taken anew from where the last one stopped.
 */
import {
  SubscribeToShardCommand,
  type KinesisClient,
  type SubscribeToShardEvent,
  type SubscribeToShardEventStream,
} from '@aws-sdk/client-kinesis';
import { PolledShard, ROUND_MS } from './poll.ts';
import { rest } from './rest.ts';
import type { Shards } from './shards.ts';
import { recordsOf, type StreamRecord } from './stream-record.ts';

export interface FanOutOptions {
  stream: string;
  recordsPerRead: number;
  consumerArn: string;
  untilCaughtUp: boolean;
  signal: AbortSignal | undefined;
}

/** One SubscribeToShard a second a shard is allowed. */
const SUBSCRIBE_EVERY_MS = 1000;
/** A subscription says something every few seconds, records or none: one that has been silent so long is dead. */
const SILENT_MS = 40_000;
/** What the service says and takes back: the five seconds after an earlier subscription, too many calls, a fault of its own. */
const PASSING = new Set([
  'ResourceInUseException',
  'LimitExceededException',
  'InternalFailureException',
  'KMSThrottlingException',
]);
/** A broken connection passes too; so many tries in a row without an event do not. */
const TRIES_MAX = 8;
const passes = (error: unknown): boolean => error instanceof Error && (!('$fault' in error) || PASSING.has(error.name));

class Subscription {
  readonly shardId: string;
  readonly #client: KinesisClient;
  readonly #shards: Shards;
  readonly #options: FanOutOptions;
  #events: AsyncIterator<SubscribeToShardEventStream> | undefined;
  #connection = new AbortController();
  /** Where the next subscription starts, stated by the last event; it goes on where no records come. */
  #continuation: string | undefined;
  #subscribedAt = Number.NEGATIVE_INFINITY;
  #first = true;
  #closed = false;
  #tries = 0;
  caughtUp = false;

  constructor(client: KinesisClient, shards: Shards, shardId: string, options: FanOutOptions) {
    this.#client = client;
    this.#shards = shards;
    this.shardId = shardId;
    this.#options = options;
  }

  /** The next event; undefined once it is closed. */
  async next(): Promise<SubscribeToShardEvent | undefined> {
    while (!this.#closed) {
      const silent = setTimeout(() => this.#connection.abort(), SILENT_MS);
      try {
        this.#events ??= await this.#subscribe();
        const result = await this.#events.next();
        this.#tries = 0;
        if (result.done === true) this.#events = undefined;
        else if (result.value.SubscribeToShardEvent !== undefined) {
          this.#continuation = result.value.SubscribeToShardEvent.ContinuationSequenceNumber;
          return result.value.SubscribeToShardEvent;
        }
      } catch (error) {
        this.#events = undefined;
        this.#tries += 1;
        if (!this.#closed && (!passes(error) || this.#tries >= TRIES_MAX)) throw error;
      } finally {
        clearTimeout(silent);
      }
    }
    return undefined;
  }

  close(): void {
    this.#closed = true;
    this.#connection.abort();
  }

  async #subscribe(): Promise<AsyncIterator<SubscribeToShardEventStream>> {
    await rest(this.#subscribedAt + SUBSCRIBE_EVERY_MS - performance.now(), this.#options.signal);
    this.#subscribedAt = performance.now();
    this.#connection = new AbortController();
    if (this.#closed) this.#connection.abort();
    const start = this.#shards.startOf(this.shardId, !this.#first);
    const answer = await this.#client.send(
      new SubscribeToShardCommand({
        ConsumerARN: this.#options.consumerArn,
        ShardId: this.shardId,
        StartingPosition:
          this.#continuation !== undefined
            ? { Type: 'AFTER_SEQUENCE_NUMBER', SequenceNumber: this.#continuation }
            : {
                Type: start.type,
                ...(start.type === 'AFTER_SEQUENCE_NUMBER' ? { SequenceNumber: start.sequenceNumber } : {}),
                ...(start.type === 'AT_TIMESTAMP' ? { Timestamp: start.timestamp } : {}),
              },
      }),
      { abortSignal: this.#connection.signal },
    );
    this.#first = false;
    if (answer.EventStream === undefined) throw new Error(`no event stream for ${this.shardId}`);
    return answer.EventStream[Symbol.asyncIterator]();
  }
}

/** Yields the records of all shards, as they are pushed and as fast as they are taken. */
export async function* fanOut(client: KinesisClient, shards: Shards, options: FanOutOptions): AsyncGenerator<StreamRecord> {
  const { signal, untilCaughtUp } = options;
  const aborted = (): boolean => signal?.aborted === true;
  const subscriptions = new Set<Subscription>();
  const arrived: { subscription: Subscription; event?: SubscribeToShardEvent | undefined; error?: unknown }[] = [];
  let wake = (): void => undefined;
  const ask = async (subscription: Subscription): Promise<void> => {
    try {
      arrived.push({ subscription, event: await subscription.next() });
    } catch (error) {
      arrived.push({ subscription, error });
    }
    wake();
  };
  const stop = (): void => {
    for (const subscription of subscriptions) subscription.close();
    wake();
  };
  signal?.addEventListener('abort', stop);
  try {
    while (!aborted()) {
      for (const id of await shards.opened()) {
        const subscription = new Subscription(client, shards, id, options);
        subscriptions.add(subscription);
        void ask(subscription);
      }
      if (aborted()) return;
      if (untilCaughtUp && arrived.length === 0 && [...subscriptions].every(({ caughtUp }) => caughtUp)) return;
      if (subscriptions.size === 0) {
        // The children of the last shard are not in the list yet.
        await rest(SUBSCRIBE_EVERY_MS, signal);
        shards.listAgain();
        continue;
      }
      if (arrived.length === 0) await new Promise<void>((resolve) => void (wake = resolve));
      const next = arrived.shift();
      if (next === undefined) continue;
      const { subscription, event, error } = next;
      if (error !== undefined) throw error;
      if (event === undefined) return;
      for (const record of event.Records ?? []) {
        yield* recordsOf(subscription.shardId, record);
        shards.consumed(subscription.shardId, record.SequenceNumber ?? '');
      }
      subscription.caughtUp = (event.Records ?? []).length === 0 && (event.MillisBehindLatest ?? 0) === 0;
      // The last event of a shard names its children, and has nothing to go on from.
      let ended = (event.ChildShards ?? []).length > 0 || event.ContinuationSequenceNumber === undefined;
      if (!ended && subscription.caughtUp && shards.isClosed(subscription.shardId)) {
        // That event did not come, or went with its connection: the rest of the closed shard, if any, is read by GetRecords, which says where the end is.
        const remainder = new PolledShard(client, options, shards, subscription.shardId);
        for (await remainder.open(true); !remainder.ended && !aborted(); await rest(ROUND_MS, signal)) yield* remainder.read();
        ended = remainder.ended;
      }
      if (ended) {
        subscription.close();
        subscriptions.delete(subscription);
        shards.finish(subscription.shardId);
      } else void ask(subscription);
    }
  } finally {
    signal?.removeEventListener('abort', stop);
    stop();
  }
}
