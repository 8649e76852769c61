/** An independent client of the broker: what it saw live, which marks it heard, what services said last. Shares no code with the product. */
import type { TestContext } from 'node:test';
import mqtt, { type MqttClient } from 'mqtt';

export interface LiveReading {
  run: string;
  seq: number;
  timestamp: string;
}

interface LastStatus {
  state: string;
  bridge?: { run: string; outbox: { last_seq: number; held: number } };
  forwarder?: { depth: number; duplicates: number; ledger: Record<'accepted' | 'shipped' | 'queued' | 'dead' | 'evicted' | 'missed', number> };
}

export class Witness {
  readonly live: LiveReading[] = [];
  /** Highest mark that was published, by run. */
  readonly marks = new Map<string, number>();
  readonly statuses = new Map<string, LastStatus>();
  readonly gaps: { device: string; from: string; to: string; cause: string }[] = [];
  /** How often each run said what it holds, and how many packets it sent again. */
  sources = 0;
  readonly #clients: MqttClient[];

  /** `key` of a service that may hear marks. */
  constructor(t: Pick<TestContext, 'after'>, url: string, user: { username: string; password: string }) {
    const connect = (options: { username?: string; password?: string }, topics: string[]): MqttClient => {
      const client = mqtt.connect(url, { protocolVersion: 4, reconnectPeriod: 50, connectTimeout: 3000, keepalive: 5, ...options });
      client.on('connect', () => client.subscribe(topics, { qos: 0 }));
      client.on('error', () => {});
      client.on('message', (topic, payload) => this.#heard(topic, payload.toString()));
      return client;
    };
    this.#clients = [connect({}, ['hr/+/bpm', 'hr/+/gap', 'edge/+/status']), connect(user, ['edge/stored/+'])];
    t.after(() => this.close());
  }

  #heard(topic: string, payload: string): void {
    const [first, second, third] = topic.split('/');
    if (payload === '') return;
    if (first === 'hr' && third === 'bpm') {
      const { run, seq, timestamp } = JSON.parse(payload) as LiveReading;
      this.live.push({ run, seq, timestamp });
    } else if (first === 'hr') this.gaps.push({ device: second ?? '', ...(JSON.parse(payload) as { from: string; to: string; cause: string }) });
    else if (second === 'stored') this.marks.set(third ?? '', Math.max(this.marks.get(third ?? '') ?? 0, (JSON.parse(payload) as { stored: number }).stored));
    else this.statuses.set(second ?? '', JSON.parse(payload) as LastStatus);
  }

  close(): void {
    for (const client of this.#clients) client.end(true);
  }
}
