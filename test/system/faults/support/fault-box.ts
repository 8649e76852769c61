/** The product with failing disks: processes, publishers, and what independent clients saw of it. */
import type { TestContext } from 'node:test';
import { connect } from 'mqtt';
import { Witness, type LiveReading } from '../../crash/support/witness.ts';
import { mqttJsPublisher, type Publisher } from '../../planes/support/publishers.ts';
import { PASSWORD } from '../../planes/support/two-planes-box.ts';
import { DiskFaults } from '../../../support/disk-faults/disk-faults.ts';
import { eventually } from '../../../support/eventually.ts';
import { PARTS, ProductBox, type Part } from '../../support/product-box.ts';
import { StreamFollower } from '../../support/stream-follower.ts';

/** Readings a second of the bridge, and of each publisher. */
const ROW_MS = 20;
const PUBLISHES_PER_SECOND = 15;

export class FaultBox {
  readonly product: ProductBox;
  readonly faults: ReadonlyMap<Part, DiskFaults>;
  readonly follower: StreamFollower;
  readonly witness: Witness;
  readonly publisher: Publisher;
  /** `<run> <seq>` of everything in the stream. */
  readonly inStream = new Set<string>();
  /** `<device> <timestamp>` of everything in the stream. */
  readonly inStreamByTime = new Set<string>();
  readonly #excused = new Set<string>();

  private constructor(
    product: ProductBox,
    parts: { faults: Map<Part, DiskFaults>; follower: StreamFollower; witness: Witness; publisher: Publisher },
  ) {
    this.product = product;
    this.faults = parts.faults;
    this.follower = parts.follower;
    this.witness = parts.witness;
    this.publisher = parts.publisher;
  }

  /** Undefined, and the test is skipped, if file operations cannot be made to fail on this machine. */
  static async start(t: TestContext): Promise<FaultBox | undefined> {
    const faults = new Map<Part, DiskFaults>();
    for (const part of PARTS) {
      const made = DiskFaults.make(t);
      if (made === undefined) return undefined;
      faults.set(part, made);
    }
    const product = await ProductBox.make(t, {
      rowMs: ROW_MS,
      users: { app: PASSWORD },
      environment: { OUTBOX_MEMORY: '100', WATCHDOG_TIMEOUT_MS: '20000' },
      environmentOf: (part) => faults.get(part)?.environment ?? {},
    });
    await product.startAll();
    const follower = new StreamFollower(product.streamUrl);
    t.after(() => follower.close());
    const witness = new Witness(t, `mqtt://127.0.0.1:${product.ports.mqtt}`, (service) => product.keyOf(service));
    const publisher = mqttJsPublisher(t, { port: product.ports.mqtt, user: 'app', device: 'Bike1', rate: PUBLISHES_PER_SECOND });
    publishUnacknowledged(t, product.ports.mqtt);
    const box = new FaultBox(product, { faults, follower, witness, publisher });
    await box.untilHealthy(60_000);
    return box;
  }

  /** Kills everything: for a box that does not work any more. */
  async close(): Promise<void> {
    for (const faults of this.faults.values()) faults.end();
    this.witness.close();
    for (const part of PARTS) await this.product.stop(part, 'SIGKILL');
  }

  /** Reads what is new in the stream. Resolves to the number of its records; throws while it is away. */
  async readStream(): Promise<number> {
    for (const { run, seq, device, timestamp } of await this.follower.read()) {
      this.inStream.add(`${run} ${seq}`);
      this.inStreamByTime.add(`${device} ${timestamp}`);
    }
    return this.follower.readings.length;
  }

  /** A live reading is in the stream. */
  holds({ run, seq, device, timestamp }: LiveReading): boolean {
    return (run as string | undefined) === undefined
      ? this.inStreamByTime.has(`${device} ${timestamp}`)
      : this.inStream.has(`${run} ${seq}`);
  }

  /** `<run> <seq>` of everything that watermarks report as stored. */
  storedByWatermark(): Set<string> {
    const stored = new Set<string>();
    for (const [run, watermark] of this.witness.watermarks) {
      for (let seq = watermark; seq > 0 && !this.inStream.has(`${run} ${seq}`); seq -= 1) stored.add(`${run} ${seq}`);
    }
    return stored;
  }

  /** Readings were lost by this cause, and counted: health goes on reporting that until the next start. */
  excuse(cause: string): void {
    if (cause !== 'outbox_full' && cause !== 'disk_failed') return;
    for (const code of ['outbox_full', 'outbox_disk_failed', 'readings_missed']) this.#excused.add(code);
  }

  /**
   * Waits until no check fails and readings arrive in the stream; `excuse` is called before each look. Returns how long that took.
   */
  async untilHealthy(withinMs: number, excuse?: () => Promise<void>): Promise<number> {
    const startedAt = performance.now();
    const { live } = this.witness;
    const before = live.length;
    await eventually(
      async () => {
        await excuse?.();
        const failing = (await this.product.failing()).filter(({ code }) => !this.#excused.has(code));
        if (failing.length > 0) throw new Error(failing.map(({ name, code, reason }) => `${name} ${code}: ${reason}`).join('; '));
        return live.length > before;
      },
      { withinMs, everyMs: 250, what: 'health is ok and readings are live' },
    );
    return performance.now() - startedAt;
  }
}

/** A publisher of QoS 0: the gateway spills its readings. */
function publishUnacknowledged(t: Pick<TestContext, 'after'>, port: number): void {
  const client = connect(`mqtt://127.0.0.1:${port}`, {
    username: 'app',
    password: PASSWORD,
    protocolVersion: 4,
    reconnectPeriod: 100,
    queueQoSZero: false,
  });
  client.on('error', () => {});
  let published = 0;
  const timer = setInterval(() => {
    if (!client.connected) return;
    published += 1;
    const timestamp = new Date(1_790_000_000_000 + published).toISOString();
    client.publish('hr/Rower/bpm', JSON.stringify({ timestamp, heart_rate: 77 }), { qos: 0 }, () => {});
  }, 1000 / PUBLISHES_PER_SECOND);
  t.after(() => {
    clearInterval(timer);
    client.end(true);
  });
}
