/** The drill's pipeline: the product's own services as separate processes on a scratch folder and free ports. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { ServiceName } from '../../contract/topics.ts';
import { childEnvironment } from '../../service/config/config.ts';
import { nodeArgsFor, siblingModule } from '../../service/process/worker-thread.ts';

const START_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 12_000;

interface Running {
  child: ChildProcess;
  ended: Promise<void>;
}

/** The two fields of a log line that the drill needs; a port of 0 if it has none. */
function logLine(line: string): { event: string | undefined; port: number } {
  const parsed: unknown = JSON.parse(line);
  if (typeof parsed !== 'object' || parsed === null) return { event: undefined, port: 0 };
  return {
    event: 'event' in parsed && typeof parsed.event === 'string' ? parsed.event : undefined,
    port: 'port' in parsed && typeof parsed.port === 'number' ? parsed.port : 0,
  };
}

export class DrillPipeline {
  readonly #dataDir: string;
  readonly #straps: number;
  readonly #running = new Map<ServiceName, Running>();
  #mqttPort = 0;
  #streamPort = 0;

  constructor(dataDir: string, straps: number) {
    this.#dataDir = dataDir;
    this.#straps = straps;
  }

  get mqttPort(): number {
    return this.#mqttPort;
  }

  get streamPort(): number {
    return this.#streamPort;
  }

  #settings(): Record<string, string> {
    return {
      DATA_DIR: this.#dataDir,
      GATEWAY_NAME: 'drill',
      MQTT_LISTEN_HOST: '127.0.0.1',
      MQTT_LISTEN_PORT: String(this.#mqttPort),
      MQTT_LISTEN_WS_PORT: '0',
      MQTT_SERVICES_PORT: '0',
      MQTT_URL: `mqtt://127.0.0.1:${this.#mqttPort}`,
      LOCAL_KINESIS_HOST: '127.0.0.1',
      LOCAL_KINESIS_PORT: String(this.#streamPort),
      KINESIS_TARGET: 'local',
      KINESIS_STREAM: 'drill',
      BLE_SOURCE: 'simulated',
      SIMULATED_STRAPS: String(this.#straps),
      LOG_LEVEL: 'info',
      LOG_PRETTY: 'false',
    };
  }

  /** Starts a service and waits for the log line that reports it as ready. Throws if it ends or takes longer than 30 s. */
  async start(service: ServiceName): Promise<void> {
    const child = spawn(process.execPath, nodeArgsFor(siblingModule(import.meta.url, `../../${service}/main`)), {
      env: childEnvironment(this.#settings()),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    this.#running.set(service, { child, ended });
    const wanted = service === 'gateway' || service === 'local-kinesis' ? 'listening' : 'started';
    await new Promise<void>((resolve, reject) => {
      const limit = setTimeout(() => reject(new Error(`${service} did not start in time`)), START_LIMIT_MS);
      let errors = '';
      child.stderr.on('data', (chunk) => (errors += String(chunk)));
      child.once('exit', () => reject(new Error(`${service} ended while starting: ${errors.slice(-500)}`)));
      createInterface({ input: child.stdout }).on('line', (line) => {
        if (!line.startsWith('{')) return;
        const { event, port } = logLine(line);
        if (event !== wanted) return;
        if (service === 'gateway') this.#mqttPort = port;
        if (service === 'local-kinesis') this.#streamPort = port;
        clearTimeout(limit);
        resolve();
      });
    });
  }

  /** Ends a service by SIGKILL, without a chance to finish anything. */
  async kill(service: ServiceName): Promise<void> {
    const running = this.#running.get(service);
    running?.child.kill('SIGKILL');
    await running?.ended;
    this.#running.delete(service);
  }

  /** Ends a service by SIGTERM, by SIGKILL after 12 s. */
  async stop(service: ServiceName): Promise<void> {
    const running = this.#running.get(service);
    if (running === undefined) return;
    running.child.kill('SIGTERM');
    const limit = setTimeout(() => running.child.kill('SIGKILL'), STOP_LIMIT_MS);
    await running.ended;
    clearTimeout(limit);
    this.#running.delete(service);
  }

  async stopAll(): Promise<void> {
    for (const service of ['ble-bridge', 'forwarder', 'local-kinesis', 'gateway'] as const) await this.stop(service);
  }

  /** Kills all services at once: the drill itself ends. */
  killAll(): void {
    for (const { child } of this.#running.values()) child.kill('SIGKILL');
  }
}
