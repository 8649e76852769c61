/**
 * Reads shards by SubscribeToShard (enhanced fan-out): the stream pushes 2 MB per second and shard to this consumer alone. At most one
 * event per shard is requested ahead; the rest waits in the connection, so a slow consumer slows the stream down instead of filling memory.
 * A subscription ends after five minutes and is renewed from where the last one stopped.
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

/** One SubscribeToShard per second and shard is allowed. */
const SUBSCRIBE_EVERY_MS = 1000;
/** A subscription sends an event every few seconds, with or without records: one that is silent for this long is dead. */
const SILENT_MS = 40_000;
/** Transient errors of the service: five seconds after an earlier subscription, too many calls, an internal failure. */
const TRANSIENT = new Set([
  'ResourceInUseException',
  'LimitExceededException',
  'InternalFailureException',
  'KMSThrottlingException',
]);
/** A broken connection is transient, too; this many attempts in a row without an event are not. */
const TRIES_MAX = 8;
const isTransient = (error: unknown): boolean => error instanceof Error && (!('$fault' in error) || TRANSIENT.has(error.name));

class Subscription {
  readonly shardId: string;
  readonly #client: KinesisClient;
  readonly #shards: Shards;
  readonly #options: FanOutOptions;
  #events: AsyncIterator<SubscribeToShardEventStream> | undefined;
  #connection = new AbortController();
  /** Where the next subscription starts. Every event states it, also one without records. */
  #continuation: string | undefined;
  #subscribedAt = Number.NEGATIVE_INFINITY;
  #first = true;
  #closed = false;
  #tries = 0;
  /** An event has reached the newest record. */
  caughtUp = false;

  constructor(client: KinesisClient, shards: Shards, shardId: string, options: FanOutOptions) {
    this.#client = client;
    this.#shards = shards;
    this.shardId = shardId;
    this.#options = options;
  }

  #isClosed(): boolean {
    return this.#closed;
  }

  /** The next event; undefined once the subscription is closed. */
  async next(): Promise<SubscribeToShardEvent | undefined> {
    while (!this.#isClosed()) {
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
        if (!this.#isClosed() && (!isTransient(error) || this.#tries >= TRIES_MAX)) throw error;
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

interface Arrival {
  subscription: Subscription;
  /** Undefined: the subscription was closed. */
  event: SubscribeToShardEvent | undefined;
}

/** The events of all subscriptions, in the order of their arrival. */
class Arrivals {
  readonly #arrived: (Arrival | { error: unknown })[] = [];
  #wake = (): void => undefined;

  get isEmpty(): boolean {
    return this.#arrived.length === 0;
  }

  /** Requests the next event of a subscription. */
  async request(subscription: Subscription): Promise<void> {
    try {
      this.#arrived.push({ subscription, event: await subscription.next() });
    } catch (error) {
      this.#arrived.push({ error });
    }
    this.#wake();
  }

  wake(): void {
    this.#wake();
  }

  /** Waits for the next event; undefined if it was woken without one. Throws the error of a subscription. */
  async next(): Promise<Arrival | undefined> {
    if (this.isEmpty) await new Promise<void>((resolve) => void (this.#wake = resolve));
    const arrival = this.#arrived.shift();
    if (arrival !== undefined && 'error' in arrival) throw arrival.error;
    return arrival;
  }
}

/** Reads the rest of a closed shard by GetRecords, which reports the end of a shard reliably. Returns whether it was reached. */
async function* readRemainder(
  client: KinesisClient,
  shards: Shards,
  shardId: string,
  options: FanOutOptions,
): AsyncGenerator<StreamRecord, boolean> {
  const remainder = new PolledShard(client, options, shards, shardId);
  await remainder.open(true);
  while (!remainder.ended && options.signal?.aborted !== true) {
    yield* remainder.read();
    await rest(ROUND_MS, options.signal);
  }
  return remainder.ended;
}

/** Yields the records of an event. Returns whether its shard was read to its end. */
async function* readEvent(
  client: KinesisClient,
  shards: Shards,
  subscription: Subscription,
  event: SubscribeToShardEvent,
  options: FanOutOptions,
): AsyncGenerator<StreamRecord, boolean> {
  const { shardId } = subscription;
  const records = event.Records ?? [];
  for (const record of records) {
    yield* recordsOf(shardId, record);
    shards.consumed(shardId, record.SequenceNumber ?? '');
  }
  const isAtTip = (event.MillisBehindLatest ?? 0) === 0;
  subscription.caughtUp ||= isAtTip;
  // The last event of a shard names its children, and has no position to continue from. It may be lost with its connection.
  if ((event.ChildShards ?? []).length > 0 || event.ContinuationSequenceNumber === undefined) return true;
  return isAtTip && shards.isClosed(shardId) && (yield* readRemainder(client, shards, shardId, options));
}

/** Yields the records of all shards, in the order in which they are pushed and as fast as the consumer takes them. */
export async function* fanOut(client: KinesisClient, shards: Shards, options: FanOutOptions): AsyncGenerator<StreamRecord> {
  const { signal, untilCaughtUp } = options;
  const aborted = (): boolean => signal?.aborted === true;
  const subscriptions = new Set<Subscription>();
  const arrivals = new Arrivals();
  const stop = (): void => {
    for (const subscription of subscriptions) subscription.close();
    arrivals.wake();
  };
  signal?.addEventListener('abort', stop);
  try {
    while (!aborted()) {
      for (const id of await shards.opened()) {
        const subscription = new Subscription(client, shards, id, options);
        subscriptions.add(subscription);
        void arrivals.request(subscription);
      }
      if (aborted()) return;
      if (untilCaughtUp && arrivals.isEmpty && [...subscriptions].every(({ caughtUp }) => caughtUp)) return;
      if (subscriptions.size === 0) {
        // The children of the last shard are not in the list yet.
        await rest(SUBSCRIBE_EVERY_MS, signal);
        shards.listAgain();
        continue;
      }
      const arrival = await arrivals.next();
      if (arrival === undefined) continue;
      const { subscription, event } = arrival;
      if (event === undefined) return;
      if (yield* readEvent(client, shards, subscription, event, options)) {
        subscription.close();
        subscriptions.delete(subscription);
        shards.finish(subscription.shardId);
      } else void arrivals.request(subscription);
    }
  } finally {
    signal?.removeEventListener('abort', stop);
    stop();
  }
}
