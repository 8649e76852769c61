/**
 * Bridges without a radio, in a separate process: PUBLISHERS instances of the product's outbox, each with its own connection to the broker.
 * They keep the window full (RATE 0) or send RATE readings per second in total. Reports every 100 ms how many readings were confirmed, and
 * at the end (stdin closes or `{"stop": true}`) the latencies from publish to confirmation.
 */
import path from 'node:path';
import { createInterface } from 'node:readline';
import { BridgeOutbox } from '../../ble-bridge/publishing/bridge-outbox.ts';
import { readConfig } from '../../service/config/config.ts';
import { createLogger } from '../../service/log/log.ts';
import { MqttLink } from '../../service/mqtt/mqtt-link.ts';
import type { MessageHandler } from '../../service/mqtt/subscription-routes.ts';
import { quantile } from './statistics.ts';

const publishers = Number(process.env['PUBLISHERS'] ?? 1);
const devices = Number(process.env['DEVICES'] ?? 1);
const bytes = Number(process.env['BYTES'] ?? 200);
const rate = Number(process.env['RATE'] ?? 0);
const dataDir = process.env['DATA_DIR'] ?? '';
const BURST = 100;
const CONFIRMED_WITHIN_MS = 40_000;

const latencies: number[] = [];
let running = true;
const padding = (): number[] =>
  Array.from({ length: Math.max(0, Math.round((bytes - 210) / 6)) }, (_, index) => 700 + (index % 90) + 0.5);

class Publisher {
  readonly #outbox: BridgeOutbox;
  readonly #link: MqttLink;
  readonly #index: number;
  readonly #sentAt = new Map<number, number>();
  readonly #rr = padding();
  readonly #window: number;
  #up = false;
  #stored = 0;
  sent = 0;

  constructor(index: number) {
    // A box has one bridge: bridges that shared a name would hear each other's watermarks.
    const name = publishers === 1 ? 'bench' : `bench-${index}`;
    const config = readConfig({ DATA_DIR: dataDir, MQTT_URL: process.env['MQTT_URL'] ?? '', GATEWAY_NAME: name });
    const own = { ...config, DATA_DIR: path.join(dataDir, `publisher-${index}`) };
    const log = createLogger('bench', { LOG_LEVEL: 'warn', LOG_PRETTY: 'false' });
    this.#index = index;
    this.#window = config.OUTBOX_WINDOW;
    this.#outbox = new BridgeOutbox({
      config: own,
      log,
      publish: (topic, payload) => this.#link.publish(topic, payload),
      writableLength: () => this.#link.writableLength,
    });
    const subscriptions = (): Record<string, MessageHandler> =>
      Object.fromEntries(
        Object.entries(this.#outbox.subscriptions).map(([filter, handler]) => [
          filter,
          (topic: string, payload: Buffer, retained: boolean) => {
            handler(topic, payload, retained);
            this.#confirmed();
          },
        ]),
      );
    this.#link = new MqttLink({ service: 'ble-bridge', config, log, subscriptions });
  }

  get stored(): number {
    return this.#stored;
  }

  async start(): Promise<void> {
    this.#outbox.start();
    this.#link.on('up', () => {
      this.#outbox.up();
      this.#up = true;
    });
    this.#link.on('down', () => {
      this.#outbox.down();
      this.#up = false;
    });
    this.#link.start();
  }

  #confirmed(): void {
    const stored = this.#outbox.status().stored_seq;
    const now = performance.now();
    for (let seq = this.#stored + 1; seq <= stored; seq += 1) {
      const at = this.#sentAt.get(seq);
      // With a full window one reading in eight is timed: enough, and cheap.
      if (at !== undefined) latencies.push(now - at);
      this.#sentAt.delete(seq);
    }
    this.#stored = Math.max(this.#stored, stored);
  }

  send(count: number): void {
    if (!this.#up || !running) return;
    for (let done = 0; done < count && this.#outbox.status().last_seq - this.#stored < this.#window; done += 1) {
      const { seq } = this.#outbox.accept({
        timestamp: new Date().toISOString(),
        heart_rate: 60 + (this.sent % 100),
        device: `strap-${this.#index}-${this.sent % devices}`,
        rr_intervals_ms: this.#rr,
        sensor_contact: true,
        energy_expended_kj: null,
        clock: 'synced',
      });
      if (rate > 0 || seq % 8 === 0) this.#sentAt.set(seq, performance.now());
      this.sent += 1;
    }
  }

  /** Readings that were sent again. */
  get resent(): number {
    const metric = this.#outbox.metrics().find(({ name }) => name === 'hr_gateway_outbox_resent_total');
    return metric !== undefined && metric.type !== 'histogram' ? (metric.values[0]?.value ?? 0) : 0;
  }

  async stop(): Promise<void> {
    await this.#outbox.stop();
    await this.#link.stop();
  }
}

const all = Array.from({ length: publishers }, (_, index) => new Publisher(index));
for (const publisher of all) await publisher.start();
const storedByAll = (): number => all.reduce((sum, { stored }) => sum + stored, 0);

function flood(): void {
  if (!running) return;
  const before = all.reduce((sum, { sent }) => sum + sent, 0);
  for (const publisher of all) publisher.send(Math.max(4, Math.round(BURST / publishers)));
  const idle = all.reduce((sum, { sent }) => sum + sent, 0) === before;
  if (idle) setTimeout(flood, 1);
  else setImmediate(flood);
}

let turn = 0;
if (rate === 0) flood();
else setInterval(() => all[turn++ % all.length]?.send(1), 1000 / rate);

const began = performance.now();
setInterval(() => console.log(JSON.stringify({ event: 'progress', ms: performance.now() - began, stored: storedByAll() })), 100);

async function stop(): Promise<void> {
  if (!running) return;
  running = false;
  const sent = all.reduce((sum, publisher) => sum + publisher.sent, 0);
  // Stopping an outbox waits only briefly; here every reading has to be confirmed.
  const limit = performance.now() + CONFIRMED_WITHIN_MS;
  while (storedByAll() < sent && performance.now() < limit) await new Promise((resolve) => setTimeout(resolve, 20));
  const resent = all.reduce((sum, publisher) => sum + publisher.resent, 0);
  await Promise.all(all.map(async (publisher) => await publisher.stop()));
  console.log(
    JSON.stringify({
      event: 'done',
      sent,
      resent,
      stored: storedByAll(),
      p50_ms: quantile(latencies, 0.5),
      p99_ms: quantile(latencies, 0.99),
      timed: latencies.length,
    }),
  );
  process.stdout.write('', () => process.exit(0));
}
createInterface({ input: process.stdin })
  .on('line', () => void stop())
  .on('close', () => void stop());
