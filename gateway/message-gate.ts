/** What a client may publish, subscribe to, and get delivered: its rights, the limits of each message, and its budget. */
import type { Client, PublishPacket } from 'aedes';
import type { Limit } from './breach-kinds.ts';
import type { Breaches } from './breaches.ts';
import type { ClientLimits } from './client-limits.ts';
import type { ClientRegistry, ClientState } from './client-registry.ts';
import { RATE_LIMITS } from './budgets/client-meter.ts';
import { GuardedConnection } from './guarded-connection.ts';
import { RetainedBudget } from './retained-budget.ts';
import type { TopicLimits } from './topic-limits.ts';

export interface MessageGateOptions {
  breaches: Breaches;
  limits: ClientLimits;
  registry: ClientRegistry;
  topics: TopicLimits;
  /** MQTT_MAX_RETAINED_BYTES. */
  retainedBytes: number;
  /** MQTT_SLOW_SUBSCRIBER_MS. */
  slowMs: number;
}

/** `close`: the connection ends. `drop`: the message of a service or bridge goes nowhere. */
export type PublishVerdict = 'accept' | 'drop' | { close: Limit };

/** A client whose backlog is full is disconnected after this, if it is not found frozen before. */
const DOOMED_MAX_MS = 5000;

export class MessageGate {
  readonly #options: MessageGateOptions;
  readonly #retained: RetainedBudget;

  constructor(options: MessageGateOptions) {
    this.#options = options;
    const { limits, registry, retainedBytes } = options;
    this.#retained = new RetainedBudget(
      {
        topics: limits.retainedTopics,
        topicsOfServices: limits.retainedTopicsOfServices,
        bytesOfServices: retainedBytes,
      },
      registry.memory,
    );
  }

  publishVerdict(client: Client, { topic, retain, payload }: PublishPacket): PublishVerdict {
    const { breaches, registry, topics } = this.#options;
    const state = registry.stateOf(client);
    const sizeFault = topics.faultOf(topic);
    const rightFault = state?.identity.rights.mayPublish(topic) === true ? undefined : 'publish_right';
    const fault =
      sizeFault ?? rightFault ?? (retain ? this.#retained.take(topic, payload.length, state?.isTrusted === true) : undefined);
    if (fault === undefined) return 'accept';
    breaches.add(fault, { ...registry.namesOf(client), topic: topic.slice(0, 100) });
    return state?.isTrusted === true && fault !== 'publish_right' ? 'drop' : { close: fault };
  }

  maySubscribe(client: Client, filter: string): boolean {
    const { breaches, registry, topics } = this.#options;
    const state = registry.stateOf(client);
    if (state === undefined) return false;
    state.meter?.take('filters', 1);
    const fault =
      topics.faultOf(filter) ??
      (state.identity.rights.maySubscribe(filter) ? undefined : 'subscribe_right') ??
      registry.subscriptionFault(state, filter);
    if (fault !== undefined) {
      breaches.add(fault, { ...registry.namesOf(client), filter: filter.slice(0, 100) });
      return false;
    }
    registry.subscribed(state, filter);
    return true;
  }

  /** Whether a message is delivered to this client. */
  mayDeliver(client: Client, publisherId: string | undefined, bytes: number): boolean {
    const { registry } = this.#options;
    const state = registry.stateOf(client);
    // A subscriber inside the broker.
    if (state === undefined) return true;
    const publisher = registry.publisherOf(publisherId);
    if (publisher !== undefined) {
      publisher.take('deliveries', 1);
      publisher.take('deliveryBytes', bytes);
    }
    if (state.isTrusted) return this.#fitsService(client, state);
    if (state.isDoomed) return false;
    const exceeded = publisher?.farExceeded();
    if (exceeded !== undefined) {
      this.#options.breaches.add(
        RATE_LIMITS[exceeded],
        { publisher: publisher?.party.name },
        { blame: publisher?.party.name ?? '' },
      );
      return false;
    }
    return this.#fitsBacklog(client, state);
  }

  #fitsService({ conn }: Client, state: ClientState): boolean {
    const isFull = conn instanceof GuardedConnection && conn.backlogBytes > this.#options.limits.backlogBytes;
    if (state.slow?.isStuck !== true && !isFull) return true;
    this.#options.breaches.add('service_backlog', { service: state.identity.name });
    return false;
  }

  #fitsBacklog(client: Client, state: ClientState): boolean {
    const { conn } = client;
    const { limits, registry, slowMs } = this.#options;
    if (!(conn instanceof GuardedConnection)) return true;
    if (conn.destroyed) return false;
    registry.updateMemory(conn);
    if (conn.backlogBytes <= limits.backlogBytes) return !conn.destroyed;
    // A frozen client is found by its time limit, unless that is long.
    state.isDoomed = true;
    const { backlogBytes: bytes } = conn;
    setTimeout(() => registry.disconnect(client, 'backlog', { bytes }), Math.min(DOOMED_MAX_MS, 2 * slowMs + 1000)).unref();
    return false;
  }
}
