/**
 * A service's connection to the broker. QoS 0 only, and nothing is replayed: a publish is refused while the connection is down, and
 * nothing of an ended session is sent again. Up means that every subscription is acknowledged.
 */
import { EventEmitter } from 'node:events';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { connect, type IClientOptions, type MqttClient } from 'mqtt';
import type { ServiceName } from '../../contract/topics.ts';
import { Backoff } from '../pacing/backoff.ts';
import { parseBrokerUrl } from '../network/broker-url.ts';
import { maskUrl, type Config } from '../config/config.ts';
import { readOrCreateSecret } from '../storage/data-dir.ts';
import { messageOf } from '../errors/errors.ts';
import { RepeatLimiter, type Logger } from '../log/log.ts';
import { LinkTrouble, type Trouble } from './link-trouble.ts';
import { SubscriptionRoutes, type Subscriptions } from './subscription-routes.ts';
import { failing, okCheck, type CheckReport } from '../health/check-report.ts';
import { BrokerAddresses } from './broker-addresses.ts';

export interface MqttLinkOptions {
  service: ServiceName;
  config: Config;
  log: Logger;
  /** One handler per filter; a message goes to every filter that it matches. A function is called at each connection. */
  subscriptions: Subscriptions | (() => Subscriptions);
  /** The last will; called at each connection. */
  will?: () => { topic: string; payload: string; retain: boolean };
}

const KEEPALIVE_S = 10;
const SUBACK_TIMEOUT_MS = 10_000;
const CONNACK_TIMEOUT_MS = 10_000;
/** A broker from which nothing was received for this long has stopped responding; it answers a ping within the keepalive. */
const SILENCE_MS = 2.5 * KEEPALIVE_S * 1000;
const SILENCE_CHECK_MS = (KEEPALIVE_S * 1000) / 4;
/** AWS IoT Core ends a connection that subscribes to more filters in one packet. */
const FILTERS_PER_SUBSCRIBE = 8;
/** Filters that the broker refused are asked for again: rights may be granted meanwhile. */
const REFUSED_AGAIN_MS = 10_000;

/** A connection that has lasted this long was useful: after it the next one is made soon. Shorter ones back off, although accepted. */
const STABLE_MS = 10_000;

/** The other side ended the connection without closing it in order. */
function isReset(error: Error): boolean {
  return 'code' in error && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
}

interface LinkEvents {
  up: [];
  down: [];
}

export class MqttLink extends EventEmitter<LinkEvents> {
  readonly #options: MqttLinkOptions;
  readonly #log: Logger;
  readonly #repeats: RepeatLimiter;
  readonly #backoff = new Backoff({ minMs: 100, maxMs: 5000 });
  readonly #trouble = new LinkTrouble();
  readonly #addresses: BrokerAddresses;
  /** Those of the current connection. */
  #routes = new SubscriptionRoutes({});
  #client: MqttClient | undefined;
  #retry: NodeJS.Timeout | undefined;
  #silence: NodeJS.Timeout | undefined;
  #receivedAt = 0;
  #refusedAgain: NodeJS.Timeout | undefined;
  #refusedFilters: ReadonlySet<string> = new Set();
  #up = false;
  #key: string | undefined;
  /** The current connection ended, or is ending, for a reason that is known. */
  #failed = false;
  /** The broker has accepted the CONNECT of the current connection. */
  #accepted = false;
  /** The largest message that was published on the current connection. */
  #largestBytes = 0;
  #stopped = true;

  constructor(options: MqttLinkOptions) {
    super();
    this.#options = options;
    this.#log = options.log;
    this.#repeats = new RepeatLimiter(options.log);
    this.#addresses = new BrokerAddresses(options.config);
  }

  /** Why there is no useful connection: the broker's answer, if it gave one. */
  get trouble(): Trouble | undefined {
    return this.#trouble.current;
  }

  /** A line of health about the connection, for troubles that leave the service able to report. */
  check(): CheckReport {
    const { trouble } = this;
    if (trouble === undefined) return okCheck('broker connection');
    return failing('broker connection', trouble.code, trouble.detail);
  }

  /** True from the answer to every subscription to the loss of the connection. */
  get connected(): boolean {
    return this.#up;
  }

  /** Whether the broker has refused this subscription: nothing arrives there. */
  isRefused(filter: string): boolean {
    return this.#refusedFilters.has(filter);
  }

  /** Bytes that are written but not yet sent by the operating system: publish less when it grows. */
  get writableLength(): number {
    return this.#client?.stream.writableLength ?? 0;
  }

  /** Connects, and reconnects until `stop()`. Returns at once; throws HrError `data_dir_unusable` if the key cannot be read. */
  start(): void {
    this.#stopped = false;
    this.#connect();
  }

  #credentials(): { username?: string; password?: string } {
    const { username, password } = parseBrokerUrl(this.#options.config.MQTT_URL);
    if (username !== undefined) return { username, password };
    const { config, service } = this.#options;
    try {
      this.#key = readOrCreateSecret(config, service);
    } catch (error) {
      // A disk that does not return the key now: that of the last connection is most likely still right.
      if (this.#key === undefined) throw error;
    }
    return { username: service, password: this.#key };
  }

  /** Read at every connection: a renewed authority needs no restart. */
  #authority(): { ca?: Buffer } {
    const file = this.#options.config.MQTT_TLS_CA_FILE;
    if (file === undefined) return {};
    try {
      return { ca: readFileSync(file) };
    } catch (error) {
      this.#repeats.warn(
        'mqtt_ca',
        { event: 'certificate_unusable', file, reason: messageOf(error) },
        'MQTT_TLS_CA_FILE cannot be read',
      );
      return {};
    }
  }

  #clientOptions(): IClientOptions {
    const { service } = this.#options;
    const will = this.#options.will?.();
    return {
      ...this.#credentials(),
      ...this.#authority(),
      clientId: `${service}-${process.pid}-${Math.random().toString(16).slice(2, 10)}`,
      protocolVersion: 4,
      clean: true,
      keepalive: KEEPALIVE_S,
      // We reconnect with a new client: the old one would resend what it had in flight.
      reconnectPeriod: 0,
      connectTimeout: CONNACK_TIMEOUT_MS,
      queueQoSZero: false,
      // A Buffer for each of 65,536 numbers is 7 MB.
      writeCache: false,
      resubscribe: false,
      ...(will === undefined
        ? {}
        : { will: { topic: will.topic, payload: Buffer.from(will.payload), qos: 0 as const, retain: will.retain } }),
    };
  }

  #connect(): void {
    const url = this.#addresses.current;
    // Without credentials: MQTT.js would prefer them to those of the options, and it divides them at the last colon.
    const client = connect(parseBrokerUrl(url).address, this.#clientOptions());
    this.#client = client;
    this.#failed = false;
    this.#accepted = false;
    client.on('connect', () => {
      this.#accepted = true;
      this.#addresses.accepted();
      this.#trouble.accepted();
      this.#subscribe(client);
    });
    client.on('message', (topic, payload, packet) => this.#deliver(topic, payload, packet.retain));
    client.on('packetreceive', () => {
      this.#receivedAt = performance.now();
    });
    client.on('error', (error) => {
      // A broker that resets an accepted connection is there: LinkTrouble says why, from how long the connections last.
      if (this.#accepted && isReset(error)) return;
      // MQTT.js names a CONNACK's refusal in words: "Connection refused: Not authorized".
      this.#failed = true;
      const isAnswer = 'code' in error && typeof error.code === 'number';
      this.#trouble.failed(isAnswer ? 'broker_refused' : 'broker_unreachable', messageOf(error) || String(error));
      this.#repeats.warn(
        'mqtt_error',
        { event: 'mqtt_error', broker: maskUrl(url), reason: messageOf(error) },
        'the broker cannot be reached, or refused the connection',
      );
    });
    client.on('close', () => this.#closed(client));
  }

  #subscribe(client: MqttClient): void {
    (client.stream as Partial<Socket>).setNoDelay?.(true);
    const timeout = setTimeout(() => {
      this.#failed = true;
      this.#trouble.failed('broker_silent', 'the broker did not acknowledge the subscriptions');
      this.#repeats.warn('mqtt_no_suback', { event: 'mqtt_no_suback' }, 'the broker did not acknowledge the subscriptions');
      client.end(true);
    }, SUBACK_TIMEOUT_MS);
    client.once('close', () => clearTimeout(timeout));
    const { subscriptions } = this.#options;
    this.#routes = new SubscriptionRoutes(typeof subscriptions === 'function' ? subscriptions() : subscriptions);
    void this.#request(client, this.#routes.filters).then((refused) => {
      clearTimeout(timeout);
      if (refused === undefined || client !== this.#client || this.#stopped || !client.connected) return;
      this.#up = true;
      this.#trouble.up();
      this.#watchSilence(client);
      this.#log.info({ event: 'mqtt_connected', broker: maskUrl(this.#addresses.current) }, 'connected to the broker');
      this.#refused(client, refused);
      this.#emit('up');
    });
  }

  /** Subscribes, a few filters a packet. Resolves to those that the broker refused, or to undefined if the connection ended. */
  async #request(client: MqttClient, filters: readonly string[]): Promise<string[] | undefined> {
    const refused: string[] = [];
    for (let from = 0; from < filters.length; from += FILTERS_PER_SUBSCRIBE) {
      const some = filters.slice(from, from + FILTERS_PER_SUBSCRIBE);
      const answer = await new Promise<string[] | undefined>((resolve) => {
        const onClose = (): void => resolve(undefined);
        client.once('close', onClose);
        client.subscribe(some, { qos: 0 }, (error, _, suback) => {
          client.off('close', onClose);
          // MQTT.js reports a refusal as an error; which filters were refused is in the packet only.
          const answered = some.filter((_filter, index) => Number(suback?.granted[index] ?? 0) > 2);
          if (error === null || answered.length > 0) resolve(answered);
          else resolve(client.connected ? some : undefined);
        });
      });
      if (answer === undefined) return undefined;
      refused.push(...answer);
    }
    return refused;
  }

  /** The service works with what was granted, reports what was not, and asks for it again. */
  #refused(client: MqttClient, filters: readonly string[]): void {
    clearTimeout(this.#refusedAgain);
    this.#refusedFilters = new Set(filters);
    if (filters.length === 0) return this.#trouble.granted();
    this.#trouble.failed('subscription_refused', `the broker refuses ${filters.join(', ')}`);
    this.#repeats.warn(
      'mqtt_subscription_refused',
      { event: 'mqtt_subscription_refused', filters },
      'the broker refused subscriptions',
    );
    this.#refusedAgain = setTimeout(() => {
      void this.#request(client, filters).then((refused) => {
        if (refused === undefined || client !== this.#client) return;
        this.#refused(client, refused);
        // The other side may have sent meanwhile what is only received from now on.
        if (refused.length < filters.length) this.#emit('up');
      });
    }, REFUSED_AGAIN_MS);
    this.#refusedAgain.unref();
  }

  /** Disconnects from a broker that stopped responding. MQTT.js does not: it counts its own publishes as a sign of life. */
  #watchSilence(client: MqttClient): void {
    clearInterval(this.#silence);
    this.#receivedAt = performance.now();
    const stableAtMs = performance.now() + STABLE_MS;
    let pinged = false;
    this.#silence = setInterval(() => {
      this.#trouble.lasting();
      if (performance.now() >= stableAtMs && !this.#trouble.isCutShort) this.#backoff.reset();
      const quietMs = performance.now() - this.#receivedAt;
      if (quietMs > SILENCE_MS) {
        this.#failed = true;
        this.#trouble.failed('broker_silent', `no packet for ${Math.round(quietMs / 1000)} s`);
        this.#repeats.warn(
          'mqtt_silent',
          { event: 'mqtt_silent', quiet_ms: Math.round(quietMs) },
          'the broker stopped responding',
        );
        client.end(true);
      } else if (quietMs > (KEEPALIVE_S * 1000) / 2) {
        if (!pinged) client.sendPing();
        pinged = true;
      } else pinged = false;
    }, SILENCE_CHECK_MS);
    this.#silence.unref();
  }

  #deliver(topic: string, payload: Buffer, retained: boolean): void {
    for (const { filter, handler } of this.#routes.of(topic)) {
      try {
        handler(topic, payload, retained);
      } catch (error) {
        this.#repeats.error(`handler ${filter}`, { event: 'handler_failed', filter, err: error }, 'a message handler threw');
      }
    }
  }

  #emit(event: 'up' | 'down'): void {
    for (const listener of this.listeners(event)) {
      try {
        (listener as () => void)();
      } catch (error) {
        this.#log.error({ event: 'listener_failed', err: error }, 'a listener of the broker connection threw');
      }
    }
  }

  #closed(client: MqttClient): void {
    if (client !== this.#client) return;
    clearInterval(this.#silence);
    clearTimeout(this.#refusedAgain);
    this.#trouble.down(!this.#failed && !this.#stopped, this.#largestBytes);
    this.#largestBytes = 0;
    client.removeAllListeners();
    client.on('error', () => {});
    client.end(true);
    this.#client = undefined;
    const wasUp = this.#up;
    this.#up = false;
    if (!this.#stopped) {
      const isOtherAddress = this.#addresses.ended(this.#accepted);
      this.#retry = setTimeout(() => this.#connect(), isOtherAddress ? 0 : this.#backoff.nextDelayMs());
      if (wasUp)
        this.#repeats.warn(
          `mqtt_disconnected ${this.trouble?.code}`,
          { event: 'mqtt_disconnected', code: this.trouble?.code, reason: this.trouble?.detail },
          'the connection to the broker was lost',
        );
    }
    if (wasUp) this.#emit('down');
  }

  /** Publishes with QoS 0. False if the connection is down; nothing is sent then. */
  publish(topic: string, payload: string | Buffer, options: { retain?: boolean } = {}): boolean {
    const client = this.#client;
    if (!this.#up || client === undefined || !client.connected) return false;
    this.#largestBytes = Math.max(this.#largestBytes, payload.length);
    client.publish(topic, payload, { qos: 0, retain: options.retain === true });
    return true;
  }

  /** Ends the session in order: everything published is sent first, and there is no will. Takes at most 2 s. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#retry);
    clearTimeout(this.#refusedAgain);
    clearInterval(this.#silence);
    const client = this.#client;
    this.#client = undefined;
    const wasUp = this.#up;
    this.#up = false;
    if (client !== undefined) {
      await new Promise<void>((resolve) => {
        const limit = setTimeout(() => {
          client.end(true);
          client.stream.destroy();
          resolve();
        }, 2000);
        client.end(!wasUp, () => {
          clearTimeout(limit);
          resolve();
        });
      });
      // Not all listeners: at 'close' MQTT.js clears timers of its own.
      for (const event of ['message', 'error', 'packetreceive'] as const) client.removeAllListeners(event);
      client.on('error', () => {});
    }
    if (wasUp) this.#emit('down');
  }

  /** Drops the connection without DISCONNECT, as a crash would: the broker publishes the will. For tests and the last rung. */
  abandon(): void {
    this.#stopped = true;
    clearTimeout(this.#retry);
    clearTimeout(this.#refusedAgain);
    clearInterval(this.#silence);
    this.#up = false;
    this.#client?.stream.destroy();
  }
}
