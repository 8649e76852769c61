/** The admin API: knows the other services only through MQTT. Composition root of this service. */
import type { AddressInfo } from 'node:net';
import type { Server as TlsServer } from 'node:tls';
import type { FastifyInstance } from 'fastify';
import { BOX_FAILING_MAX, type BoxStatus } from '../contract/box-status.ts';
import { ANY_GATEWAY } from '../contract/topics.ts';
import { ControlSocket } from '../service/control/control-socket.ts';
import { CommandClient } from '../service/mqtt/command-client.ts';
import { CommandServer } from '../service/mqtt/command-server.ts';
import { gatewayNameOf, lockDataDir, operatorToken, rotateOperatorToken, type DataDirLock } from '../service/storage/data-dir.ts';
import { brokerOf, servedGateways } from '../service/network/broker.ts';
import { maskUrl } from '../service/config/config.ts';
import { listenError } from '../service/errors/errors.ts';
import type { Service, ServiceContext } from '../service/process/lifecycle.ts';
import { Gauge } from '../service/metrics/metrics.ts';
import { MqttLink } from '../service/mqtt/mqtt-link.ts';
import { okCheck } from '../service/health/check-report.ts';
import { RefusedMessages } from '../service/mqtt/refused-messages.ts';
import { offlineWill, StatusReporter } from '../service/mqtt/status-reporter.ts';
import { TlsFiles } from '../service/network/tls-files.ts';
import { VERSION } from '../service/process/version.ts';
import { Access } from './access.ts';
import { EventStream } from './events.ts';
import { Fleet } from './fleet.ts';
import { checksOf, healthOf, type BrokerLine } from './health.ts';
import { History } from './history.ts';
import { HttpClients } from './http-clients.ts';
import { Prometheus } from './prometheus.ts';
import type { Health, Overview } from './answer-schemas.ts';
import { queueOf } from './routes.ts';

const COMMAND_TIMEOUT_MS = 10_000;
/** How often sessions and the token's file are checked. */
const SESSIONS_CHECK_MS = 2000;

export class AdminApiService implements Service {
  readonly name = 'admin-api';
  readonly #context: ServiceContext;
  readonly #gateway: () => string;
  readonly #refused: RefusedMessages;
  readonly #fleet: Fleet;
  readonly #history: History;
  readonly #access: Access;
  readonly #clients: HttpClients;
  #sessionsTimer: NodeJS.Timeout | undefined;
  readonly #tls: TlsFiles | undefined;
  readonly #client: CommandClient;
  readonly #link: MqttLink;
  readonly #events: EventStream;
  readonly #reporter: StatusReporter;
  readonly #control: ControlSocket;
  readonly #pages = new Gauge('hr_gateway_pages', 'Open pages');
  /** When the connection to the broker was established or lost. */
  #brokerSince = new Date().toISOString();
  #app: FastifyInstance | undefined;
  #lock: DataDirLock | undefined;

  constructor(context: ServiceContext) {
    this.#context = context;
    const { config, log } = context;
    const gateway = gatewayNameOf(config, log);
    this.#gateway = gateway;
    const publish = (topic: string, payload: string): boolean => this.#link.publish(topic, payload);
    this.#refused = new RefusedMessages('admin-api', log);
    this.#fleet = new Fleet(this.#refused, () => ({ gateway: gateway(), served: servedGateways(config, gateway()) }));
    this.#history = new History(this.#fleet);
    this.#access = new Access(
      config,
      () => operatorToken(config),
      (session) => this.#events.closeOf(session),
    );
    this.#clients = new HttpClients(log);
    const { ADMIN_TLS_CERT_FILE: certFile, ADMIN_TLS_KEY_FILE: keyFile } = config;
    this.#tls = certFile === undefined || keyFile === undefined ? undefined : new TlsFiles({ certFile, keyFile, log });
    this.#client = new CommandClient({
      gateway,
      gateways: () => servedGateways(config, gateway()).map((name) => (name === '*' ? ANY_GATEWAY : name)),
      publish,
      refused: this.#refused,
    });
    const commands = new CommandServer({
      service: 'admin-api',
      gateway,
      log,
      handlers: {},
      publish,
      refused: this.#refused,
    });
    this.#link = new MqttLink({
      service: 'admin-api',
      config,
      log,
      will: () => offlineWill(gateway(), 'admin-api'),
      subscriptions: () => ({
        ...this.#fleet.subscriptions,
        ...this.#client.subscriptions,
        ...commands.subscriptions,
        ...this.#reporter.subscriptions,
      }),
    });
    for (const event of ['up', 'down'] as const)
      this.#link.on(event, () => {
        this.#brokerSince = new Date().toISOString();
      });
    this.#events = new EventStream(this.#fleet, () => this.#overview());
    this.#reporter = new StatusReporter({
      service: 'admin-api',
      gateway,
      link: this.#link,
      log,
      checks: () => [okCheck('admin API'), this.#clients.check(), ...(this.#tls === undefined ? [] : [this.#tls.check()])],
      details: () => ({ box: this.#boxStatus() }),
      metrics: () => {
        this.#pages.set(this.#events.pages);
        return [this.#pages.read(), this.#refused.read(), this.#clients.refused.read()];
      },
    });
    this.#control = new ControlSocket({
      service: 'admin-api',
      config,
      log,
      status: () => this.#reporter.current(),
      handlers: {
        'rotate-token': async () => {
          const token = rotateOperatorToken(config);
          this.#refreshAccess();
          return { token };
        },
      },
    });
  }

  /** The port that it listens on, after start(). */
  get port(): number {
    return (this.#app?.server.address() as AddressInfo | null | undefined)?.port ?? 0;
  }

  get #broker(): BrokerLine {
    const { config } = this.#context;
    return {
      connected: this.#link.connected,
      since: this.#brokerSince,
      own: brokerOf(config).kind === 'own',
      name: maskUrl(config.MQTT_URL),
      trouble: this.#link.trouble,
    };
  }

  #health(): Health {
    return healthOf(this.#fleet, this.#broker, this.#reporter.checks);
  }

  #boxStatus(): BoxStatus {
    const { status, checks } = this.#health();
    const failing = checks.filter((check) => check.status !== 'ok').map(({ name, code }) => ({ name, code }));
    return { status, failing: failing.slice(0, BOX_FAILING_MAX) };
  }

  #otherBridges(): Overview['other_bridges'] {
    return this.#fleet.otherBridges().flatMap((gateway) => {
      const known = this.#fleet.service('ble-bridge', gateway);
      if (known === undefined) return [];
      const { value, stale } = known;
      const state = stale && value.state === 'online' ? 'silent' : value.state;
      return [{ gateway, state, held: stale ? null : (value.bridge?.outbox.held ?? null) }];
    });
  }

  /** Everything that the page shows beside readings. */
  #overview(): Overview {
    const bridge = this.#fleet.service('ble-bridge');
    const gateway = this.#fleet.service('gateway');
    return {
      gateway_name: this.#gateway(),
      version: VERSION,
      now: new Date().toISOString(),
      health: this.#health(),
      queue: queueOf(this.#fleet) ?? null,
      other_bridges: this.#otherBridges(),
      bridge: bridge?.value.bridge === undefined ? null : { ...bridge.value.bridge, stale: bridge.stale },
      gateway: gateway?.value.gateway === undefined ? null : { ...gateway.value.gateway, stale: gateway.stale },
      broker_connected: this.#link.connected,
      rates: this.#history.rates(),
    };
  }

  /** The box whose service a command is for: a strap's commands go to the bridge that reads it. */
  #gatewayOf(args: object): string {
    const device = 'device' in args && typeof args.device === 'string' ? this.#fleet.device(args.device) : undefined;
    return device?.gateway ?? this.#gateway();
  }

  /** Throws HrError `data_dir_in_use`, `port_in_use`. */
  async start(): Promise<void> {
    const { config, log } = this.#context;
    this.#lock = lockDataDir(config, 'admin-api');
    this.#access.start();
    this.#gateway();
    // Imported at start: a program that only imports this class does not load the HTTP stack.
    const { buildApp } = await import('./app.ts');
    const app = await buildApp({
      log,
      tls: this.#tls?.start(),
      fleet: this.#fleet,
      access: this.#access,
      clients: this.#clients,
      prometheus: new Prometheus(this.#fleet, () => checksOf(this.#fleet, this.#broker, this.#reporter.checks)),
      events: this.#events,
      health: () => this.#health(),
      history: this.#history,
      command: async (service, verb, args) =>
        await this.#client.request(service, verb, args, { timeoutMs: COMMAND_TIMEOUT_MS, gateway: this.#gatewayOf(args) }),
    });
    this.#app = app;
    this.#tls?.serve(app.server as unknown as TlsServer);
    try {
      await app.listen({ host: config.ADMIN_HOST, port: config.ADMIN_PORT });
    } catch (error) {
      throw listenError(error, 'ADMIN_PORT', `${config.ADMIN_HOST}:${config.ADMIN_PORT}`);
    }
    this.#sessionsTimer = setInterval(() => this.#refreshAccess(), SESSIONS_CHECK_MS);
    this.#link.start();
    this.#history.start();
    this.#events.start();
    this.#reporter.start();
    this.#control.start();
    log.info({ event: 'listening', host: config.ADMIN_HOST, port: this.port }, 'the admin API is listening');
  }

  /** A token that cannot be read at the moment stays valid. */
  #refreshAccess(): void {
    const { log } = this.#context;
    try {
      if (this.#access.refresh()) log.info({ event: 'token_changed' }, "the operator's token has changed: all sessions ended");
    } catch (error) {
      log.debug({ event: 'token_unreadable', err: error }, "cannot read the operator's token: keeping the previous one");
    }
  }

  async stop(): Promise<void> {
    clearInterval(this.#sessionsTimer);
    await this.#control.stop();
    this.#events.stop();
    this.#history.stop();
    this.#tls?.stop();
    await this.#app?.close();
    this.#client.stop();
    this.#reporter.stop();
    await this.#link.stop();
    this.#lock?.release();
    this.#lock = undefined;
  }
}
