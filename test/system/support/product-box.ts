/**
 * All services as processes on one DATA_DIR, supervised as systemd would: a service that exits unasked is restarted after a second.
 * The bridge replays a numbered recording, so that the heart rate of a reading follows from its seq.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { newUser, writeUsers } from '../../../gateway/users.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/free-port.ts';
import { startProduct, type ProductProcess } from '../../support/product-process.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { getJson } from '../pipeline/support/one-process.ts';

export const PARTS = ['gateway', 'local-kinesis', 'admin-api', 'forwarder', 'ble-bridge'] as const;
export type Part = (typeof PARTS)[number];

const ROWS = 20_000;
/** On a loaded machine. */
const START_LIMIT_MS = 150_000;
const RESTART_MS = 1000;
/** The heart rate of a reading of the bridge. */
const heartRateOf = (seq: number): number => 40 + ((((seq - 1) % ROWS) % 1009) % 200);

export interface Check {
  name: string;
  status: string;
  code: string;
  reason: string;
}

export interface Ledger {
  accepted: number;
  shipped: number;
  queued: number;
  dead: number;
  evicted: number;
  missed: number;
}

export interface QueueAnswer {
  depth: number;
  ledger: Ledger;
  causes: { missed: Record<string, number>; evicted: Record<string, number> };
}

/** The codes of errors in a service's output: of its log, and of what it prints if it cannot start. */
const codesIn = (output: string): string[] => [
  ...new Set([...output.matchAll(/^([a-z]+(?:_[a-z]+)+): .*:$|"code":"([a-z_]+)"/gm)].flatMap(([, a, b]) => a ?? b ?? [])),
];

/** A service ended although nobody had asked for that. */
export interface UnaskedExit {
  part: Part;
  exit: number | string;
  /** The codes of its last errors. */
  codes: string[];
  atMs: number;
  /** Wall clock. */
  endedAtMs: number;
  output: string;
}

export interface Ports {
  mqtt: number;
  stream: number;
  admin: number;
}

export interface ProductBoxOptions {
  folder?: string;
  /** Time between two readings of the bridge. */
  rowMs?: number;
  /** Settings of all parts. */
  environment?: Readonly<Record<string, string>>;
  /** Settings of one part, for instance the port of a proxy. */
  environmentOf?: (part: Part, ports: Ports) => Readonly<Record<string, string>>;
  /** Passwords by user; each may publish and read everything below hr/. */
  users?: Readonly<Record<string, string>>;
}

export class ProductBox {
  readonly folder: string;
  readonly ports: Ports;
  readonly unaskedExits: UnaskedExit[] = [];
  readonly #t: TestContext;
  readonly #options: ProductBoxOptions;
  readonly #environment: Readonly<Record<string, string>>;
  readonly #running = new Map<Part, ProductProcess>();
  #closing = false;

  private constructor(t: TestContext, folder: string, ports: Ports, options: ProductBoxOptions) {
    this.#t = t;
    this.folder = folder;
    this.ports = ports;
    this.#options = options;
    const recording = path.join(tempDir(t), 'numbered.csv');
    const rowMs = options.rowMs ?? 20;
    const rows = Array.from({ length: ROWS }, (_, index) => `${((index * rowMs) / 1000).toFixed(3)},${heartRateOf(index + 1)}`);
    writeFileSync(recording, ['offset_seconds,heart_rate_bpm', ...rows, ''].join('\n'));
    this.#environment = {
      DATA_DIR: folder,
      GATEWAY_NAME: 'test-box',
      MQTT_LISTEN_PORT: String(ports.mqtt),
      MQTT_LISTEN_WS_PORT: '0',
      MQTT_URL: `mqtt://127.0.0.1:${ports.mqtt}`,
      LOCAL_KINESIS_PORT: String(ports.stream),
      LOCAL_KINESIS_LIMITS: 'false',
      LOCAL_KINESIS_FAULTS: 'true',
      ADMIN_PORT: String(ports.admin),
      BLE_SOURCE: 'replay',
      REPLAY_FILE: recording,
      REPLAY_LOOP: 'true',
      ...options.environment,
    };
    t.after(() => {
      this.#closing = true;
    });
  }

  /** Makes a box in which nothing runs yet. */
  static async make(t: TestContext, options: ProductBoxOptions = {}): Promise<ProductBox> {
    const folder = options.folder ?? tempDir(t);
    const users = await Promise.all(
      Object.entries(options.users ?? {}).map(
        async ([name, password]) => [name, await newUser(password, { publish: ['hr/#'], subscribe: ['hr/#'] })] as const,
      ),
    );
    if (users.length > 0) writeUsers({ DATA_DIR: folder }, Object.fromEntries(users));
    const ports = { mqtt: await freePort(), stream: await freePort(), admin: await freePort() };
    return new ProductBox(t, folder, ports, options);
  }

  get streamUrl(): string {
    return `http://127.0.0.1:${this.ports.stream}`;
  }

  get adminUrl(): string {
    return `http://127.0.0.1:${this.ports.admin}`;
  }

  /** The key of a service, as the gateway created it. */
  keyOf(service: string): string {
    return readFileSync(path.join(this.folder, 'keys', service), 'utf8').trim();
  }

  running(part: Part): ProductProcess | undefined {
    return this.#running.get(part);
  }

  /** Starts all services, and waits until all of them work. */
  async startAll(): Promise<void> {
    for (const part of PARTS) {
      const event = part === 'forwarder' || part === 'ble-bridge' ? 'mqtt_connected' : 'listening';
      await this.launch(part).event(event, { withinMs: START_LIMIT_MS });
    }
  }

  /** Starts a service without waiting until it is ready. */
  launch(part: Part): ProductProcess {
    const product = startProduct(this.#t, `${part}/main`, {
      ...this.#environment,
      ...this.#options.environmentOf?.(part, this.ports),
    });
    this.#running.set(part, product);
    void product.ended.then(async (exit) => {
      if (this.#closing || this.#running.get(part) !== product) return;
      const output = product.output().slice(-3000);
      this.unaskedExits.push({ part, exit, codes: codesIn(output), atMs: performance.now(), endedAtMs: Date.now(), output });
      await sleep(RESTART_MS);
      // Nobody may have stopped or started it meanwhile, or removed the test's folder.
      if (!this.#isClosing() && this.#running.get(part) === product) this.launch(part);
    });
    return product;
  }

  #isClosing(): boolean {
    return this.#closing;
  }

  /** Ends a service for as long as nobody launches it. Returns its exit code or signal; undefined if it had ended already. */
  async stop(part: Part, signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<number | string | undefined> {
    const product = this.#running.get(part);
    this.#running.delete(part);
    if (product === undefined || product.child.exitCode !== null || product.child.signalCode !== null) return undefined;
    // A stopped process does not handle a signal.
    if (signal === 'SIGTERM') product.child.kill('SIGCONT');
    return await product.end(signal);
  }

  async health(): Promise<{ status: string; checks: Check[] }> {
    return await getJson(`${this.adminUrl}/health`);
  }

  /** Checks that are neither ok nor only for people's information. */
  async failing(): Promise<Check[]> {
    const { checks } = await this.health();
    return checks.filter(({ status }) => status !== 'ok');
  }

  async queue(): Promise<QueueAnswer> {
    return await getJson(`${this.adminUrl}/queue`);
  }

  /** Replaces the faults that the stream injects; `{}` removes them. */
  async streamFaults(settings: object, withinMs = 15_000): Promise<void> {
    await eventually(
      async () => {
        const answer = await fetch(`${this.streamUrl}/control/faults`, {
          method: 'POST',
          body: JSON.stringify(settings),
          signal: AbortSignal.timeout(2000),
        });
        if (!answer.ok) throw new Error(await answer.text());
        return true;
      },
      { withinMs, everyMs: 200, what: 'the stream takes fault settings' },
    );
  }
}
