/** What the broker knows of each client that has logged in: who it is, its budget, what it has subscribed to. */
import type { Client } from 'aedes';
import type { Config } from '../service/config/config.ts';
import type { BreachFields, Breaches } from './breaches.ts';
import { partyName } from './breaches.ts';
import { BoxRates, ClientMeter, clientRates, Parties, RATE_LIMITS, type Party } from './budgets/client-meter.ts';
import { ConnectionMemory } from './budgets/connection-memory.ts';
import { MemoryBudget } from './budgets/memory-budget.ts';
import type { Limit } from './breach-kinds.ts';
import { BRIDGE_FACTOR, type ClientLimits } from './client-limits.ts';
import { readUnreadBytes } from '../service/network/unread-bytes.ts';
import { GuardedConnection } from './guarded-connection.ts';
import type { Identity, Peer } from './identity.ts';
import { SlowSubscriber } from './slow-subscribers.ts';

export interface ClientState {
  identity: Identity;
  /** A service of this box or the bridge of another one: a breach by size or count drops a message, and never closes its connection. */
  isTrusted: boolean;
  /** The user or address; undefined for a service. */
  party: Party | undefined;
  /** Undefined for a service: nothing of it is metered. */
  meter: ClientMeter | undefined;
  filters: Set<string>;
  slow: SlowSubscriber | undefined;
  /** It exceeded its backlog, and is about to be disconnected: nothing is delivered to it any more. */
  isDoomed: boolean;
}

export interface ClientRegistryOptions {
  config: Pick<Config, 'MQTT_MAX_PUBLISHES_PER_SECOND' | 'MQTT_MAX_RETAINED_BYTES' | 'MQTT_SLOW_SUBSCRIBER_MS'>;
  breaches: Breaches;
  limits: ClientLimits;
}

/** What a subscription costs beside its filter. */
const SUBSCRIPTION_BYTES = 800;
/** Fewer clients cost little even if the system holds as much as it can for each; beyond that, what they do not read waits here. */
const MEASURED_FROM = 8;
/** A single breach that ends a connection already needs a person's attention. */
const DISCONNECTION_WEIGHT = 5;
const UNKNOWN_PEER: Peer = { address: 'unknown', loopback: false };

export const peerOf = (client: Client): Peer => (client.conn instanceof GuardedConnection ? client.conn.peer : UNKNOWN_PEER);

export class ClientRegistry {
  readonly memory: MemoryBudget;
  readonly boxRates: BoxRates;
  readonly #options: ClientRegistryOptions;
  readonly #parties: Parties;
  readonly #states = new WeakMap<Client, ClientState>();
  /** Meters of connected clients by client id: the publisher of a message is known by it. */
  readonly #meters = new Map<string, ClientMeter>();
  readonly #connections: ConnectionMemory<GuardedConnection>;
  /** Connections of clients that are no services. */
  readonly #open = new Set<GuardedConnection>();
  #isMeasuring = false;
  #subscriptions = 0;

  constructor(options: ClientRegistryOptions) {
    this.#options = options;
    const { config, limits } = options;
    this.memory = new MemoryBudget(limits, config.MQTT_MAX_RETAINED_BYTES);
    this.boxRates = new BoxRates(clientRates(limits, config.MQTT_MAX_PUBLISHES_PER_SECOND));
    this.#parties = new Parties(this.boxRates);
    this.#connections = new ConnectionMemory(this.memory, (conn, bytes) => {
      const client = this.#clientOf(conn);
      options.breaches.add('memory', { ...this.namesOf(client), bytes }, this.#disconnection(client));
      conn.destroy();
    });
  }

  stateOf(client: Client): ClientState | undefined {
    return this.#states.get(client);
  }

  identityOf(client: Client): Identity | undefined {
    return this.#states.get(client)?.identity;
  }

  namesOf(client: Client | undefined): BreachFields {
    if (client === undefined) return {};
    return { address: peerOf(client).address, user: this.identityOf(client)?.name ?? '' };
  }

  #clientOf(conn: GuardedConnection): Client | undefined {
    return (conn as unknown as { client?: Client }).client;
  }

  /** Counts a breach of the client of this connection. */
  breached(conn: GuardedConnection, limit: Limit, fields: BreachFields = {}): void {
    const client = this.#clientOf(conn);
    this.#options.breaches.add(limit, { address: conn.peer.address, ...this.namesOf(client), ...fields }, this.#blame(client));
  }

  /** Closes a connection that floods, unless it is one of a service or bridge. */
  endFlood(conn: GuardedConnection, limit: Limit): void {
    const client = this.#clientOf(conn);
    if (conn.destroyed || (client !== undefined && this.#states.get(client)?.isTrusted === true)) return;
    const names = { address: conn.peer.address, ...this.namesOf(client) };
    this.#options.breaches.add(limit, names, this.#disconnection(client));
    conn.destroy();
  }

  /** The party of a client that may log in; undefined for a service of this box. */
  partyOf(identity: Identity, peer: Peer): Party | undefined {
    if (identity.kind === 'service') return undefined;
    const isBridge = identity.kind === 'bridge';
    const name = isBridge ? `bridge ${identity.name}` : partyName({ user: identity.name, address: peer.address });
    return this.#parties.of(name, isBridge);
  }

  /** A client has logged in. */
  add(client: Client, identity: Identity): ClientState {
    const { limits, config } = this.#options;
    const party = this.partyOf(identity, peerOf(client));
    const factor = identity.kind === 'bridge' ? BRIDGE_FACTOR : 1;
    const meter = party === undefined ? undefined : new ClientMeter(party, this.boxRates.rates, factor);
    const isTrusted = identity.kind === 'service' || identity.kind === 'bridge';
    const state: ClientState = {
      identity,
      isTrusted,
      party,
      meter,
      filters: new Set(),
      slow: undefined,
      isDoomed: false,
    };
    this.#states.set(client, state);
    if (meter !== undefined) this.#meters.set(client.id, meter);
    const { conn } = client;
    if (!(conn instanceof GuardedConnection)) return state;
    if (party !== undefined) party.connections += 1;
    if (!isTrusted) this.#open.add(conn);
    state.slow = new SlowSubscriber({
      client,
      conn,
      isWaitedFor: identity.kind === 'service',
      limitMs: config.MQTT_SLOW_SUBSCRIBER_MS,
      onFrozen: isTrusted ? undefined : () => this.disconnect(client, 'slow_subscriber', { bytes: conn.backlogBytes }),
    });
    conn.identify({
      skipsTooLarge: isTrusted,
      meter,
      onThrottled: ({ resource, waitMs, forMs }) => {
        const limit = RATE_LIMITS[resource];
        this.#options.breaches.add(limit, this.namesOf(client), { weight: Math.ceil(waitMs / 1000), ...this.#blame(client) });
        const overMs =
          resource === 'publishes' || resource === 'deliveries' || resource === 'bytes' || resource === 'deliveryBytes'
            ? limits.publishesOverMs
            : limits.requestsOverMs;
        if (forMs >= overMs && !isTrusted) this.disconnect(client, 'over_budget', { resource, for_ms: Math.round(forMs) });
      },
      onMemory: () => {
        if (!isTrusted) this.#connections.update(conn);
      },
    });
    conn.once('close', () => this.#closed(client, conn, state));
    return state;
  }

  #blame(client: Client | undefined): { blame?: string } {
    const party = client === undefined ? undefined : this.#states.get(client)?.party;
    return party === undefined ? {} : { blame: party.name };
  }

  #disconnection(client: Client | undefined): { weight: number; blame?: string } {
    return { weight: DISCONNECTION_WEIGHT, ...this.#blame(client) };
  }

  /** Closes the connection of a client that broke a limit. */
  disconnect(client: Client, limit: Limit, fields: BreachFields = {}): void {
    if (client.conn.destroyed) return;
    this.#options.breaches.add(limit, { ...this.namesOf(client), ...fields }, this.#disconnection(client));
    client.conn.destroy();
  }

  #closed(client: Client, conn: GuardedConnection, state: ClientState): void {
    this.#connections.forget(conn);
    this.#open.delete(conn);
    if (this.#meters.get(client.id) === state.meter) this.#meters.delete(client.id);
    if (state.party !== undefined) state.party.connections -= 1;
    for (const filter of state.filters) this.#count(state, filter, -1);
    state.filters.clear();
  }

  #count(state: ClientState, filter: string, sign: 1 | -1): void {
    const { party } = state;
    if (party === undefined) return;
    party.subscriptions += sign;
    this.#subscriptions += sign;
    this.memory.add('subscriptions', sign * (SUBSCRIPTION_BYTES + filter.length));
  }

  /** The limit that one more subscription would exceed, or undefined. */
  subscriptionFault({ filters, party }: ClientState, filter: string): Limit | undefined {
    const { limits } = this.#options;
    if (filters.has(filter)) return undefined;
    if (filters.size >= limits.subscriptions) return 'subscriptions';
    if (party === undefined) return undefined;
    if (party.subscriptions >= limits.subscriptionsOfParty) return 'subscriptions_of_party';
    const hasRoom = this.#subscriptions < limits.subscriptionsOfAll && this.memory.hasRoom('subscriptions');
    return hasRoom ? undefined : 'subscriptions_of_all';
  }

  subscribed(state: ClientState, filter: string): void {
    if (state.filters.has(filter)) return;
    state.filters.add(filter);
    this.#count(state, filter, 1);
  }

  unsubscribed(client: Client, filters: readonly string[]): void {
    const state = this.#states.get(client);
    if (state === undefined) return;
    for (const filter of filters) if (state.filters.delete(filter)) this.#count(state, filter, -1);
  }

  /** The meter of the client that published a message; undefined for a service, and for the broker itself. */
  publisherOf(clientId: string | undefined): ClientMeter | undefined {
    return clientId === undefined ? undefined : this.#meters.get(clientId);
  }

  /** What waits for a client may have changed. */
  updateMemory(conn: GuardedConnection): void {
    this.#connections.update(conn);
  }

  /** Whether clients are connected that are neither services nor bridges. */
  get hasUsers(): boolean {
    return this.#open.size > 0;
  }

  /** Call it every second. */
  async refresh(): Promise<void> {
    this.#connections.refresh();
    if ((this.#open.size < MEASURED_FROM && !this.#connections.hasLarge) || this.#isMeasuring) return;
    this.#isMeasuring = true;
    const unread = await readUnreadBytes();
    this.#isMeasuring = false;
    for (const conn of this.#open) {
      conn.systemBytes = unread.get(conn.peer.connection ?? '') ?? 0;
      this.#connections.update(conn);
    }
  }
}
