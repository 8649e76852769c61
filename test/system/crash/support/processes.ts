/** The services as separate processes on one DATA_DIR, with a numbered recording running through them; ports survive restarts. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { eventually } from '../../../support/eventually.ts';
import { startProduct, type ProductProcess } from '../../../support/product-process.ts';
import { tempDir } from '../../../support/temp-dir.ts';
import { readAll, type StreamReading } from '../../pipeline/support/stream.ts';
import { Witness } from './witness.ts';

export type Part = 'gateway' | 'forwarder' | 'admin-api' | 'local-kinesis' | 'ble-bridge';

export interface ProcessesOptions {
  /** Time between two readings. */
  everyMs?: number;
  environment?: Record<string, string>;
  /** Environment of bridge and forwarder. */
  nodeArgs?: string[];
}

export class Processes {
  readonly folder: string;
  readonly #t: TestContext;
  readonly #options: ProcessesOptions;
  readonly #running = new Map<Part, ProductProcess>();
  #mqttPort = 0;
  #streamPort = 0;
  #witness: Witness | undefined;

  constructor(t: TestContext, options: ProcessesOptions = {}) {
    this.#t = t;
    this.#options = options;
    this.folder = tempDir(t);
    const everyMs = options.everyMs ?? 20;
    const rows = Array.from({ length: 6000 }, (_, index) => `${((index * everyMs) / 1000).toFixed(3)},${60 + (index % 100)}`);
    writeFileSync(path.join(this.folder, 'numbered.csv'), ['offset_seconds,heart_rate_bpm', ...rows, ''].join('\n'));
  }

  get streamUrl(): string {
    return `http://127.0.0.1:${this.#streamPort}`;
  }

  get mqttUrl(): string {
    return `mqtt://127.0.0.1:${this.#mqttPort}`;
  }

  get witness(): Witness {
    assert.ok(this.#witness !== undefined);
    return this.#witness;
  }

  of(part: Part): ProductProcess {
    const product = this.#running.get(part);
    assert.ok(product !== undefined, `${part} runs`);
    return product;
  }

  /** Starts a service and waits until it listens or is connected to the broker. */
  async start(part: Part, environment: Record<string, string> = {}, { wait = true } = {}): Promise<ProductProcess> {
    const ours = part === 'ble-bridge' || part === 'forwarder';
    const product = startProduct(
      this.#t,
      `${part}/main`,
      {
        DATA_DIR: this.folder,
        GATEWAY_NAME: 'box',
        MQTT_LISTEN_PORT: String(this.#mqttPort),
        MQTT_LISTEN_WS_PORT: '0',
        MQTT_URL: this.mqttUrl,
        LOCAL_KINESIS_PORT: String(this.#streamPort),
        ADMIN_PORT: '0',
        BLE_SOURCE: 'replay',
        REPLAY_FILE: path.join(this.folder, 'numbered.csv'),
        ...this.#options.environment,
        ...environment,
      },
      ours && this.#options.nodeArgs !== undefined ? { nodeArgs: this.#options.nodeArgs } : {},
    );
    this.#running.set(part, product);
    if (!wait) return product;
    const event = await product.event(ours ? 'mqtt_connected' : 'listening');
    if (part === 'gateway') this.#mqttPort = Number(event['port']);
    if (part === 'local-kinesis') this.#streamPort = Number(event['port']);
    return product;
  }

  async startAll(): Promise<Witness> {
    await this.start('gateway');
    await Promise.all([this.start('local-kinesis'), this.start('admin-api')]);
    await this.start('forwarder');
    await this.start('ble-bridge');
    this.#witness = new Witness(this.#t, this.mqttUrl, (service) =>
      readFileSync(path.join(this.folder, 'keys', service), 'utf8').trim(),
    );
    await this.shipped(20);
    return this.#witness;
  }

  /** Waits until at least this many readings are shipped. */
  async shipped(count: number): Promise<void> {
    await eventually(() => (this.witness.statuses.get('forwarder')?.forwarder?.ledger.shipped ?? 0) >= count, {
      withinMs: 60_000,
      what: `${count} shipped`,
    });
  }

  /** Shuts a service down: exit code 0 within 10 s. Returns how long it took. */
  async stop(part: Part): Promise<number> {
    const startedAt = performance.now();
    const product = this.of(part);
    this.#running.delete(part);
    const code = await product.end('SIGTERM');
    const ms = performance.now() - startedAt;
    assert.equal(code, 0, `${part} after ${ms} ms:\n${product.output().slice(-1500)}`);
    assert.ok(ms < 10_000, `${part} took ${ms} ms`);
    return ms;
  }

  async kill(part: Part): Promise<void> {
    const product = this.of(part);
    this.#running.delete(part);
    await product.end('SIGKILL');
  }

  signal(part: Part, signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.of(part).child.kill(signal);
  }

  spillFiles(): string[] {
    const folder = path.join(this.folder, 'outbox');
    // It exists once something was spilled.
    return existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.spill')) : [];
  }

  /** Waits until nothing is queued and nothing is in the outbox on disk, then reads the stream. */
  async drained(): Promise<StreamReading[]> {
    // A bridge ended with readings on disk: a bridge without straps delivers them.
    if (this.spillFiles().length > 0 && !this.#running.has('ble-bridge'))
      await this.start('ble-bridge', { BLE_SOURCE: 'noble', BLE_ADAPTER: 'hci9' });
    const since = Date.now();
    await eventually(() => this.spillFiles().length === 0 && this.witness.depthAfter(since + 700) === 0, {
      withinMs: 60_000,
      everyMs: 100,
      what: 'drained',
    });
    return await readAll(this.streamUrl);
  }
}

/** The seqs of a run from 1 to `last`. */
export function assertWhole(readings: readonly StreamReading[], run: string, last: number): void {
  const seqs = new Set(readings.filter((reading) => reading.run === run).map(({ seq }) => seq));
  const missing = Array.from({ length: last }, (_, index) => index + 1).filter((seq) => !seqs.has(seq));
  assert.deepEqual(missing, [], `of ${last}`);
  assert.equal(seqs.size, last);
}
