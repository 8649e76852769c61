/**
 * The services as separate processes, killed with SIGKILL at seeded random instants while a numbered recording runs through them. Then
 * every reading is accounted for from the stream, read with the AWS SDK alone.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../../../support/eventually.ts';
import { startProduct, type ProductProcess } from '../../../support/product-process.ts';
import { seeded } from '../../../support/seeded.ts';
import { tempDir } from '../../../support/temp-dir.ts';
import { readAll, type StreamReading } from '../../pipeline/support/stream.ts';
import { Witness } from './witness.ts';

export type Victim = 'gateway' | 'forwarder' | 'admin-api' | 'local-kinesis' | 'ble-bridge';

const ROWS = 20_000;
/** The default of OUTBOX_WINDOW. */
const WINDOW = 2000;
const ROW_MS = 5;
/** Spilling starts after 5 s without storing, plus a tick and a write, on a loaded machine. */
const SPILL_LIMIT_MS = 9000;
const FLOW_WAIT_MS = 10_000;
/** The heart rate in row n of the recording, from which n can be recovered. */
const rateOf = (seq: number): number => 40 + (((seq - 1) % ROWS) % 1009);

export interface MatrixOptions {
  seed: number;
  kills: number;
  victims: readonly Victim[];
  /** Longest pause before the next kill, and before a killed service is restarted. */
  pauseMs?: number;
  awayMs?: number;
}

export interface MatrixAccount {
  kills: Record<string, number>;
  /** Readings known to have been accepted, over all runs. */
  taken: number;
  /** Of these, the ones stored while services were being killed. */
  storedBetweenKills: number;
  records: number;
  duplicates: number;
  live: number;
  /** Readings that were sent again. */
  resent: number;
  /** Transmissions on the delivery plane per accepted reading. */
  sentPerTaken: number;
  /** Readings of killed bridges that were published live but are not in the stream. */
  lostWithTheBridge: number;
  /** Readings that were in the outbox on disk when a bridge was killed. */
  spilled: number;
  seconds: number;
}

interface DeadTime {
  fromMs: number;
  toMs: number;
}

class Matrix {
  readonly #t: TestContext;
  readonly #folder: string;
  readonly #random: () => number;
  readonly #running = new Map<Victim, ProductProcess>();
  readonly #ports = { mqtt: 0, stream: 0, admin: 0 };
  readonly #restarts = new Set<Promise<void>>();
  readonly #killed = new WeakSet<ProductProcess>();
  readonly kills: Record<string, number> = {};
  /** When the bridge of each run was killed. */
  readonly killedAt: number[] = [];
  readonly brokerDead: DeadTime[] = [];
  /** Seqs by run that were in the outbox on disk when a bridge was killed. */
  readonly spilled = new Map<string, Set<number>>();
  readonly diedByThemselves: string[] = [];
  #recording = '';

  readonly #awayMs: number;

  constructor(t: TestContext, { seed, awayMs }: MatrixOptions) {
    this.#t = t;
    this.#awayMs = awayMs ?? 1200;
    this.#folder = tempDir(t);
    this.#random = seeded(seed);
  }

  get outboxFolder(): string {
    return path.join(this.#folder, 'outbox');
  }

  get adminUrl(): string {
    return `http://127.0.0.1:${this.#ports.admin}`;
  }

  get streamUrl(): string {
    return `http://127.0.0.1:${this.#ports.stream}`;
  }

  between(low: number, high: number): number {
    return low + this.#random() * (high - low);
  }

  /** Writes the recording that bridges replay from now on; a recording of one row ends at once. */
  record(rows: number): void {
    this.#recording = path.join(this.#folder, rows === 1 ? 'one.csv' : 'numbered.csv');
    const lines = Array.from({ length: rows }, (_, index) => `${((index * ROW_MS) / 1000).toFixed(3)},${rateOf(index + 1)}`);
    writeFileSync(this.#recording, ['offset_seconds,heart_rate_bpm', ...lines, ''].join('\n'));
  }

  start(victim: Victim): ProductProcess {
    const { mqtt, stream, admin } = this.#ports;
    const product = startProduct(this.#t, `${victim}/main`, {
      DATA_DIR: this.#folder,
      GATEWAY_NAME: 'matrix',
      MQTT_LISTEN_PORT: String(mqtt),
      MQTT_LISTEN_WS_PORT: '0',
      MQTT_URL: `mqtt://127.0.0.1:${mqtt}`,
      LOCAL_KINESIS_PORT: String(stream),
      ADMIN_PORT: String(admin),
      BLE_SOURCE: 'replay',
      REPLAY_FILE: this.#recording,
      REPLAY_LOOP: String(!this.#recording.endsWith('one.csv')),
    });
    this.#running.set(victim, product);
    void product.ended.then((code) => {
      if (!this.#killed.has(product))
        this.diedByThemselves.push(`${victim} ended with ${code}:\n${product.output().slice(-2000)}`);
    });
    return product;
  }

  async startAll(): Promise<Witness> {
    const port = async (victim: Victim): Promise<number> => Number((await this.start(victim).event('listening'))['port']);
    this.#ports.mqtt = await port('gateway');
    this.#ports.stream = await port('local-kinesis');
    this.#ports.admin = await port('admin-api');
    await this.start('forwarder').event('started');
    await this.start('ble-bridge').event('mqtt_connected');
    return new Witness(this.#t, `mqtt://127.0.0.1:${this.#ports.mqtt}`, (service) =>
      readFileSync(path.join(this.#folder, 'keys', service), 'utf8').trim(),
    );
  }

  /** Kills a running service and restarts it after a while. Returns false if it is already dead. */
  async kill(victim: Victim, awayMs?: number): Promise<boolean> {
    const product = this.#running.get(victim);
    if (product === undefined) return false;
    this.#running.delete(victim);
    this.#killed.add(product);
    await product.end('SIGKILL');
    const fromMs = Date.now();
    this.kills[victim] = (this.kills[victim] ?? 0) + 1;
    if (victim === 'ble-bridge') {
      this.killedAt.push(fromMs);
      this.#readSpill();
    }
    const restMs = awayMs ?? this.between(0, victim === 'ble-bridge' ? 300 : this.#awayMs);
    const restart = sleep(restMs).then(() => {
      if (victim === 'gateway') this.brokerDead.push({ fromMs, toMs: Date.now() });
      this.start(victim);
      this.#restarts.delete(restart);
    });
    this.#restarts.add(restart);
    return true;
  }

  /** Kills the bridge while it has readings on disk, which kills at random rarely meet: they mostly wait until readings flow. */
  async killWhileSpilled(): Promise<void> {
    await eventually(async () => await this.kill('forwarder', 3 * SPILL_LIMIT_MS), { what: 'the forwarder runs' });
    await eventually(() => spillFiles(this.outboxFolder).length > 0, { withinMs: 2 * SPILL_LIMIT_MS, what: 'the bridge spills' });
    await eventually(async () => await this.kill('ble-bridge'), { what: 'the bridge runs' });
  }

  /** Lines of the outbox's files, read by separate code; a torn last line is skipped. */
  #readSpill(): void {
    for (const name of spillFiles(this.outboxFolder)) {
      const run = /^([0-9a-f]{16})-\d+\.spill$/.exec(name)?.[1];
      if (run === undefined) continue;
      const seqs = this.spilled.get(run) ?? new Set<number>();
      this.spilled.set(run, seqs);
      for (const line of readFileSync(path.join(this.outboxFolder, name), 'utf8').split('\n').slice(0, -1))
        // Seq 0 is a header.
        if (Number(line.split(' ', 2)[1]) > 0) seqs.add(Number(line.split(' ', 2)[1]));
    }
  }

  async allUp(): Promise<void> {
    await Promise.all(this.#restarts);
    for (const [victim, product] of this.#running)
      await product.event(victim === 'ble-bridge' || victim === 'forwarder' ? 'mqtt_connected' : 'listening');
  }

  async endBridge(): Promise<void> {
    const bridge = this.#running.get('ble-bridge');
    assert.ok(bridge !== undefined);
    this.#running.delete('ble-bridge');
    this.#killed.add(bridge);
    assert.equal(await bridge.end('SIGTERM'), 0, bridge.output().slice(-2000));
  }
}

/** The folder exists once something was spilled. */
const spillFiles = (folder: string): string[] =>
  existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.spill')) : [];

/** Waits for a limited time until watermarks advance: kills are to hit services at work, not only services that are starting. */
async function untilFlowing(witness: Witness): Promise<void> {
  const before = witness.storedTotal;
  const end = performance.now() + FLOW_WAIT_MS;
  while (witness.storedTotal === before && performance.now() < end) await sleep(20);
}

async function killAtRandom(matrix: Matrix, witness: Witness, { kills, victims, pauseMs = 1500 }: MatrixOptions): Promise<void> {
  for (let done = 0; done < kills;) {
    // Most kills hit running services, the others services that have just started.
    if (matrix.between(0, 1) < 0.7) await untilFlowing(witness);
    await sleep(matrix.between(20, pauseMs));
    // Sometimes two at once.
    const many = matrix.between(0, 1) < 0.2 ? 2 : 1;
    for (let i = 0; i < many; i += 1) {
      const victim = victims[Math.floor(matrix.between(0, victims.length))];
      if (victim !== undefined && (await matrix.kill(victim))) done += 1;
    }
    assert.deepEqual(matrix.diedByThemselves, []);
  }
  if (victims.includes('ble-bridge')) await matrix.killWhileSpilled();
}

/** Restarts everything, ends the recording, waits until everything is stored and shipped. Returns the contents of the stream. */
async function settle(matrix: Matrix, witness: Witness): Promise<StreamReading[]> {
  await matrix.allUp();
  await sleep(2000);
  await matrix.endBridge();
  // What the bridge could not deliver in its last seconds is on disk: a bridge with a recording of one row delivers it.
  matrix.record(1);
  await matrix.start('ble-bridge').event('mqtt_connected');
  await eventually(() => spillFiles(matrix.outboxFolder).length === 0, {
    withinMs: 120_000,
    everyMs: 200,
    what: 'the outbox is empty',
  });
  await matrix.endBridge();
  const since = Date.now();
  await eventually(() => witness.depthAfter(since + 1000) === 0, {
    withinMs: 180_000,
    everyMs: 200,
    what: 'the queue is drained',
  });
  await untilCountsRest(witness, since);
  return await readAll(matrix.streamUrl);
}

/**
 * Waits until nothing has been accepted for two statuses in a row that are newer than `sinceMs`. A status shows the counts of its own
 * instant: a reading that a slow box accepts a moment later, and ships at once, is in the stream before it is in a status.
 */
async function untilCountsRest(witness: Witness, sinceMs: number): Promise<void> {
  let last: { asOf: string; accepted: number } | undefined;
  await eventually(
    () => {
      const { as_of: asOf = '', forwarder } = witness.statuses.get('forwarder') ?? {};
      if (!(Date.parse(asOf) > sinceMs) || forwarder === undefined || asOf === last?.asOf) return false;
      const { accepted, queued } = forwarder.ledger;
      const rests = last?.accepted === accepted && queued === 0;
      last = { asOf, accepted };
      return rests;
    },
    { withinMs: 60_000, everyMs: 100, what: 'the counts rest' },
  );
}

function assertNoneLate(witness: Witness, brokerDead: readonly DeadTime[]): void {
  const last = new Map<string, number>();
  for (const { run, seq, timestamp } of witness.live) {
    assert.ok(seq > (last.get(run) ?? 0), `run ${run}: ${seq} was seen live after ${last.get(run)}`);
    last.set(run, seq);
    const at = Date.parse(timestamp);
    const dead = brokerDead.find(({ fromMs, toMs }) => at > fromMs && at < toMs);
    assert.equal(dead, undefined, `run ${run}: ${seq} was read while the broker was dead, and was seen live`);
  }
}

/** Kills by seed, then checks every law. Throws if one is broken. */
export async function crashMatrix(t: TestContext, options: MatrixOptions): Promise<MatrixAccount> {
  t.diagnostic(`seed ${options.seed}`);
  const startedAt = performance.now();
  const matrix = new Matrix(t, options);
  matrix.record(ROWS);
  const witness = await matrix.startAll();
  const lastOf = new Map<string, number>();
  const noteLast = (): void => {
    const bridge = witness.statuses.get('ble-bridge')?.bridge;
    if (bridge !== undefined) lastOf.set(bridge.run, Math.max(bridge.outbox.last_seq, lastOf.get(bridge.run) ?? 0));
  };
  await killAtRandom(matrix, witness, options);
  const storedBetweenKills = witness.storedTotal;
  assert.ok(storedBetweenKills > options.kills, `${storedBetweenKills} were stored while services were killed`);
  const noting = setInterval(noteLast, 20);
  t.after(() => clearInterval(noting));
  const records = await settle(matrix, witness);
  clearInterval(noting);
  noteLast();

  const there = new Map<string, Set<number>>();
  for (const { run, seq, heart_rate } of records) {
    assert.equal(heart_rate, rateOf(seq), `run ${run}, ${seq} has the value of another reading`);
    there.set(run, (there.get(run) ?? new Set()).add(seq));
  }
  const unique = [...there.values()].reduce((sum, { size }) => sum + size, 0);
  let taken = 0;
  let lostWithTheBridge = 0;
  const runs = new Set([...there.keys(), ...witness.live.map(({ run }) => run), ...matrix.spilled.keys()]);
  for (const run of runs) {
    const seqs = there.get(run) ?? new Set<number>();
    const seen = witness.live.filter((reading) => reading.run === run).map(({ seq }) => seq);
    const mark = witness.watermarks.get(run) ?? 0;
    for (let seq = 1; seq <= mark; seq += 1)
      assert.ok(seqs.has(seq), `run ${run}: ${seq} is missing, though the mark ${mark} was published`);
    for (const seq of matrix.spilled.get(run) ?? [])
      assert.ok(seqs.has(seq), `run ${run}: ${seq} is missing, though it stood in the outbox on disk`);
    const wasKilled = options.victims.includes('ble-bridge');
    const last = lastOf.get(run);
    if (!wasKilled && last !== undefined)
      for (let seq = 1; seq <= last; seq += 1) assert.ok(seqs.has(seq), `run ${run}: ${seq} of ${last} is missing`);
    const lost = witness.live.filter((reading) => reading.run === run && !seqs.has(reading.seq));
    lostWithTheBridge += lost.length;
    // Neither stored nor spilled: a bridge spills once nothing was stored for 5 s, and everything after that.
    const first = Math.min(...lost.map(({ timestamp }) => Date.parse(timestamp)));
    const killedAt = matrix.killedAt.find((at) => at >= first);
    if (lost.length > 0)
      assert.ok(
        killedAt !== undefined && killedAt - first < SPILL_LIMIT_MS,
        `run ${run}: a reading of ${first} is lost, its bridge was killed at ${killedAt}`,
      );
    taken += new Set([...seqs, ...seen]).size;
  }
  if (!options.victims.includes('ble-bridge')) {
    assert.equal(lostWithTheBridge, 0);
    assert.equal(
      unique,
      [...lastOf.values()].reduce((sum, last) => sum + last, 0),
      'the stream holds what the bridges say that they took',
    );
  }
  assertNoneLate(witness, matrix.brokerDead);
  // No resend storm: besides what was not received live, each kill costs at most one window per connection.
  const killed = Object.values(matrix.kills).reduce((sum, count) => sum + count, 0);
  assert.ok(witness.resent <= killed * 2 * WINDOW, `${witness.resent} were sent again`);

  const queue = (await (await fetch(`${matrix.adminUrl}/queue`)).json()) as { ledger: Record<string, number> };
  const { ledger } = witness.statuses.get('forwarder')?.forwarder ?? {};
  assert.deepEqual(queue.ledger, ledger, 'the admin API says what the forwarder says');
  assert.equal(ledger?.accepted, unique, 'each reading was accepted once');
  assert.deepEqual(ledger, { accepted: unique, shipped: unique, queued: 0, dead: 0, evicted: 0, missed: 0 });
  assert.deepEqual(matrix.diedByThemselves, []);
  return {
    kills: matrix.kills,
    taken,
    storedBetweenKills,
    records: records.length,
    duplicates: records.length - unique,
    live: witness.live.length,
    resent: witness.resent,
    sentPerTaken: Math.round(((taken + witness.resent) / taken) * 100) / 100,
    lostWithTheBridge,
    spilled: [...matrix.spilled.values()].reduce((sum, { size }) => sum + size, 0),
    seconds: Math.round((performance.now() - startedAt) / 1000),
  };
}
