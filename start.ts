/**
 * All services in one process (`npm start`). The same classes as in the containers, over the same MQTT; only a real radio gets a
 * child process of its own, because the last resort of noble is an exit.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import type { BleBridgeService } from './ble-bridge/service.ts';
import { childEnvironment, isSet, processConfig, type Config } from './service/config/config.ts';
import { ProcessEnd, reportStartFailure, type Service, type ServiceContext } from './service/process/lifecycle.ts';
import { createProcessLogger, type Logger } from './service/log/log.ts';
import { notifySystemd } from './service/process/sd-notify.ts';
import { SupervisedProcess } from './service/process/supervised-process.ts';
import { siblingModule } from './service/process/worker-thread.ts';
import { VERSION } from './service/process/version.ts';
import { bannerOf, type Running } from './cli/banner.ts';

interface Stoppable {
  stop(): Promise<void>;
}

/** How often an adapter is looked for that was not there at the start; the bridge itself looks less often. */
const ADAPTER_LOOK_MS = 2000;

/** Whether the bridge may come to use a real adapter: then it runs as a child. */
function mayUseRadio(config: Config): boolean {
  if (config.BLE_SOURCE === 'noble') return true;
  return config.BLE_SOURCE === 'auto' && existsSync(path.join('/sys/class/bluetooth', config.BLE_ADAPTER));
}

const loopbackOf = (host: string): string =>
  host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host.includes(':') ? `[${host}]` : host;

class AllServices {
  readonly #log: Logger;
  readonly #fail: (error: unknown, exitCode?: number) => void;
  /** In the order of their start; stopped in the reverse order. */
  readonly #running: Stoppable[] = [];
  #stopped = false;

  constructor(log: Logger, fail: (error: unknown, exitCode?: number) => void) {
    this.#log = log;
    this.#fail = fail;
  }

  async #add<S extends Service>(config: Config, name: string, make: (context: ServiceContext) => S): Promise<S> {
    const service = make({ config, log: this.#log.child({ service: name }), onFatal: this.#fail });
    this.#running.push(service);
    await service.start();
    return service;
  }

  async start(given: Config): Promise<Running> {
    let config = given;
    const running: Running = { config, ownBroker: !isSet('MQTT_URL'), source: undefined };
    if (running.ownBroker) {
      const { GatewayService } = await import('./gateway/service.ts');
      const gateway = await this.#add(config, 'gateway', (context) => new GatewayService(context));
      config = {
        ...config,
        MQTT_LISTEN_PORT: gateway.mqttPort,
        MQTT_LISTEN_WS_PORT: gateway.wsPort,
        MQTT_URL: `mqtt://${loopbackOf(config.MQTT_LISTEN_HOST)}:${gateway.mqttPort}`,
      };
    }
    if (config.KINESIS_TARGET === 'local') {
      const { LocalKinesisService } = await import('./local-kinesis/service.ts');
      const stream = await this.#add(config, 'local-kinesis', (context) => new LocalKinesisService(context));
      config = { ...config, LOCAL_KINESIS_PORT: stream.port };
    }
    const { ForwarderService } = await import('./forwarder/service.ts');
    await this.#add(config, 'forwarder', (context) => new ForwarderService(context));
    const bridge = await this.#startBridge(config);
    const { AdminApiService } = await import('./admin-api/service.ts');
    const admin = await this.#add(config, 'admin-api', (context) => new AdminApiService(context));
    config = { ...config, ADMIN_PORT: admin.port };
    return { ...running, config, source: bridge === undefined ? 'noble' : await bridge.chosenSource() };
  }

  /** In this process, or undefined where it runs as a child. */
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

  /** An adapter that comes later (plugged in, or slow at boot): from then on the bridge is a child, as with one that was there at the start. */
  #awaitAdapter(config: Config, bridge: Stoppable): void {
    let moving: Promise<void> = Promise.resolve();
    const timer = setInterval(() => {
      if (!mayUseRadio(config)) return;
      clearInterval(timer);
      this.#log.info(
        { event: 'adapter_found', adapter: config.BLE_ADAPTER },
        'a Bluetooth adapter is there now: the bridge goes on as a process of its own',
      );
      moving = bridge.stop().then(
        () => {
          if (!this.#stopped) this.#startBridgeProcess(config);
        },
        (error: unknown) => this.#fail(error),
      );
    }, ADAPTER_LOOK_MS);
    this.#running.push({
      async stop() {
        clearInterval(timer);
        await moving;
      },
    });
  }

  #startBridgeProcess(config: Config): void {
    const child = new SupervisedProcess({
      name: 'ble-bridge',
      module: siblingModule(import.meta.url, './ble-bridge/main'),
      environment: childEnvironment({ MQTT_URL: config.MQTT_URL }),
      log: this.#log,
    });
    this.#running.push(child);
    child.start();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    let failure: unknown;
    for (const service of this.#running.reverse()) {
      try {
        await service.stop();
      } catch (error) {
        failure ??= error;
      }
    }
    if (failure !== undefined) throw failure;
  }
}

async function main(): Promise<void> {
  let config: Config;
  try {
    config = processConfig();
  } catch (error) {
    process.exit(reportStartFailure(error));
  }
  const root = createProcessLogger(config);
  const log = root.child({ service: 'hr-gateway' });
  const all = new AllServices(root, (error, exitCode) => end.fail(error, exitCode));
  const end = new ProcessEnd({
    name: 'hr-gateway',
    config,
    log,
    stop: async () => {
      notifySystemd('STOPPING=1');
      await all.stop();
    },
  });
  end.install();
  try {
    const running = await all.start(config);
    end.started();
    log.info({ event: 'started', version: VERSION, node: process.version, pid: process.pid }, 'all services run');
    console.log(bannerOf(running));
    notifySystemd('READY=1');
  } catch (error) {
    const exitCode = reportStartFailure(error);
    await all.stop().catch(() => {});
    process.exit(exitCode);
  }
}

await main();
