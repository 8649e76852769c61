/**
 * Aedes with our access rules, limits and counts: clean sessions only, in memory only. What must not be lost is acknowledged end to end.
 * What users publish under `hr/` goes through adoption.
 */
import type { Duplex } from 'node:stream';
import { Aedes, type AuthErrorCode, type AuthenticateError, type Client, type ConnectPacket, type PublishPacket } from 'aedes';
import { writeToStream } from 'mqtt-packet';
import type { Config } from '../service/config/config.ts';
import type { Logger } from '../service/log/log.ts';
import type { Access } from './access.ts';
import type { Breaches } from './breaches.ts';
import type { ClientLimits } from './client-limits.ts';
import { useDeliveryQueue } from './delivery-queue.ts';
import { GuardedConnection } from './guarded-connection.ts';
import type { Identity, Peer } from './identity.ts';
import { readBeforeKeepaliveTimeout } from './keepalive.ts';
import type { LoginThrottle } from './login-throttle.ts';
import { orderedPersistence } from './ordered-persistence.ts';
import { isUnderHr, type PublishAdopter } from './publish-adopter.ts';
import { PublishRate } from './publish-rate.ts';
import { RetainedBudget } from './retained-budget.ts';
import { TopicLimits } from './topic-limits.ts';

const REFUSED_NOT_AUTHORIZED = 5 as AuthErrorCode;
const REFUSED_IDENTIFIER = 2 as AuthErrorCode;
const CLIENT_ID_MAX_BYTES = 128;
/** QoS 2 messages of one client that are waiting for their PUBREL. */
const INFLIGHT_QOS2_MAX = 1000;

export interface BrokerOptions {
  config: Config;
  log: Logger;
  access: Access;
  breaches: Breaches;
  throttle: LoginThrottle;
  limits: ClientLimits;
}

/** Where a client's packet goes after adoption has published a copy of it: nobody may subscribe there. */
const NOWHERE_TOPIC = '$SYS/adopted';

/** An identity of this process, with an adoption of its own: for the self-test. */
export interface InternalClient {
  identity: Identity;
  adoption: PublishAdopter;
}

function willFaultOf(identity: Identity, topic: string): 'will_right' | 'will_reading' | undefined {
  if (!identity.rights.mayPublish(topic)) return 'will_right';
  return identity.kind === 'user' && isUnderHr(topic) ? 'will_reading' : undefined;
}

function authError(message: string, returnCode: AuthErrorCode): AuthenticateError {
  return Object.assign(new Error(message), { returnCode });
}

/** Limits that Aedes enforces itself, by the text of its errors. */
const LIMITS_OF_ERRORS: readonly (readonly [RegExp, string])[] = [
  [/^connect did not arrive in time/, 'connect_timeout'],
  [/^drain timeout/, 'slow_subscriber'],
  [/^maxInflightInbound exceeded/, 'inflight_qos2'],
  [/^Client queue limit reached/, 'packets_before_connack'],
  [/too many levels/, 'topic_levels'],
];

const UNKNOWN_PEER: Peer = { address: 'unknown', loopback: false };
const peerOf = (client: Client): Peer => (client.conn instanceof GuardedConnection ? client.conn.peer : UNKNOWN_PEER);

export class Broker {
  readonly #options: BrokerOptions;
  readonly #identities = new WeakMap<Client, Identity>();
  readonly #subscriptions = new WeakMap<Client, Set<string>>();
  readonly #rates = new WeakMap<Client, PublishRate>();
  readonly #internal = new WeakMap<object, InternalClient>();
  readonly #retained: RetainedBudget;
  readonly #topics: TopicLimits;
  #aedes: Aedes | undefined;
  /** Undefined: messages under `hr/` are passed on like all others. */
  #adoption: PublishAdopter | undefined;
  messagesIn = 0;
  messagesOut = 0;

  constructor(options: BrokerOptions) {
    this.#options = options;
    this.#topics = new TopicLimits(options.limits);
    this.#retained = new RetainedBudget({
      maxTopics: options.limits.retainedTopics,
      maxBytes: options.config.MQTT_MAX_RETAINED_BYTES,
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

  get clients(): number {
    return this.#aedes?.connectedClients ?? 0;
  }

  async start(): Promise<void> {
    const { config, limits } = this.#options;
    // It would keep a Buffer for every two-byte number, 7 MB, created at the first packet.
    writeToStream.cacheNumbers = false;
    this.#aedes = await Aedes.createBroker({
      persistence: orderedPersistence(),
      connectTimeout: limits.connectTimeoutMs,
      // A frozen subscriber stalls all deliveries for this long, then it is disconnected.
      drainTimeout: config.MQTT_SLOW_SUBSCRIBER_MS,
      maxClientsIdLength: CLIENT_ID_MAX_BYTES,
      maxTopicLevels: limits.topicLevels,
      maxInflightInbound: INFLIGHT_QOS2_MAX,
      preConnect: (client, packet, callback) => {
        const fault = this.#connectFault(client, packet);
        if (fault !== undefined) {
          // Aedes sends no CONNACK for a refusal in preConnect: it is written here.
          const conn = client.conn as unknown as Duplex;
          conn.write(Buffer.from([0x20, 2, 0, fault]));
          conn.destroy();
          return callback(null, false);
        }
        // Every session is clean, whatever the client asks for: in Aedes live messages overtake a session's backlog.
        packet.clean = true;
        callback(null, true);
      },
      authenticate: (client, username, password, done) => void this.#authenticate(client, username, password, done),
      authorizePublish: (client, packet, callback) => {
        this.messagesIn += 1;
        if (client === null) callback(null);
        else this.#authorizePublish(client, packet, callback);
      },
      authorizeSubscribe: (client, subscription, callback) => {
        // null: the subscription is refused with 0x80, the connection stays.
        callback(null, this.#maySubscribe(client, subscription.topic) ? subscription : null);
      },
      authorizeForward: (client, packet) => {
        if (!this.#backlogAllows(client)) return null;
        this.messagesOut += 1;
        return packet;
      },
    });
    useDeliveryQueue(this.#aedes);
    this.#aedes.on('client', (client) => {
      readBeforeKeepaliveTimeout(client);
      const identity = this.#identities.get(client);
      if (identity?.kind === 'user') this.#adoptionOf(client)?.connected(client, identity.name);
    });
    this.#aedes.on('clientDisconnect', (client) => this.#adoptionOf(client)?.disconnected(client));
    this.#aedes.on('unsubscribe', (filters, client) => {
      for (const filter of filters) this.#subscriptions.get(client)?.delete(filter);
    });
    for (const event of ['clientError', 'connectionError'] as const)
      this.#aedes.on(event, (client, error) => {
        const limit = LIMITS_OF_ERRORS.find(([words]) => words.test(error.message))?.[1];
        if (limit === undefined)
          this.#options.log.debug({ event: 'client_error', reason: error.message }, 'a client connection failed');
        else this.#options.breaches.add(limit, this.#namesOf(client));
      });
  }

  #namesOf(client: Client): { address: string; user: string } {
    return { address: peerOf(client).address, user: this.#identities.get(client)?.name ?? '' };
  }

  /** The CONNACK code that refuses a CONNECT, or undefined. */
  #connectFault(client: Client, packet: ConnectPacket): number | undefined {
    const { breaches, limits } = this.#options;
    const refused = (limit: string, code: number): number => {
      breaches.add(limit, { address: peerOf(client).address });
      return code;
    };
    if (packet.clientId === '' && packet.clean === false) return REFUSED_IDENTIFIER;
    // [MQTT-1.5.3-2]
    if ([packet.clientId, packet.username, packet.will?.topic].some((text) => text?.includes('\0') === true))
      return refused('null_character', REFUSED_IDENTIFIER);
    if (Buffer.byteLength(packet.clientId) > CLIENT_ID_MAX_BYTES) return refused('client_id_bytes', REFUSED_IDENTIFIER);
    const { will } = packet;
    if (will === undefined) return undefined;
    const topicFault = this.#topics.faultOf(will.topic);
    if (topicFault !== undefined) return refused(topicFault, REFUSED_NOT_AUTHORIZED);
    if (will.payload.length > limits.willBytes) return refused('will_bytes', REFUSED_NOT_AUTHORIZED);
    return undefined;
  }

  async #authenticate(
    client: Client,
    username: string | undefined,
    password: Buffer | undefined,
    done: (error: AuthenticateError | null, success: boolean | null) => void,
  ): Promise<void> {
    const { access, breaches, log, throttle } = this.#options;
    const peer = peerOf(client);
    const identity =
      this.#internal.get(client.conn)?.identity ??
      (await access.authenticate(username, password?.toString(), peer).catch((error: unknown) => {
        log.warn({ event: 'login_failed', err: error }, 'a login could not be checked');
        return undefined;
      }));
    if (identity === undefined) {
      breaches.add('login', { address: peer.address, user: (username ?? '').slice(0, 64) });
      setTimeout(
        () => done(authError('wrong name or password', REFUSED_NOT_AUTHORIZED), null),
        username === undefined || username === '' ? 0 : throttle.failed(peer.address),
      ).unref();
      return;
    }
    // A will must not be a way around the client's rights, and a reading is never late.
    const will = (client as Client & { _will?: { topic: string } | null })._will;
    const willFault = will === undefined || will === null ? undefined : willFaultOf(identity, will.topic);
    if (will !== undefined && will !== null && willFault !== undefined) {
      breaches.add(willFault, { user: identity.name, topic: will.topic.slice(0, 100) });
      return done(authError('not allowed to publish this will', REFUSED_NOT_AUTHORIZED), null);
    }
    // Taking over a client id closes the session that has it: only the same user may do that.
    const holder = this.#holderOf(client.id);
    if (holder !== undefined && (holder.kind !== identity.kind || holder.name !== identity.name)) {
      breaches.add('client_id_taken', { user: identity.name, address: peer.address });
      return done(authError("this client id is another user's", REFUSED_IDENTIFIER), null);
    }
    this.#identities.set(client, identity);
    if (identity.kind === 'user' || identity.kind === 'anonymous')
      this.#rates.set(client, new PublishRate(this.#options.config.MQTT_MAX_PUBLISHES_PER_SECOND));
    done(null, true);
  }

  #connected(): Client[] {
    return Object.values((this.aedes as unknown as { clients: Record<string, Client> }).clients);
  }

  #holderOf(clientId: string): Identity | undefined {
    const holder = (this.aedes as unknown as { clients: Record<string, Client | undefined> }).clients[clientId];
    return holder === undefined ? undefined : this.#identities.get(holder);
  }

  /** Closes the connections of removed users, and of users whose password or rights changed. */
  dropOutdated(isCurrent: (identity: Identity) => boolean): void {
    if (this.#aedes === undefined) return;
    for (const client of this.#connected()) {
      const identity = this.#identities.get(client);
      if (identity !== undefined && !isCurrent(identity)) client.close();
    }
  }

  #backlogAllows(client: Client): boolean {
    const { conn } = client;
    if (!(conn instanceof GuardedConnection) || conn.backlogBytes <= this.#options.limits.backlogBytes) return true;
    if (!conn.destroyed) {
      this.#options.breaches.add('backlog', { ...this.#namesOf(client), bytes: conn.backlogBytes });
      conn.destroy();
    }
    return false;
  }

  #adoptionOf(client: Client): PublishAdopter | undefined {
    return this.#internal.get(client.conn)?.adoption ?? this.#adoption;
  }

  #authorizePublish(client: Client, packet: PublishPacket, callback: (error?: Error | null) => void): void {
    const identity = this.#identities.get(client);
    const isReading = identity?.kind === 'user' && isUnderHr(packet.topic);
    const adoption = isReading ? this.#adoptionOf(client) : undefined;
    // A reading is never late: nothing of a user is retained there.
    if (adoption !== undefined) packet.retain = false;
    const fault = this.#publishFault(client, packet);
    if (fault !== null) return callback(fault);
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
    packet.topic = NOWHERE_TOPIC;
    packet.payload = Buffer.alloc(0);
    if (isAcknowledgedByUs) packet.qos = 0;
    if (!isDelivered) return callback(null);
    this.aedes.publish({ cmd: 'publish', topic, payload, qos, retain: false, dup: false }, () => callback(null));
  }

  #publishFault(client: Client, { topic, retain, payload }: PublishPacket): Error | null {
    const { breaches } = this.#options;
    const fault =
      this.#topics.faultOf(topic) ??
      (this.#identities.get(client)?.rights.mayPublish(topic) === true ? undefined : 'publish_right') ??
      (retain ? this.#retained.take(topic, payload.length) : undefined);
    if (fault !== undefined) {
      breaches.add(fault, { ...this.#namesOf(client), topic: topic.slice(0, 100) });
      return new Error(`refused: ${fault}`);
    }
    const holdMs = this.#rates.get(client)?.take() ?? 0;
    if (holdMs > 0 && client.conn instanceof GuardedConnection) {
      breaches.add('publish_rate', this.#namesOf(client));
      client.conn.hold(holdMs);
    }
    return null;
  }

  #maySubscribe(client: Client, filter: string): boolean {
    const { breaches, limits } = this.#options;
    const filters = this.#subscriptions.get(client) ?? new Set();
    this.#subscriptions.set(client, filters);
    const fault =
      this.#topics.faultOf(filter) ??
      (this.#identities.get(client)?.rights.maySubscribe(filter) === true ? undefined : 'subscribe_right') ??
      (!filters.has(filter) && filters.size >= limits.subscriptions ? 'subscriptions' : undefined);
    if (fault !== undefined) {
      breaches.add(fault, { ...this.#namesOf(client), filter: filter.slice(0, 100) });
      if (fault === 'null_character') client.close();
      return false;
    }
    filters.add(filter);
    return true;
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

  /** Hands a connection of this process to Aedes; it needs no login. */
  handleInternal(stream: Duplex, internal: InternalClient): void {
    const guarded = new GuardedConnection(stream, {
      peer: { address: 'internal', loopback: true },
      maxPacketBytes: this.#options.config.MQTT_MAX_PACKET_BYTES,
      onTooLarge: () => undefined,
    });
    guarded.on('error', () => {});
    this.#internal.set(guarded, internal);
    this.aedes.handle(guarded);
  }

  /** Whether a service is connected with its key. */
  hasService(name: string): boolean {
    return this.#connected().some((client) => {
      const identity = this.#identities.get(client);
      return identity?.kind === 'service' && identity.name === name;
    });
  }

  /** From now on reads nothing more from users, so that they keep what they have not sent yet. */
  stopReadingUsers(): void {
    if (this.#aedes === undefined) return;
    for (const client of this.#connected())
      if (this.#identities.get(client)?.kind === 'user' && client.conn instanceof GuardedConnection)
        client.conn.limitPublishes(() => 0);
  }

  async stop(): Promise<void> {
    const aedes = this.#aedes;
    if (aedes !== undefined && !aedes.closed) await new Promise<void>((resolve) => aedes.close(() => resolve()));
  }
}
