/** A box with one replayed strap, in the test's process, on any broker. The heart rate of a reading follows from its seq. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { AdminApiService } from '../../../../admin-api/service.ts';
import { BleBridgeService } from '../../../../ble-bridge/service.ts';
import { ForwarderService } from '../../../../forwarder/service.ts';
import { GatewayService } from '../../../../gateway/service.ts';
import type { Config } from '../../../../service/config/config.ts';
import type { Service } from '../../../../service/process/lifecycle.ts';
import { startLocalStream, type LocalStream } from '../../../support/local-stream.ts';
import { tempDir } from '../../../support/temp-dir.ts';
import { testConfig, testLog } from '../../../support/test-config.ts';
import type { StreamReading } from '../../pipeline/support/stream.ts';

const ROWS = 20_000;
const heartRateOf = (seq: number): number => 60 + ((seq - 1) % 100);

export interface StrapBoxOptions {
  name: string;
  mqttUrl: string;
  /** Time between two readings. */
  everyMs?: number;
  environment?: Readonly<Record<string, string>>;
}

const MAKERS = {
  gateway: (config: Config) => new GatewayService({ config, log: testLog(config) }),
  forwarder: (config: Config) => new ForwarderService({ config, log: testLog(config) }),
  'ble-bridge': (config: Config) => new BleBridgeService({ config, log: testLog(config) }),
  'admin-api': (config: Config) => new AdminApiService({ config, log: testLog(config) }),
} satisfies Record<string, (config: Config) => Service>;
type ServiceOf<Name extends keyof typeof MAKERS> = ReturnType<(typeof MAKERS)[Name]>;

interface HealthAnswer {
  status: string;
  checks: { name: string; status: string; reason: string }[];
}

interface QueueAnswer {
  ledger: { accepted: number; dead: number };
}

export class StrapBox {
  readonly stream: LocalStream;
  readonly config: Config;
  readonly #t: TestContext;
  readonly #running = new Map<string, { stop(): Promise<void> }>();
  #adminPort = 0;
  #keys: ReadonlyMap<string, string> = new Map();

  private constructor(t: TestContext, stream: LocalStream, config: Config) {
    this.#t = t;
    this.stream = stream;
    this.config = config;
  }

  /** Makes a box in which nothing runs yet but its stream. */
  static async make(t: TestContext, { name, mqttUrl, everyMs = 20, environment = {} }: StrapBoxOptions): Promise<StrapBox> {
    const stream = await startLocalStream(t, { LOCAL_KINESIS_LIMITS: 'false' });
    const folder = tempDir(t);
    const recording = path.join(folder, 'numbered.csv');
    const rows = Array.from({ length: ROWS }, (_, index) => `${((index * everyMs) / 1000).toFixed(3)},${heartRateOf(index + 1)}`);
    writeFileSync(recording, ['offset_seconds,heart_rate_bpm', ...rows, ''].join('\n'));
    const config = testConfig({
      DATA_DIR: folder,
      GATEWAY_NAME: name,
      MQTT_URL: mqttUrl,
      LOCAL_KINESIS_PORT: String(stream.port),
      BLE_SOURCE: 'replay',
      REPLAY_FILE: recording,
      BLE_ALIASES: '',
      ...environment,
    });
    return new StrapBox(t, stream, config);
  }

  /** From now on services log in by these keys, of another box's gateway. */
  useKeys(keys: ReadonlyMap<string, string>): void {
    this.#keys = keys;
  }

  async start<Name extends keyof typeof MAKERS>(name: Name): Promise<ServiceOf<Name>> {
    const key = this.#keys.get(name)?.trim();
    const MQTT_URL = key === undefined ? this.config.MQTT_URL : this.config.MQTT_URL.replace('//', `//${name}:${key}@`);
    const service = MAKERS[name]({ ...this.config, MQTT_URL }) as ServiceOf<Name>;
    this.#running.set(name, service);
    // Stopping twice does nothing.
    this.#t.after(async () => await this.stop(name));
    await service.start();
    if (service instanceof AdminApiService) this.#adminPort = service.port;
    return service;
  }

  async stop(name: keyof typeof MAKERS): Promise<void> {
    const service = this.#running.get(name);
    this.#running.delete(name);
    await service?.stop();
  }

  /** Where its admin API answers, once that is started. */
  get adminUrl(): string {
    return `http://127.0.0.1:${this.#adminPort}`;
  }

  async health(): Promise<HealthAnswer> {
    const answer = await fetch(`${this.adminUrl}/health`);
    return (await answer.json()) as HealthAnswer;
  }

  async queue(): Promise<QueueAnswer> {
    const answer = await fetch(`${this.adminUrl}/queue`);
    return (await answer.json()) as QueueAnswer;
  }

  /** Resolves to the failing check that has this code, or undefined. */
  async failing(code: string): Promise<HealthAnswer['checks'][number] | undefined> {
    const { checks } = await this.health();
    return checks.find((check) => check.status !== 'ok' && JSON.stringify(check).includes(code));
  }
}

/** What a bridge's run is in the stream: every seq from 1 on once, each with the heart rate that the strap sent. Returns the newest seq. */
export function assertTrueRun(readings: readonly StreamReading[], run: string): number {
  const bySeq = new Map<number, StreamReading>();
  for (const reading of readings) {
    if (reading.run !== run) continue;
    const { seq } = reading;
    assert.equal(reading.heart_rate, heartRateOf(seq), `seq ${seq} is not what the strap sent: ${JSON.stringify(reading)}`);
    bySeq.set(seq, reading);
  }
  const newest = Math.max(0, ...bySeq.keys());
  const missing = Array.from({ length: newest }, (_, index) => index + 1).filter((seq) => !bySeq.has(seq));
  assert.deepEqual(missing, [], 'true readings are missing');
  return newest;
}
