/**
 * Composes all services in one process: the same classes as in the containers, over the same MQTT. Only a bridge with a real radio runs in
 * a child process, because exiting is the last resort if noble is stuck.
 */
import type { BleBridgeService } from './ble-bridge/service.ts';
import type { ForwarderService } from './forwarder/service.ts';
import { adapterExists } from './service/bluetooth/adapter.ts';
import { hostToConnect } from './service/network/addresses.ts';
import { brokerOfAllInOne } from './service/network/broker.ts';
import { bridgeEnvironment, isSet, maskUrl, type Config } from './service/config/config.ts';
import { warnOfAssumedBroker } from './service/process/startup-warnings.ts';
import type { Service, ServiceContext } from './service/process/lifecycle.ts';
import type { Logger } from './service/log/log.ts';
import { SupervisedProcess } from './service/process/supervised-process.ts';
import { siblingModule } from './service/process/worker-thread.ts';
import type { Running } from './service/process/banner.ts';

interface Stoppable {
  stop(): Promise<void>;
  /** Finishes what needs the other services, before any of them stops. */
  settle?(): Promise<void>;
}

/** How often a missing adapter is checked for; the bridge itself checks less often. */
const ADAPTER_CHECK_MS = 2000;

/** True if the bridge may use a real adapter; it then runs as a child process. */
function mayUseRadio(config: Config): boolean {
  if (config.BLE_SOURCE === 'noble') return true;
  return config.BLE_SOURCE === 'auto' && adapterExists(config);
}

export class AllServices {
  readonly #log: Logger;
  readonly #fail: (error: unknown, exitCode?: number) => void;
  /** In the order of their start; stopped in reverse order. */
  readonly #running: Stoppable[] = [];
  #bridge: BleBridgeService | undefined;
  #forwarder: ForwarderService | undefined;
  #stopped = false;
  #stopping: Promise<void> | undefined;
  readonly #hurried: Promise<void>;
  /** Speeds up a stop that is under way: everything is stopped at once. */
  hurry: () => void = () => {};

  constructor(log: Logger, fail: (error: unknown, exitCode?: number) => void) {
    this.#log = log;
    this.#fail = fail;
    this.#hurried = new Promise((resolve) => {
      this.hurry = resolve;
    });
  }

  async #add<S extends Service>(config: Config, name: string, make: (context: ServiceContext) => S): Promise<S> {
    if (this.#stopped) throw new Error('stopped during the start');
    const service = make({ config, log: this.#log.child({ service: name }), onFatal: this.#fail });
    this.#running.push(service);
    await service.start();
    return service;
  }

  async start(given: Config): Promise<Running> {
    const broker = brokerOfAllInOne(given);
    warnOfAssumedBroker(this.#log, broker, given);
    // Decided once: the services of this process and the bridge's child process do not decide it again.
    let config: Config = { ...given, MQTT_BROKER: broker.kind };
    const ownBroker = broker.kind === 'own';
    if (ownBroker) {
      if (isSet('MQTT_URL'))
        this.#log.warn(
          { event: 'setting_ignored', setting: 'MQTT_URL', broker: maskUrl(given.MQTT_URL) },
          'MQTT_URL has no effect: MQTT_BROKER=own uses the gateway of this process',
        );
      const { GatewayService } = await import('./gateway/service.ts');
      const gateway = await this.#add(config, 'gateway', (context) => new GatewayService(context));
      config = {
        ...config,
        MQTT_LISTEN_PORT: gateway.mqttPort,
        MQTT_LISTEN_WS_PORT: gateway.wsPort,
        MQTT_SERVICES_PORT: gateway.servicesPort,
        MQTT_URL: `mqtt://${hostToConnect(config.MQTT_SERVICES_HOST)}:${gateway.servicesPort}`,
      };
    }
    if (config.KINESIS_TARGET === 'local') {
      const { LocalKinesisService } = await import('./local-kinesis/service.ts');
      const stream = await this.#add(config, 'local-kinesis', (context) => new LocalKinesisService(context));
      config = { ...config, LOCAL_KINESIS_PORT: stream.port };
    }
    const { ForwarderService: Forwarder } = await import('./forwarder/service.ts');
    this.#forwarder = await this.#add(config, 'forwarder', (context) => new Forwarder(context));
    const bridge = await this.#startBridge(config);
    this.#bridge = bridge;
    const { AdminApiService } = await import('./admin-api/service.ts');
    const admin = await this.#add(config, 'admin-api', (context) => new AdminApiService(context));
    config = { ...config, ADMIN_PORT: admin.port };
    return { config, ownBroker, source: bridge === undefined ? 'noble' : await bridge.chosenSource() };
  }

  /** The bridge, if it started in this process. */
  get bridge(): Pick<BleBridgeService, 'held' | 'replay'> | undefined {
    return this.#bridge;
  }

  /** Readings that are accepted and not yet shipped. */
  get queued(): number {
    return this.#forwarder?.queued ?? 0;
  }

  /** The bridge in this process, or undefined if it runs as a child process. */
  async #startBridge(config: Config): Promise<BleBridgeService | undefined> {
    if (!mayUseRadio(config)) {
      const { BleBridgeService } = await import('./ble-bridge/service.ts');
      const bridge = await this.#add(config, 'ble-bridge', (context) => new BleBridgeService(context));
      if (config.BLE_SOURCE === 'auto') this.#awaitAdapter(config, bridge);
      return bridge;
    }
    this.#startBridgeProcess(config);
    return undefined;
  }

  /** Once an adapter appears (plugged in, or slow at boot), replaces the bridge in this process by a child process. */
  #awaitAdapter(config: Config, bridge: Stoppable): void {
    let moving: Promise<void> = Promise.resolve();
    const timer = setInterval(() => {
      if (!mayUseRadio(config)) return;
      clearInterval(timer);
      this.#log.info(
        { event: 'adapter_found', adapter: config.BLE_ADAPTER },
        'found a Bluetooth adapter: restarting the bridge as a child process',
      );
      moving = bridge.stop().then(
        () => this.#startBridgeProcess(config),
        (error: unknown) => this.#fail(error),
      );
    }, ADAPTER_CHECK_MS);
    this.#running.push({
      async stop() {
        clearInterval(timer);
        await moving;
      },
    });
  }

  #startBridgeProcess(config: Config): void {
    if (this.#stopped) return;
    const child = new SupervisedProcess({
      name: 'ble-bridge',
      module: siblingModule(import.meta.url, './ble-bridge/main'),
      environment: bridgeEnvironment({ MQTT_URL: config.MQTT_URL, MQTT_BROKER: config.MQTT_BROKER ?? '' }),
      log: this.#log,
    });
    this.#running.push(child);
    child.start();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await (this.#stopping ??= this.#stopAll());
  }

  /** One after the other, or, once hurried, all of them at once. Waits for all of them, then throws the first failure. */
  async #stopAll(): Promise<void> {
    await Promise.race([Promise.allSettled(this.#running.map(async (service) => await service.settle?.())), this.#hurried]);
    const stops: Promise<void>[] = [];
    for (const service of this.#running.toReversed()) {
      const stopped = service.stop();
      stops.push(stopped);
      await Promise.race([stopped.catch(() => undefined), this.#hurried]);
    }
    const failed = (await Promise.allSettled(stops)).find(({ status }) => status === 'rejected');
    if (failed?.status === 'rejected') throw failed.reason;
  }
}
