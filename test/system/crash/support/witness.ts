/** An independent client of the broker: records live readings, watermarks and the last statuses. Shares no code with the product. */
import type { TestContext } from 'node:test';
import mqtt, { type MqttClient } from 'mqtt';

/** Readings of other clients have no run and no seq. */
export interface LiveReading {
  device: string;
  run: string;
  seq: number;
  timestamp: string;
  clock: string;
}

interface LastStatus {
  state: string;
  as_of?: string;
  checks?: { name: string; status: string; code: string; reason: string }[];
  bridge?: { run: string; outbox: { last_seq: number; held: number; dropped: number } };
  forwarder?: {
    depth: number;
    duplicates: number;
    causes: { missed: Record<string, number>; evicted: Record<string, number> };
    ledger: Record<'accepted' | 'shipped' | 'queued' | 'dead' | 'evicted' | 'missed', number>;
  };
}

export class Witness {
  readonly live: LiveReading[] = [];
  /** Highest published watermark by run. */
  readonly watermarks = new Map<string, number>();
  readonly statuses = new Map<string, LastStatus>();
  readonly gaps: { device: string; from: string; to: string; cause: string }[] = [];
  /** Readings on the delivery plane that had been sent before. */
  resent = 0;
  readonly #sentTo = new Map<string, number>();
  readonly #clients: MqttClient[];

  /** `passwordOf` returns the key of a service. */
  constructor(t: Pick<TestContext, 'after'>, url: string, passwordOf: (service: string) => string) {
    const as = (username: string): { username: string; password: string } => ({ username, password: passwordOf(username) });
    const connect = (options: { username?: string; password?: string }, topics: string[]): MqttClient => {
      const client = mqtt.connect(url, {
        protocolVersion: 4,
        reconnectPeriod: 50,
        connectTimeout: 3000,
        keepalive: 5,
        ...options,
      });
      client.on('connect', () => client.subscribe(topics, { qos: 0 }));
      client.on('error', () => {});
      client.on('message', (topic, payload) => this.#heard(topic, payload.toString()));
      return client;
    };
    this.#clients = [
      connect({}, ['hr/+/bpm', 'hr/+/gap', 'edge/+/+/status']),
      connect(as('ble-bridge'), ['edge/+/stored/+']),
      connect(as('forwarder'), ['edge/+/readings/+']),
    ];
    t.after(() => this.close());
  }

  /** Readings that are stored according to the watermarks, over all runs. */
  get storedTotal(): number {
    return [...this.watermarks.values()].reduce((sum, watermark) => sum + watermark, 0);
  }

  /** The queue's depth in a status of the forwarder that is newer than `sinceMs`: a calm queue reports its counts every 5 s only. */
  depthAfter(sinceMs: number): number | undefined {
    const status = this.statuses.get('forwarder');
    return Date.parse(status?.as_of ?? '') > sinceMs ? status?.forwarder?.depth : undefined;
  }

  #heard(topic: string, payload: string): void {
    const [first, second, third, run = ''] = topic.split('/');
    if (payload === '') return;
    if (first === 'hr' && third === 'bpm') {
      const { run, seq, timestamp, clock } = JSON.parse(payload) as LiveReading;
      this.live.push({ device: second ?? '', run, seq, timestamp, clock });
    } else if (first === 'hr')
      this.gaps.push({ device: second ?? '', ...(JSON.parse(payload) as { from: string; to: string; cause: string }) });
    else if (third === 'readings') this.#delivered(run, payload);
    else if (third === 'stored')
      this.watermarks.set(run, Math.max(this.watermarks.get(run) ?? 0, (JSON.parse(payload) as { stored: number }).stored));
    else this.statuses.set(third ?? '', JSON.parse(payload) as LastStatus);
  }

  #delivered(run: string, packet: string): void {
    const sentTo = this.#sentTo.get(run) ?? 0;
    const seqs = packet.split('\n').map((line) => Number(line.split(' ', 1)[0]));
    this.resent += seqs.filter((seq) => seq <= sentTo).length;
    this.#sentTo.set(run, Math.max(sentTo, ...seqs));
  }

  close(): void {
    for (const client of this.#clients) client.end(true);
  }
}
