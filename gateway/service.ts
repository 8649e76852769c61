/** The gateway: the broker of this box, and the adoption of what other clients publish. Composition root of this service. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ControlSocket } from '../service/control/control-socket.ts';
import { CommandServer } from '../service/mqtt/command-server.ts';
import { gatewayNameOf, lockDataDir, type DataDirLock } from '../service/storage/data-dir.ts';
import type { Service, ServiceContext } from '../service/process/lifecycle.ts';
import { Counter, Gauge } from '../service/metrics/metrics.ts';
import type { AdoptionStatus } from '../contract/gateway-status.ts';
import type { CheckReport } from '../service/health/check-report.ts';
import { RefusedMessages } from '../service/mqtt/refused-messages.ts';
import { StatusReporter, type StatusLine } from '../service/mqtt/status-reporter.ts';
import { TlsFiles } from '../service/network/tls-files.ts';
import { Access } from './access.ts';
import { AdoptionPlane, type AdoptionPlaneOptions } from './adoption/adoption-plane.ts';
import { GatewayOutbox } from './adoption/gateway-outbox.ts';
import { Breaches } from './breaches.ts';
import { Broker } from './broker.ts';
import { CLIENT_LIMITS, type ClientLimits } from './client-limits.ts';
import { Listeners } from './listeners.ts';
import { LoginThrottle } from './login-throttle.ts';
import { listUsers, putUser, removeUser } from './user-changes.ts';
import { Users } from './users.ts';

/** For tests. */
export interface GatewayOptions extends Partial<Pick<AdoptionPlaneOptions, 'makeOutbox' | 'noProgressMs'>> {
  limits?: Partial<ClientLimits>;
}

/** How long a stop waits for held readings to be stored. */
const SETTLE_MS = 3000;
/** Acknowledgements that were written leave before the sockets are closed. */
const LAST_ACKNOWLEDGEMENTS_MS = 50;

export class GatewayService implements Service {
  readonly name = 'gateway';
  readonly #context: ServiceContext;
  readonly #gateway: () => string;
  readonly #breaches: Breaches;
  readonly #access: Access;
  readonly #broker: Broker;
  readonly #options: GatewayOptions;
  #plane: AdoptionPlane | undefined;
  readonly #listeners: Listeners;
  readonly #tls: TlsFiles | undefined;
  readonly #refused: RefusedMessages;
  readonly #commands: CommandServer;
  readonly #reporter: StatusReporter;
  readonly #control: ControlSocket;
  readonly #clients = new Gauge('hr_gateway_broker_clients', 'MQTT clients that are connected');
  readonly #messages = new Counter('hr_gateway_broker_messages_total', 'MQTT messages by direction');
  readonly #limits = new Counter('hr_gateway_broker_limit_breaches_total', 'Limits that clients ran into, by limit');
  #lock: DataDirLock | undefined;
  #stopped = false;
  #isSettled = false;

  constructor(context: ServiceContext, options: GatewayOptions = {}) {
    this.#options = options;
    this.#context = context;
    const { config, log } = context;
    this.#gateway = gatewayNameOf(config, log);
    this.#breaches = new Breaches(log);
    const throttle = new LoginThrottle();
    const users: Users = new Users(config, log, () => this.#broker.dropOutdated((identity) => users.isCurrent(identity)));
    this.#access = new Access(config, users, throttle);
    const limits: ClientLimits = { ...CLIENT_LIMITS, ...options.limits };
    this.#broker = new Broker({ config, log, access: this.#access, breaches: this.#breaches, throttle, limits });
    const { MQTT_TLS_CERT_FILE: certFile, MQTT_TLS_KEY_FILE: keyFile } = config;
    this.#tls = certFile === undefined || keyFile === undefined ? undefined : new TlsFiles({ certFile, keyFile, log });
    this.#listeners = new Listeners({ config, log, broker: this.#broker, breaches: this.#breaches, tls: this.#tls, limits });
    this.#refused = new RefusedMessages('gateway', log);
    this.#commands = new CommandServer({
      service: 'gateway',
      gateway: this.#gateway,
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
      gateway: this.#gateway,
      link: line,
      log,
      // Whether it answers at all is checked by the admin API.
      checks: () => this.checks,
      details: () => ({
        gateway: {
          clients: this.#broker.clients,
          listeners: this.#listeners.urls,
          breaches: { ...this.#breaches.counts },
          messages_in: this.#broker.messagesIn,
          messages_out: this.#broker.messagesOut,
          ...(this.#plane === undefined ? {} : { adoption: this.#plane.report.status() }),
        },
      }),
      metrics: () => {
        this.#clients.set(this.#broker.clients);
        this.#messages.setTo(this.#broker.messagesIn, { direction: 'in' });
        this.#messages.setTo(this.#broker.messagesOut, { direction: 'out' });
        for (const [limit, count] of Object.entries(this.#breaches.counts)) this.#limits.setTo(count, { limit });
        return [
          this.#clients.read(),
          this.#messages.read(),
          this.#limits.read(),
          this.#refused.read(),
          ...(this.#plane?.report.metrics() ?? []),
        ];
      },
    });
    this.#control = new ControlSocket({
      service: 'gateway',
      config,
      log,
      status: () => this.#reporter.current(),
      handlers: {
        'list-users': async () => listUsers(config),
        'put-user': async (args) => {
          putUser(config, this.#gateway(), args);
          users.reload();
          return { name: args.name };
        },
        'remove-user': async ({ name }) => {
          removeUser(config, name);
          users.reload();
          return { removed: name };
        },
      },
    });
  }

  /** The port that MQTT listens on, once started. */
  get mqttPort(): number {
    return this.#listeners.ports.mqtt;
  }

  /** The port for the services of this box, once started. */
  get servicesPort(): number {
    return this.#listeners.ports.services;
  }

  /** The port that MQTT over WebSocket listens on, once started. */
  get wsPort(): number {
    return this.#listeners.ports.ws;
  }

  /** The ports that are listened on, 0 for a listener that is off. */
  get ports(): Listeners['ports'] {
    return this.#listeners.ports;
  }

  get checks(): CheckReport[] {
    return [
      ...(this.#tls === undefined ? [] : [this.#tls.check()]),
      this.#breaches.offenders.check(),
      ...(this.#plane?.checks() ?? []),
    ];
  }

  /** What became of other clients' messages; throws before the start. */
  get adoption(): AdoptionStatus {
    if (this.#plane === undefined) throw new Error('the gateway is not started');
    return this.#plane.report.status();
  }

  /** The limits that clients ran into, by name. */
  get breaches(): Readonly<Record<string, number>> {
    return this.#breaches.counts;
  }

  async start(): Promise<void> {
    const { config, log } = this.#context;
    this.#lock = lockDataDir(config, 'gateway');
    this.#gateway();
    this.#access.start();
    await this.#broker.start();
    const { limits: _, ...planeOptions } = this.#options;
    const plane = new AdoptionPlane({
      context: this.#context,
      broker: this.#broker,
      makeOutbox: (broker) =>
        new GatewayOutbox({ context: this.#context, gateway: this.#gateway(), broker, refused: this.#refused }),
      ...planeOptions,
    });
    this.#plane = plane;
    this.#broker.adoptWith(plane.adoption);
    for (const [filter, handler] of Object.entries(this.#commands.subscriptions))
      this.#broker.subscribe(filter, (topic, payload) => handler(topic, payload, false));
    await plane.start();
    await this.#listeners.start();
    this.#reporter.start();
    this.#control.start();
    log.info(
      {
        event: 'listening',
        host: config.MQTT_LISTEN_HOST,
        port: this.mqttPort,
        ws_port: this.wsPort,
        listeners: this.#listeners.urls,
      },
      'the broker is listening',
    );
  }

  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    await this.#control.stop();
    await this.settle();
    this.#reporter.stop();
    await this.#plane?.stop();
    await this.#listeners.stop();
    await this.#broker.stop();
    this.#access.stop();
    this.#lock?.release();
  }

  /**
   * Reads nothing more from other clients, and waits a limited time until what they have sent is stored and acknowledged. Services stay
   * connected. Call it before the forwarder of the same process stops; `stop` does it too.
   */
  async settle(): Promise<void> {
    if (this.#plane === undefined || this.#isSettled) return;
    this.#isSettled = true;
    this.#listeners.stopAccepting();
    this.#broker.stopReadingUsers();
    await this.#plane.settle(SETTLE_MS);
    if (this.#plane.adoption.counts.total > 0) await sleep(LAST_ACKNOWLEDGEMENTS_MS);
  }
}
