/**
 * Aedes with our access rules, budgets and counts: clean sessions only, in memory only. What must not be lost is acknowledged end to end.
 * What users publish under `hr/` goes through adoption.
 */
import type { Duplex } from 'node:stream';
import { Aedes, type Client, type PublishPacket } from 'aedes';
import { writeToStream } from 'mqtt-packet';
import type { Config } from '../service/config/config.ts';
import type { Logger } from '../service/log/log.ts';
import type { Access } from './access.ts';
import type { Limit } from './breach-kinds.ts';
import type { BreachFields, Breaches } from './breaches.ts';
import { BusyScale } from './budgets/busy-scale.ts';
import type { MemoryBudget } from './budgets/memory-budget.ts';
import type { ClientLimits } from './client-limits.ts';
import { ClientRegistry } from './client-registry.ts';
import { CLIENT_ID_MAX_BYTES, ConnectGate, REFUSED_IDENTIFIER } from './connect-gate.ts';
import { useDeliveryQueue } from './delivery-queue.ts';
import { GuardedConnection, type GuardedConnectionOptions } from './guarded-connection.ts';
import type { Identity } from './identity.ts';
import { readBeforeKeepaliveTimeout } from './keepalive.ts';
import type { LoginThrottle } from './login-throttle.ts';
import { MessageGate } from './message-gate.ts';
import { checkStrings } from './mqtt-text.ts';
import { orderedPersistence } from './ordered-persistence.ts';
import { isUnderHr, type PublishAdopter } from './publish-adopter.ts';
import { RetainedReplay } from './retained-replay.ts';
import { RetainedStore } from './retained-store.ts';
import { TopicLimits } from './topic-limits.ts';

/** QoS 2 messages of one client that are waiting for their PUBREL. */
const INFLIGHT_QOS2_MAX = 1000;
/** How often what waits for slow clients is counted again. */
const REFRESH_MS = 1000;

export interface BrokerOptions {
  config: Config;
  log: Logger;
  access: Access;
  breaches: Breaches;
  throttle: LoginThrottle;
  limits: ClientLimits;
}

/** Where a client's packet goes after adoption has published a copy of it: it is forwarded to nobody. */
const NOWHERE_TOPIC = '$SYS/adopted';

/** The QoS of a subscription that was refused, in the SUBACK (MQTT 3.1.1 section 3.9.3). */
const SUBACK_FAILURE: number = 0x80;

/** The packet is handled to its end, and reaches nobody. */
function sendNowhere(packet: PublishPacket): void {
  packet.topic = NOWHERE_TOPIC;
  packet.payload = Buffer.alloc(0);
  packet.retain = false;
}

/** An identity of this process, with an adoption of its own: for the self-test. */
export interface InternalClient {
  identity: Identity;
  adoption: PublishAdopter;
}

/** Limits that Aedes enforces itself, by the text of its errors. */
const LIMITS_OF_ERRORS: readonly (readonly [RegExp, Limit])[] = [
  [/^connect did not arrive in time/, 'connect_timeout'],
  [/^maxInflightInbound exceeded/, 'inflight_qos2'],
  [/too many levels/, 'topic_levels'],
  // mqtt-packet and Aedes on what is no MQTT.
  [/^(Invalid|Cannot parse|Packet|Malformed|Not supported|Connect flag|Will|empty topic|[#+] is (not|only) allowed)/, 'protocol'],
];

export class Broker {
  readonly #options: BrokerOptions;
  readonly #internal = new WeakMap<object, InternalClient>();
  /** Clients whose connection was closed for a string that is not allowed. */
  readonly #faulty = new WeakSet<Client>();
  readonly #registry: ClientRegistry;
  readonly #connects: ConnectGate;
  readonly #messages: MessageGate;
  readonly #retained = new RetainedStore();
  readonly #replay: RetainedReplay;
  readonly #busy: BusyScale;
  #refresh: NodeJS.Timeout | undefined;
  #aedes: Aedes | undefined;
  /** Undefined: messages under `hr/` are passed on like all others. */
  #adoption: PublishAdopter | undefined;
  messagesIn = 0;
  messagesOut = 0;

  constructor(options: BrokerOptions) {
    this.#options = options;
    const { config, breaches, limits } = options;
    const topics = new TopicLimits(limits);
    const registry = new ClientRegistry({ config, breaches, limits });
    this.#registry = registry;
    this.#connects = new ConnectGate({ ...options, registry, topics, holderOf: (clientId) => this.#holderOf(clientId) });
    this.#messages = new MessageGate({
      breaches,
      limits,
      registry,
      topics,
      retainedBytes: config.MQTT_MAX_RETAINED_BYTES,
      slowMs: config.MQTT_SLOW_SUBSCRIBER_MS,
    });
    this.#replay = new RetainedReplay({
      store: this.#retained,
      messagesPerSecond: limits.replaysPerSecond,
      bytesPerSecond: limits.replayBytesPerSecond,
      againMs: limits.replayAgainMs,
      partyOf: (client) => registry.stateOf(client)?.party?.name,
      backlogOf: ({ conn }) => (conn instanceof GuardedConnection ? conn.backlogBytes : 0),
    });
    this.#busy = new BusyScale((scale) => {
      registry.boxRates.scale = scale;
    });
  }

  get aedes(): Aedes {
    if (this.#aedes === undefined) throw new Error('the broker is not started');
    return this.#aedes;
  }

  /** From now on users' messages under `hr/` go through this adoption. */
  adoptWith(adoption: PublishAdopter): void {
    this.#adoption = adoption;
  }

  /** What clients that are no services use of the box's memory. */
  get memory(): MemoryBudget {
    return this.#registry.memory;
  }

  get clients(): number {
    return this.#aedes?.connectedClients ?? 0;
  }

  async start(): Promise<void> {
    const { limits } = this.#options;
    // It would keep a Buffer for every two-byte number, 7 MB, created at the first packet.
    writeToStream.cacheNumbers = false;
    this.#aedes = await Aedes.createBroker({
      persistence: orderedPersistence(this.#retained),
      connectTimeout: limits.connectTimeoutMs,
      maxClientsIdLength: CLIENT_ID_MAX_BYTES,
      maxTopicLevels: limits.topicLevels,
      maxInflightInbound: INFLIGHT_QOS2_MAX,
      preConnect: (client, packet, callback) => {
        const refusal = this.#connects.refusalOf(client, packet);
        if (refusal !== undefined) {
          // Aedes sends no CONNACK for a refusal in preConnect: it is written here.
          const conn = client.conn as unknown as Duplex;
          conn.write(refusal);
          conn.destroy();
          return callback(null, false);
        }
        // Every session is clean, whatever the client asks for: in Aedes live messages overtake a session's backlog.
        packet.clean = true;
        callback(null, true);
      },
      authenticate: (client, username, password, done) => {
        const internal = this.#internal.get(client.conn);
        if (internal === undefined) void this.#connects.authenticate(client, username, password, done);
        else this.#connects.admit(client, internal.identity, done);
      },
      authorizePublish: (client, packet, callback) => {
        this.messagesIn += 1;
        if (client === null) callback(null);
        else this.#authorizePublish(client, packet, callback);
      },
      authorizeSubscribe: (client, subscription, callback) => {
        // null: the subscription is refused with 0x80, the connection stays.
        callback(null, this.#messages.maySubscribe(client, subscription.topic) ? subscription : null);
      },
      authorizeForward: (client, packet) => {
        if (packet.topic === NOWHERE_TOPIC) return null;
        const { clientId } = packet as { clientId?: string };
        if (!this.#messages.mayDeliver(client, clientId, packet.payload.length)) return null;
        this.messagesOut += 1;
        return packet;
      },
    });
    useDeliveryQueue(this.#aedes);
    this.#listen(this.#aedes);
    this.#refresh = setInterval(() => {
      this.#busy.watch(this.#registry.hasUsers);
      void this.#registry.refresh();
    }, REFRESH_MS);
  }

  #listen(aedes: Aedes): void {
    const { breaches, log } = this.#options;
    aedes.on('client', (client) => {
      readBeforeKeepaliveTimeout(client);
      const identity = this.#registry.identityOf(client);
      if (identity?.kind === 'user') this.#adoptionOf(client)?.connected(client, identity.name);
    });
    aedes.on('clientDisconnect', (client) => {
      this.#replay.disconnected(client);
      this.#adoptionOf(client)?.disconnected(client);
    });
    aedes.on('subscribe', (subscriptions, client) => {
      const granted = subscriptions.filter(({ qos }) => qos !== SUBACK_FAILURE).map(({ topic }) => topic);
      const repeated = this.#replay.subscribed(client, granted);
      if (repeated > 0) breaches.add('replay_again', this.#registry.namesOf(client), { weight: 0 });
    });
    aedes.on('unsubscribe', (filters, client) => this.#registry.unsubscribed(client, filters));
    for (const event of ['clientError', 'connectionError'] as const)
      aedes.on(event, (client, error) => {
        // What was closed already for a string that is not allowed: the parser's error is no news.
        if (this.#faulty.has(client)) return;
        const limit = LIMITS_OF_ERRORS.find(([words]) => words.test(error.message))?.[1];
        if (limit !== undefined) breaches.add(limit, this.#registry.namesOf(client));
        else log.debug({ event: 'client_error', reason: error.message }, 'a client connection failed');
      });
  }

  /** Hands a connection to Aedes. */
  handle(conn: GuardedConnection, request?: Parameters<Aedes['handle']>[1]): void {
    const client = this.aedes.handle(conn, request);
    checkStrings(client, (fault) => {
      this.#faulty.add(client);
      this.#options.breaches.add(fault, this.#registry.namesOf(client));
      // Aedes sends no CONNACK for it: it is written here, and is ignored by a client that has one.
      if (!client.connected) conn.write(Buffer.from([0x20, 2, 0, REFUSED_IDENTIFIER]));
      conn.destroy();
    });
  }

  #connected(): Client[] {
    return Object.values((this.aedes as unknown as { clients: Record<string, Client> }).clients);
  }

  #holderOf(clientId: string): Identity | undefined {
    const holder = (this.aedes as unknown as { clients: Record<string, Client | undefined> }).clients[clientId];
    return holder === undefined ? undefined : this.#registry.identityOf(holder);
  }

  /** Closes the connections of removed users, and of users whose password or rights changed. */
  dropOutdated(isCurrent: (identity: Identity) => boolean): void {
    if (this.#aedes === undefined) return;
    for (const client of this.#connected()) {
      const identity = this.#registry.identityOf(client);
      if (identity !== undefined && !isCurrent(identity)) client.close();
    }
  }

  #adoptionOf(client: Client): PublishAdopter | undefined {
    return this.#internal.get(client.conn)?.adoption ?? this.#adoption;
  }

  #authorizePublish(client: Client, packet: PublishPacket, callback: (error?: Error | null) => void): void {
    const identity = this.#registry.identityOf(client);
    const isReading = identity?.kind === 'user' && isUnderHr(packet.topic);
    const adoption = isReading ? this.#adoptionOf(client) : undefined;
    // A reading is never late: nothing of a user is retained there.
    if (adoption !== undefined) packet.retain = false;
    const verdict = this.#messages.publishVerdict(client, packet);
    if (verdict === 'drop') {
      sendNowhere(packet);
      return callback(null);
    }
    if (verdict !== 'accept') return callback(new Error(`refused: ${verdict.close}`));
    if (adoption !== undefined) return this.#adopt(adoption, client, packet, callback);
    if (identity?.kind === 'service' || identity?.kind === 'bridge')
      this.#adoption?.bridgePublished(packet.topic, packet.payload.length);
    callback(null);
  }

  /**
   * Aedes acknowledges a publish right after this returns, and waits for nothing else. So a copy is published for the live subscribers, the
   * client's own packet becomes an empty QoS 0 one that goes nowhere, and adoption writes the acknowledgement later. The callback is not
   * held back for longer than the delivery, because the client's next packets, PINGREQ too, wait for it.
   */
  #adopt(adoption: PublishAdopter, client: Client, packet: PublishPacket, callback: (error?: Error | null) => void): void {
    const { isDelivered, isAcknowledgedByUs } = adoption.take(client, packet);
    if (isDelivered && !isAcknowledgedByUs) return callback(null);
    const { topic, payload, qos } = packet;
    sendNowhere(packet);
    if (isAcknowledgedByUs) packet.qos = 0;
    if (!isDelivered) return callback(null);
    // The client id tells whose budget the deliveries are taken from.
    const copy = { cmd: 'publish', topic, payload, qos, retain: false, dup: false, clientId: client.id } as const;
    this.aedes.publish(copy, () => callback(null));
  }

  /** Publishes as the broker itself; false if it is not running. `delivered`: it was written to every subscriber. */
  publish(topic: string, payload: string | Buffer, options: { retain?: boolean; delivered?: () => void } = {}): boolean {
    if (this.#aedes === undefined || this.#aedes.closed) return false;
    this.#aedes.publish(
      {
        cmd: 'publish',
        qos: 0,
        dup: false,
        retain: options.retain === true,
        topic,
        payload: typeof payload === 'string' ? Buffer.from(payload) : payload,
      },
      () => options.delivered?.(),
    );
    return true;
  }

  /** Receives messages inside the broker, without a connection. */
  subscribe(filter: string, handler: (topic: string, payload: Buffer) => void): void {
    this.aedes.subscribe(
      filter,
      (packet, done) => {
        handler(packet.topic, Buffer.from(packet.payload));
        done();
      },
      () => {},
    );
  }

  /** A stream with the limits of a connection that has not logged in. */
  guarded(stream: Duplex, options: Pick<GuardedConnectionOptions, 'peer' | 'onTooLarge'>): GuardedConnection {
    const { config, limits } = this.#options;
    const { MQTT_MAX_PACKET_BYTES: maxPacketBytes } = config;
    const guarded = new GuardedConnection(stream, { maxPacketBytes, requestBytes: limits.requestBytes, ...options });
    guarded.on('error', () => {});
    return guarded;
  }

  /** Counts a breach of the client of this connection: of its user, or of its address before the login. */
  breached(conn: GuardedConnection, limit: Limit, fields: BreachFields = {}): void {
    this.#registry.breached(conn, limit, fields);
  }

  /** Closes a connection that floods, unless it is one of a service or bridge. */
  endFlood(conn: GuardedConnection, limit: Limit): void {
    this.#registry.endFlood(conn, limit);
  }

  /** Hands a connection of this process to Aedes; it needs no login. */
  handleInternal(stream: Duplex, internal: InternalClient): void {
    const guarded = this.guarded(stream, { peer: { address: 'internal', loopback: true }, onTooLarge: () => undefined });
    this.#internal.set(guarded, internal);
    this.handle(guarded);
  }

  /** Whether a service is connected with its key. */
  hasService(name: string): boolean {
    return this.#connected().some((client) => {
      const identity = this.#registry.identityOf(client);
      return identity?.kind === 'service' && identity.name === name;
    });
  }

  /** From now on reads nothing more from users, so that they keep what they have not sent yet. */
  stopReadingUsers(): void {
    if (this.#aedes === undefined) return;
    for (const client of this.#connected())
      if (this.#registry.identityOf(client)?.kind === 'user' && client.conn instanceof GuardedConnection)
        client.conn.limitPublishes(() => 0);
  }

  async stop(): Promise<void> {
    clearInterval(this.#refresh);
    this.#busy.stop();
    this.#replay.stop();
    const aedes = this.#aedes;
    if (aedes !== undefined && !aedes.closed) await new Promise<void>((resolve) => aedes.close(() => resolve()));
  }
}
