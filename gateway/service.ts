/** The gateway: the broker that everything local goes through. Composition root of this service. */
import { CommandServer } from '../service/mqtt/command-server.ts';
import { lockDataDir, type DataDirLock } from '../service/storage/data-dir.ts';
import type { Service, ServiceContext } from '../service/process/lifecycle.ts';
import { Counter, Gauge } from '../service/metrics/metrics.ts';
import { RefusedMessages } from '../service/mqtt/refused-messages.ts';
import { StatusReporter, type StatusLine } from '../service/mqtt/status-reporter.ts';
import { TlsFiles } from '../service/network/tls-files.ts';
import { Access } from './access.ts';
import { Breaches } from './breaches.ts';
import { Broker } from './broker.ts';
import { CLIENT_LIMITS, type ClientLimits } from './client-limits.ts';
import { Listeners } from './listeners.ts';
import { LoginThrottle } from './login-throttle.ts';
import { Users } from './users.ts';

export class GatewayService implements Service {
  readonly name = 'gateway';
  readonly #context: ServiceContext;
  readonly #breaches: Breaches;
  readonly #access: Access;
  readonly #broker: Broker;
  readonly #listeners: Listeners;
  readonly #tls: TlsFiles | undefined;
  readonly #refused: RefusedMessages;
  readonly #commands: CommandServer;
  readonly #reporter: StatusReporter;
  readonly #clients = new Gauge('hr_gateway_broker_clients', 'MQTT clients that are connected');
  readonly #messages = new Counter('hr_gateway_broker_messages_total', 'MQTT messages by direction');
  readonly #limits = new Counter('hr_gateway_broker_limit_breaches_total', 'Limits that clients ran into, by limit');
  #lock: DataDirLock | undefined;
  #stopped = false;

  constructor(context: ServiceContext, limits: Partial<ClientLimits> = {}) {
    this.#context = context;
    const { config, log } = context;
    const clientLimits: ClientLimits = { ...CLIENT_LIMITS, ...limits };
    this.#breaches = new Breaches(log);
    const throttle = new LoginThrottle();
    const users: Users = new Users(config, log, () => this.#broker.dropOutdated((identity) => users.isCurrent(identity)));
    this.#access = new Access(config, users, throttle);
    this.#broker = new Broker({ config, log, access: this.#access, breaches: this.#breaches, throttle, limits: clientLimits });
    const { MQTT_TLS_CERT_FILE: certFile, MQTT_TLS_KEY_FILE: keyFile } = config;
    this.#tls = certFile === undefined || keyFile === undefined ? undefined : new TlsFiles({ certFile, keyFile, log });
    this.#listeners = new Listeners({
      config,
      broker: this.#broker,
      breaches: this.#breaches,
      tls: this.#tls,
      limits: clientLimits,
    });
    this.#refused = new RefusedMessages('gateway', log);
    this.#commands = new CommandServer({
      service: 'gateway',
      log,
      handlers: {},
      refused: this.#refused,
      publish: (topic, payload) => this.#broker.publish(topic, payload),
    });
    const line: StatusLine = {
      publish: (topic, payload, options) => this.#broker.publish(topic, payload, options),
      on: () => undefined,
    };
    this.#reporter = new StatusReporter({
      service: 'gateway',
      link: line,
      // That it answers is its health: the admin API says whether it does.
      checks: () => (this.#tls === undefined ? [] : [this.#tls.check()]),
      details: () => ({
        gateway: {
          clients: this.#broker.clients,
          listeners: this.#listeners.urls,
          breaches: { ...this.#breaches.counts },
          messages_in: this.#broker.messagesIn,
          messages_out: this.#broker.messagesOut,
        },
      }),
      metrics: () => {
        this.#clients.set(this.#broker.clients);
        this.#messages.setTo(this.#broker.messagesIn, { direction: 'in' });
        this.#messages.setTo(this.#broker.messagesOut, { direction: 'out' });
        for (const [limit, count] of Object.entries(this.#breaches.counts)) this.#limits.setTo(count, { limit });
        return [this.#clients.read(), this.#messages.read(), this.#limits.read(), this.#refused.read()];
      },
    });
  }

  /** The port that MQTT listens on, once started. */
  get mqttPort(): number {
    return this.#listeners.ports.mqtt;
  }

  /** The port that MQTT over WebSocket listens on, once started. */
  get wsPort(): number {
    return this.#listeners.ports.ws;
  }

  /** Every port that is listened on, 0 where one is not. */
  get ports(): Listeners['ports'] {
    return this.#listeners.ports;
  }

  /** The limits that clients ran into, by name. */
  get breaches(): Readonly<Record<string, number>> {
    return this.#breaches.counts;
  }

  async start(): Promise<void> {
    const { config, log } = this.#context;
    this.#lock = lockDataDir(config, 'gateway');
    this.#access.start();
    await this.#broker.start();
    for (const [filter, handler] of Object.entries(this.#commands.subscriptions))
      this.#broker.aedes.subscribe(
        filter,
        (packet, done) => {
          handler(packet.topic, Buffer.from(packet.payload), false);
          done();
        },
        () => {},
      );
    await this.#listeners.start();
    this.#reporter.start();
    log.info(
      {
        event: 'listening',
        host: config.MQTT_LISTEN_HOST,
        port: this.mqttPort,
        ws_port: this.wsPort,
        listeners: this.#listeners.urls,
      },
      'the broker listens',
    );
  }

  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#reporter.stop();
    await this.#listeners.stop();
    await this.#broker.stop();
    this.#access.stop();
    this.#lock?.release();
  }
}
