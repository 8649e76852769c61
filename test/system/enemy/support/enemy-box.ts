/**
 * A box under attack: the services as processes with the memory that their containers have, a strap that is replayed, a calm publisher, and
 * attackers that get half of a processor. Laws, for each attack:
 *
 * - readings of the strap and of the calm publisher are stored within a second (p99);
 * - no service ends, and none needs more memory than it has;
 * - health names the attacker within 15 s, and nobody once it has stopped;
 * - afterwards everything is as before, without a restart.
 */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { connectAsync, type MqttClient } from 'mqtt';
import { newUser, writeUsers } from '../../../../gateway/users.ts';
import { cannotRun } from '../../../support/cannot-run.ts';
import { eventually } from '../../../support/eventually.ts';
import { freePort } from '../../../support/free-port.ts';
import { tempDir } from '../../../support/temp-dir.ts';
import { quantile } from '../../planes/support/interruptions.ts';
import { ProductBox, PARTS } from '../../support/product-box.ts';
import type { Attack, Target } from './attacks.ts';

const PASSWORD = 'pass-word';
const MEMORY_MAX_BYTES = 512 * 1024 * 1024;
const P99_MAX_MS = 1000;
/** Three times a few milliseconds is nothing that anybody notices. */
const P99_SMALL_MS = 250;
/** Part of the time for which a service may wait for a processor in a valid measurement. */
const STARVED_MAX = 0.3;
/** How long the box is observed without an attack. */
const BEFORE_MS = 4000;
const LOGIN_MAX_MS = 2000;
const NAMED_WITHIN_MS = 15_000;
const FORGOTTEN_WITHIN_MS = 25_000;
const CALM_EVERY_MS = 100;
/** The attacker runs for this long, and is stopped for as long. */
const QUOTA_MS = 25;
const attacker = fileURLToPath(new URL('attacker.ts', import.meta.url));

interface Latencies {
  strapMs: number[];
  calmMs: number[];
}

export class EnemyBox {
  readonly #t: TestContext;
  readonly #box: ProductBox;
  readonly #target: Target;
  #latencies: Latencies = { strapMs: [], calmMs: [] };
  #waiting: { seq: number; atMs: number }[] = [];
  #calmly: Latencies = { strapMs: [], calmMs: [] };

  private constructor(t: TestContext, box: ProductBox, target: Target) {
    this.#t = t;
    this.#box = box;
    this.#target = target;
  }

  static async start(t: TestContext): Promise<EnemyBox> {
    const folder = tempDir(t);
    const [services, ws] = [await freePort(), await freePort()];
    const users = {
      calm: await newUser(PASSWORD, { publish: ['hr/calm/bpm'], subscribe: [] }),
      late: await newUser(PASSWORD, { publish: ['hr/late/bpm'], subscribe: [] }),
      hog: await newUser(PASSWORD, { publish: ['app/#', 'hr/hog/bpm'], subscribe: ['app/#'] }),
      'gym-2': await newUser(PASSWORD, { publish: [], subscribe: [], bridge: 'gym-2' }),
    };
    writeUsers({ DATA_DIR: folder }, users);
    const box = await ProductBox.make(t, {
      folder,
      rowMs: 100,
      environment: {
        NODE_OPTIONS: '--max-old-space-size=256',
        MQTT_SERVICES_PORT: String(services),
        MQTT_LISTEN_WS_PORT: String(ws),
        MQTT_URL: `mqtt://127.0.0.1:${services}`,
      },
    });
    await box.startAll();
    const { mqtt, admin } = box.ports;
    const enemy = new EnemyBox(t, box, { mqtt, ws, services, admin, password: PASSWORD });
    await enemy.#observe();
    await sleep(BEFORE_MS);
    enemy.#calmly = enemy.#take();
    return enemy;
  }

  async #client(port: number, username: string, password: string): Promise<MqttClient> {
    const client = await connectAsync(`mqtt://127.0.0.1:${port}`, {
      username,
      password,
      protocolVersion: 4,
      reconnectPeriod: 200,
    });
    this.#t.after(() => client.end(true));
    return client;
  }

  /** Measures from now on: from a reading's timestamp to its `stored`, and from a publish to its PUBACK. */
  async #observe(): Promise<void> {
    const { services, mqtt } = this.#target;
    const live = await this.#client(services, 'admin-api', this.#box.keyOf('admin-api'));
    live.on('message', (_topic, payload) => {
      const { seq, gateway, timestamp } = JSON.parse(payload.toString()) as Record<string, unknown>;
      if (gateway === 'test-box' && typeof seq === 'number') this.#waiting.push({ seq, atMs: Date.parse(String(timestamp)) });
    });
    const bridge = await this.#client(services, 'ble-bridge', this.#box.keyOf('ble-bridge'));
    bridge.on('message', (_topic, payload) => {
      const { stored } = JSON.parse(payload.toString()) as { stored: number };
      const isStored = ({ seq }: { seq: number }): boolean => seq <= stored;
      for (const { atMs } of this.#waiting.filter(isStored)) this.#latencies.strapMs.push(Date.now() - atMs);
      this.#waiting = this.#waiting.filter((reading) => !isStored(reading));
    });
    await live.subscribeAsync('hr/+/bpm');
    await bridge.subscribeAsync('edge/test-box/stored/+');
    const calm = await this.#client(mqtt, 'calm', PASSWORD);
    const timer = setInterval(() => {
      const sentAtMs = performance.now();
      const payload = JSON.stringify({ timestamp: new Date().toISOString(), heart_rate: 72 });
      void calm.publishAsync('hr/calm/bpm', payload, { qos: 1 }).then(
        () => this.#latencies.calmMs.push(performance.now() - sentAtMs),
        () => undefined,
      );
    }, CALM_EVERY_MS);
    this.#t.after(() => clearInterval(timer));
  }

  #take(): Latencies {
    const latencies = this.#latencies;
    // What still waits counts with its age so far.
    for (const { atMs } of this.#waiting) if (Date.now() - atMs > P99_MAX_MS) latencies.strapMs.push(Date.now() - atMs);
    this.#latencies = { strapMs: [], calmMs: [] };
    return latencies;
  }

  #attack({ name }: Attack): { stop: () => void; ready: Promise<void> } {
    const child: ChildProcess = spawn(process.execPath, ['--import', 'tsx', attacker, name, JSON.stringify(this.#target)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#t.after(() => child.kill('SIGKILL'));
    let quota: NodeJS.Timeout | undefined;
    let isStopped = false;
    const ready = new Promise<void>((resolve) => {
      if (child.stdout === null) return;
      createInterface({ input: child.stdout }).once('line', () => {
        quota = setInterval(() => {
          isStopped = !isStopped;
          child.kill(isStopped ? 'SIGSTOP' : 'SIGCONT');
        }, QUOTA_MS);
        resolve();
      });
    });
    const stop = (): void => {
      clearInterval(quota);
      child.kill('SIGKILL');
    };
    return { stop, ready };
  }

  async #blamed(): Promise<string> {
    const { checks } = await this.#box.health();
    return checks.find(({ name, status }) => name.endsWith('client budgets') && status !== 'ok')?.reason ?? '';
  }

  #peakBytes(): Record<string, number> {
    return Object.fromEntries(
      PARTS.map((part) => {
        const status = readFileSync(`/proc/${this.#box.running(part)?.pid}/status`, 'utf8');
        return [part, Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) * 1024];
      }),
    );
  }

  /** For how long each service could have run and another process did (Linux, Documentation/scheduler/sched-stats), in milliseconds. */
  #starvedMs(): number[] {
    return PARTS.map((part) => {
      const stat = readFileSync(`/proc/${this.#box.running(part)?.pid}/schedstat`, 'utf8');
      return Number(stat.split(' ')[1]) / 1e6;
    });
  }

  /** One attack of at least this long, until health names the attacker. */
  async endure(attack: Attack, ms: number): Promise<void> {
    const pids = PARTS.map((part) => this.#box.running(part)?.pid);
    this.#take();
    const before = this.#calmly;
    const { stop, ready } = this.#attack(attack);
    await ready;
    const beganAtMs = performance.now();
    const starvedBefore = this.#starvedMs();
    let named = '';
    while (performance.now() - beganAtMs < NAMED_WITHIN_MS) {
      // The attacker before may still be named.
      if (attack.named?.test(named) !== true) named = await this.#blamed();
      if (performance.now() - beganAtMs >= ms && attack.named?.test(named) !== false) break;
      await sleep(250);
    }
    const namedAfterMs = performance.now() - beganAtMs;
    const lateAtMs = performance.now();
    const late = await connectAsync(`mqtt://127.0.0.1:${this.#target.mqtt}`, {
      username: 'late',
      password: PASSWORD,
      reconnectPeriod: 500,
      connectTimeout: 5000,
    });
    const loginMs = performance.now() - lateAtMs;
    await late.endAsync(true);
    const during = this.#take();
    const lastedMs = performance.now() - beganAtMs;
    const starved = Math.max(...this.#starvedMs().map((starvedMs, index) => starvedMs - (starvedBefore[index] ?? 0))) / lastedMs;
    stop();
    const p99Of = (latencies: number[]): string => `${Math.round(quantile(latencies, 0.99))} ms of ${latencies.length}`;
    const p99 = ({ strapMs, calmMs }: Latencies): string => `strap ${p99Of(strapMs)}, calm ${p99Of(calmMs)}`;
    const peaks = this.#peakBytes();
    const mib = Object.entries(peaks).map(([part, bytes]) => `${part} ${Math.round(bytes / 1024 / 1024)}`);
    this.#t.diagnostic(
      `${attack.name}: p99 before ${p99(before)}; during ${p99(during)}; login ${Math.round(loginMs)} ms; ` +
        `${named === '' ? 'nobody named' : `named after ${Math.round(namedAfterMs)} ms: ${named}`}; MiB ${mib.join(', ')}; ` +
        `a service waited for a processor for up to ${Math.round(100 * starved)} % of the time`,
    );
    assert.deepEqual(
      PARTS.map((part) => this.#box.running(part)?.pid),
      pids,
      `no service ended: ${attack.name}`,
    );
    assert.deepEqual(this.#box.unaskedExits, [], `no service ended: ${attack.name}`);
    for (const [part, bytes] of Object.entries(peaks))
      assert.ok(bytes < MEMORY_MAX_BYTES, `${part} had ${bytes} bytes: ${attack.name}`);
    assert.ok(during.strapMs.length >= ms / 200, `readings of the strap are stored: ${attack.name}`);
    assert.ok(during.calmMs.length >= ms / 400, `readings of the calm publisher are stored: ${attack.name}`);
    if (attack.named !== undefined) assert.match(named, attack.named, attack.name);
    // Times say nothing if other processes of the machine take what the services need.
    if (starved > STARVED_MAX) return cannotRun(this.#t, 'a processor that is not taken by other processes');
    const calmly = quantile([...before.strapMs, ...before.calmMs], 0.99);
    for (const [who, latencies] of Object.entries(during)) {
      const p99Ms = quantile(latencies as number[], 0.99);
      assert.ok(p99Ms < P99_MAX_MS, `${who}: ${p99(during)}: ${attack.name}`);
      assert.ok(p99Ms < Math.max(P99_SMALL_MS, 3 * calmly), `${who}: ${p99(during)}, before ${p99(before)}: ${attack.name}`);
    }
    assert.ok(loginMs < LOGIN_MAX_MS, `a right password is accepted within 2 s, not ${loginMs} ms: ${attack.name}`);
  }

  /** After all attacks: readings are stored as before, and no check fails that did not fail before. */
  async isAsBefore(): Promise<void> {
    await eventually(async () => (await this.#blamed()) === '', {
      withinMs: FORGOTTEN_WITHIN_MS,
      everyMs: 500,
      what: 'health names nobody any more',
    });
    const { strapMs, calmMs } = this.#take();
    await sleep(2000);
    const now = this.#take();
    assert.ok(
      now.strapMs.length >= 10,
      `readings of the strap are stored afterwards: ${now.strapMs.length} after ${strapMs.length}`,
    );
    assert.ok(
      now.calmMs.length >= 10,
      `readings of the publisher are stored afterwards: ${now.calmMs.length} after ${calmMs.length}`,
    );
    const failing = (await this.#box.failing()).filter(({ status }) => status === 'fail');
    assert.deepEqual(failing, [], 'no check fails afterwards');
  }
}
