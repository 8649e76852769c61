/** Aedes with our access, limits and counts: clean sessions only, memory only; what must not be lost is acknowledged end to end. */
import type { Duplex } from 'node:stream';
import { Aedes, type AuthErrorCode, type AuthenticateError, type Client, type ConnectPacket, type PublishPacket } from 'aedes';
import { writeToStream } from 'mqtt-packet';
import type { Config } from '../service/config/config.ts';
import type { Logger } from '../service/log/log.ts';
import type { Access, Identity, Peer } from './access.ts';
import type { Breaches } from './breaches.ts';
import type { ClientLimits } from './client-limits.ts';
import { useDeliveryQueue } from './delivery-queue.ts';
import { GuardedConnection } from './guarded-connection.ts';
import type { LoginThrottle } from './login-throttle.ts';
import { orderedPersistence } from './ordered-persistence.ts';
import { PublishRate } from './publish-rate.ts';
import { RetainedBudget } from './retained-budget.ts';

/** Topics that are remembered to be within the limits: looked at with every message, they are the same few. */
const GOOD_TOPICS_MAX = 2000;
const REFUSED_NOT_AUTHORIZED = 5 as AuthErrorCode;
const REFUSED_IDENTIFIER = 2 as AuthErrorCode;
const CLIENT_ID_MAX_BYTES = 128;
/** QoS 2 messages of one client that wait for their PUBREL. */
const INFLIGHT_QOS2_MAX = 1000;

export interface BrokerOptions {
  config: Config;
  log: Logger;
  access: Access;
  breaches: Breaches;
  throttle: LoginThrottle;
  limits: ClientLimits;
}

function authError(message: string, returnCode: AuthErrorCode): AuthenticateError {
  return Object.assign(new Error(message), { returnCode });
}

/** Limits of Aedes' own, by the words of its errors. */
const LIMITS_OF_ERRORS: readonly (readonly [RegExp, string])[] = [
  [/^connect did not arrive in time/, 'connect_timeout'],
  [/^drain timeout/, 'slow_subscriber'],
  [/^maxInflightInbound exceeded/, 'inflight_qos2'],
  [/^Client queue limit reached/, 'packets_before_connack'],
  [/too many levels/, 'topic_levels'],
];

const NOWHERE: Peer = { address: 'unknown', loopback: false };
const peerOf = (client: Client): Peer => (client.conn instanceof GuardedConnection ? client.conn.peer : NOWHERE);

export class Broker {
  readonly #options: BrokerOptions;
  readonly #identities = new WeakMap<Client, Identity>();
  readonly #subscriptions = new WeakMap<Client, Set<string>>();
  readonly #rates = new WeakMap<Client, PublishRate>();
  readonly #retained: RetainedBudget;
  readonly #goodTopics = new Set<string>();
  #aedes: Aedes | undefined;
  messagesIn = 0;
  messagesOut = 0;

  constructor(options: BrokerOptions) {
    this.#options = options;
    this.#retained = new RetainedBudget({
      maxTopics: options.limits.retainedTopics,
      maxBytes: options.config.MQTT_MAX_RETAINED_BYTES,
    });
  }

  get aedes(): Aedes {
    if (this.#aedes === undefined) throw new Error('the broker is not started');
    return this.#aedes;
  }

  get clients(): number {
    return this.#aedes?.connectedClients ?? 0;
  }

  async start(): Promise<void> {
    const { config, limits } = this.#options;
    // It would keep a Buffer for each number that two bytes can hold, 7 MB, made at the first packet.
    writeToStream.cacheNumbers = false;
    this.#aedes = await Aedes.createBroker({
      persistence: orderedPersistence(),
      connectTimeout: limits.connectTimeoutMs,
      // A frozen subscriber holds all deliveries up for this long (facts.md), then it is disconnected.
      drainTimeout: config.MQTT_SLOW_SUBSCRIBER_MS,
      maxClientsIdLength: CLIENT_ID_MAX_BYTES,
      maxTopicLevels: limits.topicLevels,
      maxInflightInbound: INFLIGHT_QOS2_MAX,
      preConnect: (client, packet, callback) => {
        const fault = this.#connectFault(client, packet);
        if (fault !== undefined) {
          // preConnect has no CONNACK of its own in Aedes: the refusal is written here.
          const conn = client.conn as unknown as Duplex;
          conn.write(Buffer.from([0x20, 2, 0, fault]));
          conn.destroy();
          return callback(null, false);
        }
        // Sessions are clean whatever a client asks for: a backlog here would overtake and repeat (facts.md).
        packet.clean = true;
        callback(null, true);
      },
      authenticate: (client, username, password, done) => void this.#authenticate(client, username, password, done),
      authorizePublish: (client, packet, callback) => {
        this.messagesIn += 1;
        if (client === null) return callback(null);
        callback(this.#publishFault(client, packet));
      },
      authorizeSubscribe: (client, subscription, callback) => {
        // null: the subscription is refused with 0x80, the connection stays.
        callback(null, this.#maySubscribe(client, subscription.topic) ? subscription : null);
      },
      authorizeForward: (client, packet) => {
        if (client !== null && !this.#backlogAllows(client)) return null;
        this.messagesOut += 1;
        return packet;
      },
    });
    useDeliveryQueue(this.#aedes);
    this.#aedes.on('unsubscribe', (filters, client) => {
      for (const filter of filters) this.#subscriptions.get(client)?.delete(filter);
    });
    for (const event of ['clientError', 'connectionError'] as const)
      this.#aedes.on(event, (client, error) => {
        const limit = LIMITS_OF_ERRORS.find(([words]) => words.test(error.message))?.[1];
        if (limit === undefined) this.#options.log.debug({ event: 'client_error', reason: error.message }, 'a client broke off');
        else this.#options.breaches.add(limit, this.#namesOf(client));
      });
  }

  #namesOf(client: Client): { address: string; user: string } {
    return { address: peerOf(client).address, user: this.#identities.get(client)?.name ?? '' };
  }

  /** The CONNACK code that a CONNECT is refused with, or undefined. */
  #connectFault(client: Client, packet: ConnectPacket): number | undefined {
    const { breaches, limits } = this.#options;
    const refused = (limit: string, code: number): number => {
      breaches.add(limit, { address: peerOf(client).address });
      return code;
    };
    if (packet.clientId === '' && packet.clean === false) return REFUSED_IDENTIFIER;
    if (Buffer.byteLength(packet.clientId) > CLIENT_ID_MAX_BYTES) return refused('client_id_bytes', REFUSED_IDENTIFIER);
    const { will } = packet;
    if (will === undefined) return undefined;
    const topicFault = this.#topicFault(will.topic);
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
    const identity = await access.authenticate(username, password?.toString(), peer).catch((error: unknown) => {
      log.warn({ event: 'login_failed', err: error }, 'a login could not be looked at');
      return undefined;
    });
    if (identity === undefined) {
      breaches.add('login', { address: peer.address, user: (username ?? '').slice(0, 64) });
      setTimeout(
        () => done(authError('wrong name or password', REFUSED_NOT_AUTHORIZED), null),
        username === undefined || username === '' ? 0 : throttle.failed(peer.address),
      ).unref();
      return;
    }
    // A will that the client may not publish itself would be a way round its rights.
    const will = (client as Client & { _will?: { topic: string } | null })._will;
    if (will !== undefined && will !== null && !identity.rights.mayPublish(will.topic)) {
      breaches.add('will_right', { user: identity.name, topic: will.topic.slice(0, 100) });
      return done(authError('not allowed to publish this will', REFUSED_NOT_AUTHORIZED), null);
    }
    // Taking a client id over ends the session that has it: only its own user may do that.
    const holder = this.#holderOf(client.id);
    if (holder !== undefined && (holder.kind !== identity.kind || holder.name !== identity.name)) {
      breaches.add('client_id_taken', { user: identity.name, address: peer.address });
      return done(authError("this client id is another user's", REFUSED_IDENTIFIER), null);
    }
    this.#identities.set(client, identity);
    if (identity.kind !== 'service') this.#rates.set(client, new PublishRate(this.#options.config.MQTT_MAX_PUBLISHES_PER_SECOND));
    done(null, true);
  }

  #connected(): Client[] {
    return Object.values((this.aedes as unknown as { clients: Record<string, Client> }).clients);
  }

  #holderOf(clientId: string): Identity | undefined {
    const holder = (this.aedes as unknown as { clients: Record<string, Client | undefined> }).clients[clientId];
    return holder === undefined ? undefined : this.#identities.get(holder);
  }

  /** Ends the connections of who is not current any more: removed users, changed passwords and rights. */
  dropOutdated(isCurrent: (identity: Identity) => boolean): void {
    if (this.#aedes === undefined) return;
    for (const client of this.#connected()) {
      const identity = this.#identities.get(client);
      if (identity !== undefined && !isCurrent(identity)) client.close();
    }
  }

  #topicFault(topic: string): string | undefined {
    if (this.#goodTopics.has(topic)) return undefined;
    const { limits } = this.#options;
    if (Buffer.byteLength(topic) > limits.topicBytes) return 'topic_bytes';
    if (topic.split('/').length > limits.topicLevels) return 'topic_levels';
    if (this.#goodTopics.size >= GOOD_TOPICS_MAX) this.#goodTopics.clear();
    this.#goodTopics.add(topic);
    return undefined;
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

  #publishFault(client: Client, { topic, retain, payload }: PublishPacket): Error | null {
    const { breaches } = this.#options;
    const fault =
      this.#topicFault(topic) ??
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
      this.#topicFault(filter) ??
      (this.#identities.get(client)?.rights.maySubscribe(filter) === true ? undefined : 'subscribe_right') ??
      (!filters.has(filter) && filters.size >= limits.subscriptions ? 'subscriptions' : undefined);
    if (fault !== undefined) {
      breaches.add(fault, { ...this.#namesOf(client), filter: filter.slice(0, 100) });
      return false;
    }
    filters.add(filter);
    return true;
  }

  /** Publishes as the broker itself. */
  publish(topic: string, payload: string, options: { retain?: boolean } = {}): boolean {
    if (this.#aedes === undefined || this.#aedes.closed) return false;
    this.#aedes.publish(
      { cmd: 'publish', qos: 0, dup: false, retain: options.retain === true, topic, payload: Buffer.from(payload) },
      () => {},
    );
    return true;
  }

  async stop(): Promise<void> {
    const aedes = this.#aedes;
    if (aedes !== undefined && !aedes.closed) await new Promise<void>((resolve) => aedes.close(() => resolve()));
  }
}
