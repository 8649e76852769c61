/** Aedes with our access, limits and counts: clean sessions only, memory only; what must not be lost is acknowledged end to end. */
import { Aedes, type AuthErrorCode, type AuthenticateError, type Client } from 'aedes';
import type { Config } from '../service/config.ts';
import type { Logger } from '../service/log.ts';
import type { Access } from './access.ts';
import type { Breaches } from './breaches.ts';
import type { LoginThrottle } from './login-throttle.ts';
import { orderedPersistence } from './ordered-persistence.ts';
import type { RightsCheck } from './rights.ts';

/** A frozen subscriber holds all deliveries up for this long (facts.md), then it is disconnected. */
const DRAIN_TIMEOUT_MS = 2000;
const REFUSED_NOT_AUTHORIZED = 5 as AuthErrorCode;
const REFUSED_IDENTIFIER = 2 as AuthErrorCode;

export interface BrokerOptions {
  config: Config;
  log: Logger;
  access: Access;
  breaches: Breaches;
  throttle: LoginThrottle;
}

function authError(message: string, returnCode: AuthErrorCode): AuthenticateError {
  return Object.assign(new Error(message), { returnCode });
}

/** The address that a client comes from. */
export const addresses = new WeakMap<object, string>();

export class Broker {
  readonly #options: BrokerOptions;
  readonly #rights = new WeakMap<Client, RightsCheck>();
  readonly #subscriptions = new WeakMap<Client, Set<string>>();
  readonly #retained = new Set<string>();
  #aedes: Aedes | undefined;
  messagesIn = 0;
  messagesOut = 0;

  constructor(options: BrokerOptions) {
    this.#options = options;
  }

  get aedes(): Aedes {
    if (this.#aedes === undefined) throw new Error('the broker is not started');
    return this.#aedes;
  }

  get clients(): number {
    return this.#aedes?.connectedClients ?? 0;
  }

  async start(): Promise<void> {
    const { config } = this.#options;
    this.#aedes = await Aedes.createBroker({
      persistence: orderedPersistence(),
      connectTimeout: config.MQTT_CONNECT_TIMEOUT_MS,
      drainTimeout: DRAIN_TIMEOUT_MS,
      maxClientsIdLength: 128,
      maxTopicLevels: config.MQTT_MAX_TOPIC_LEVELS,
      preConnect: (_client, packet, callback) => {
        if (packet.clientId === '' && packet.clean === false) return callback(authError('an empty client id needs a clean session', REFUSED_IDENTIFIER), false);
        // Sessions are clean whatever a client asks for: a backlog here would overtake and repeat (facts.md).
        packet.clean = true;
        if (packet.will !== undefined && this.#topicFault(packet.will.topic) !== undefined) delete packet.will;
        callback(null, true);
      },
      authenticate: (client, username, password, done) => void this.#authenticate(client, username, password, done),
      authorizePublish: (client, packet, callback) => {
        this.messagesIn += 1;
        if (client === null) return callback(null);
        callback(this.#publishFault(client, packet.topic, packet.retain, packet.payload.length));
      },
      authorizeSubscribe: (client, subscription, callback) => {
        // null: the subscription is refused with 0x80, the connection stays.
        callback(null, this.#maySubscribe(client, subscription.topic) ? subscription : null);
      },
      authorizeForward: (_client, packet) => {
        this.messagesOut += 1;
        return packet;
      },
    });
    this.#aedes.on('unsubscribe', (filters, client) => {
      for (const filter of filters) this.#subscriptions.get(client)?.delete(filter);
    });
    this.#aedes.on('clientError', (_client, error) => this.#options.log.debug({ event: 'client_error', reason: error.message }, 'a client broke off'));
    this.#aedes.on('connectionError', (_client, error) => this.#options.log.debug({ event: 'connection_error', reason: error.message }, 'a connection failed'));
  }

  async #authenticate(client: Client, username: string | undefined, password: Buffer | undefined, done: (error: AuthenticateError | null, success: boolean | null) => void): Promise<void> {
    const { access, breaches, throttle } = this.#options;
    const address = addresses.get(client.conn) ?? 'unknown';
    const rights = await access.authenticate(username, password?.toString()).catch(() => undefined);
    if (rights === undefined) {
      breaches.add('login', { address, user: username ?? '' });
      setTimeout(() => done(authError('wrong name or password', REFUSED_NOT_AUTHORIZED), null), throttle.failed(address));
      return;
    }
    if (username !== undefined && username !== '') throttle.succeeded(address);
    this.#rights.set(client, rights);
    // A will that the client may not publish itself would be a way round its rights.
    const will = (client as Client & { _will?: { topic: string } | null })._will;
    if (will !== undefined && will !== null && !rights.mayPublish(will.topic)) {
      breaches.add('will', { user: username ?? '' });
      return done(authError('not allowed to publish this will', REFUSED_NOT_AUTHORIZED), null);
    }
    done(null, true);
  }

  #topicFault(topic: string): string | undefined {
    const { config } = this.#options;
    if (Buffer.byteLength(topic) > config.MQTT_MAX_TOPIC_BYTES) return 'topic_bytes';
    return topic.split('/').length > config.MQTT_MAX_TOPIC_LEVELS ? 'topic_levels' : undefined;
  }

  #publishFault(client: Client, topic: string, retain: boolean, payloadBytes: number): Error | null {
    const { breaches, config } = this.#options;
    if (this.#rights.get(client)?.mayPublish(topic) !== true) {
      breaches.add('publish_right', { topic: topic.slice(0, 100) });
      return new Error('not allowed to publish this topic');
    }
    const fault = this.#topicFault(topic);
    if (fault !== undefined) {
      breaches.add(fault);
      return new Error(fault);
    }
    if (retain && payloadBytes === 0) this.#retained.delete(topic);
    else if (retain && !this.#retained.has(topic)) {
      if (this.#retained.size >= config.MQTT_MAX_RETAINED) {
        breaches.add('retained');
        return new Error('too many retained topics');
      }
      this.#retained.add(topic);
    }
    return null;
  }

  #maySubscribe(client: Client, filter: string): boolean {
    const { breaches, config } = this.#options;
    if (this.#rights.get(client)?.maySubscribe(filter) !== true) {
      breaches.add('subscribe_right', { filter: filter.slice(0, 100) });
      return false;
    }
    const fault = this.#topicFault(filter);
    if (fault !== undefined) {
      breaches.add(fault);
      return false;
    }
    let filters = this.#subscriptions.get(client);
    if (filters === undefined) this.#subscriptions.set(client, (filters = new Set()));
    if (!filters.has(filter) && filters.size >= config.MQTT_MAX_SUBSCRIPTIONS) {
      breaches.add('subscriptions');
      return false;
    }
    filters.add(filter);
    return true;
  }

  /** Publishes as the broker itself. */
  publish(topic: string, payload: string, options: { retain?: boolean } = {}): boolean {
    if (this.#aedes === undefined || this.#aedes.closed) return false;
    this.#aedes.publish({ cmd: 'publish', qos: 0, dup: false, retain: options.retain === true, topic, payload: Buffer.from(payload) }, () => {});
    return true;
  }

  async stop(): Promise<void> {
    const aedes = this.#aedes;
    if (aedes !== undefined && !aedes.closed) await new Promise<void>((resolve) => aedes.close(() => resolve()));
  }
}
