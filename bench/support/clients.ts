/**
 * Other clients of a broker, in a separate process: CLIENTS connections of MQTT.js that publish heart rates at QoS 1 on hr/<device>/bpm.
 * First each sends PER_SECOND readings per second for CALM_MS (line `calm`: latencies from publish to PUBACK), then each keeps INFLIGHT
 * publishes in flight. Reports the PUBACKs every 100 ms, and ends after `{"stop": true}` once every publish is acknowledged.
 */
import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectAsync, type MqttClient } from 'mqtt';
import { quantile } from './statistics.ts';

const url = process.env['MQTT_URL'] ?? '';
const username = process.env['MQTT_NAME'];
const password = process.env['MQTT_PASSWORD'];
const clients = Number(process.env['CLIENTS'] ?? 1);
const inFlight = Number(process.env['INFLIGHT'] ?? 100);
const perSecond = Number(process.env['PER_SECOND'] ?? 2);
const calmMs = Number(process.env['CALM_MS'] ?? 5000);
/** Calm publishing before the latencies are counted. */
const WARM_UP_MS = 2000;
const ACKNOWLEDGED_WITHIN_MS = 40_000;

let sent = 0;
let acknowledged = 0;
let running = true;

class Client {
  readonly #client: MqttClient;
  readonly #topic: string;
  #unacknowledged = 0;

  constructor(client: MqttClient, index: number) {
    this.#client = client;
    this.#topic = `hr/Client${index}/bpm`;
  }

  publish(acknowledgedAfter?: (ms: number) => void): void {
    const began = performance.now();
    sent += 1;
    this.#unacknowledged += 1;
    const payload = JSON.stringify({ timestamp: new Date().toISOString(), heart_rate: 60 + (sent % 100) });
    this.#client.publish(this.#topic, payload, { qos: 1 }, (error) => {
      if (error instanceof Error) throw error;
      acknowledged += 1;
      this.#unacknowledged -= 1;
      acknowledgedAfter?.(performance.now() - began);
    });
  }

  /** Publishes until the window is full, and again whenever a PUBACK makes room. */
  fill(): void {
    while (running && this.#unacknowledged < inFlight) this.publish(() => this.fill());
  }

  end(): void {
    this.#client.end(true);
  }
}

const all: Client[] = [];
for (let index = 0; index < clients; index += 1) {
  const credentials = username === undefined || password === undefined ? {} : { username, password };
  const client = await connectAsync(url, { ...credentials, clean: true, protocolVersion: 4, reconnectPeriod: 0 });
  (client.stream as Partial<Socket>).setNoDelay?.(true);
  client.on('close', () => {
    if (running) throw new Error(`the broker closed the connection of client ${index}`);
  });
  all.push(new Client(client, index));
}

/** Each client publishes at its rate; they begin one after another within one interval. Resolves with the latencies. */
async function calm(forMs: number): Promise<number[]> {
  const latencies: number[] = [];
  const everyMs = 1000 / perSecond;
  const end = performance.now() + forMs;
  await Promise.all(
    all.map(async (client, index) => {
      await sleep((index / all.length) * everyMs);
      for (; performance.now() < end; await sleep(everyMs)) client.publish((ms) => latencies.push(ms));
    }),
  );
  const limit = performance.now() + ACKNOWLEDGED_WITHIN_MS;
  while (acknowledged < sent && performance.now() < limit) await sleep(5);
  return latencies;
}

await calm(WARM_UP_MS);
const latencies = await calm(calmMs);
console.log(JSON.stringify({ event: 'calm', p50_ms: quantile(latencies, 0.5), p99_ms: quantile(latencies, 0.99), acknowledged }));

const began = performance.now();
setInterval(() => console.log(JSON.stringify({ event: 'progress', ms: performance.now() - began, acknowledged })), 100);
for (const client of all) client.fill();

async function stop(): Promise<void> {
  if (!running) return;
  running = false;
  const limit = performance.now() + ACKNOWLEDGED_WITHIN_MS;
  while (acknowledged < sent && performance.now() < limit) await sleep(20);
  console.log(JSON.stringify({ event: 'done', sent, acknowledged }));
  for (const client of all) client.end();
  process.stdout.write('', () => process.exit(0));
}
createInterface({ input: process.stdin })
  .on('line', () => void stop())
  .on('close', () => void stop());
