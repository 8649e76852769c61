/**
 * A client that reads live readings and speaks for their strap: it publishes the next numbers, offers, stored and sync messages, readings
 * of other devices, retained ones and wills, on every topic that might work, whatever its rights are.
 */
import type { TestContext } from 'node:test';
import { connect, type IClientOptions, type MqttClient } from 'mqtt';

/** No strap of a test sends it. */
export const FORGED_HEART_RATE = 251;
const RECONNECT_MS = 20;
const EVERY_MS = 15;
const WILL_EVERY_MS = 200;

interface Seen {
  timestamp: string;
  device: string;
  gateway: string;
  run: string;
  seq: number;
}

interface Forgery {
  topic: string;
  payload: string;
  retain?: boolean;
}

export interface AttackerOptions {
  url: string;
  login: Pick<IClientOptions, 'username' | 'password'>;
  /** The device whose topic it may publish. */
  ownDevice: string;
}

export class Attacker {
  /** Publishes sent, and wills left behind. */
  attempts = 0;
  readonly #options: AttackerOptions;
  #client: MqttClient | undefined;
  readonly #timers: NodeJS.Timeout[];
  #seen: Seen | undefined;
  #turn = 0;
  #stopped = false;

  constructor(t: Pick<TestContext, 'after'>, options: AttackerOptions) {
    this.#options = options;
    this.#begin();
    this.#timers = [setInterval(() => this.#forge(), EVERY_MS), setInterval(() => this.#leaveWill(), WILL_EVERY_MS)];
    t.after(() => this.stop());
  }

  /** What it knows of the strap that it speaks for. */
  get victim(): Seen | undefined {
    return this.#seen;
  }

  /** Each connection is a new client: the same one would send what was refused again and again. */
  #begin(): void {
    if (this.#stopped) return;
    const client = this.#connect();
    this.#client = client;
    client.on('connect', () => client.subscribe(['hr/+/bpm', 'hr/#', 'edge/#', '#']));
    client.on('message', (topic, payload) => this.#read(topic, payload));
    client.on('close', () => {
      client.removeAllListeners('close');
      if (this.#client === client) this.#client = undefined;
      client.end(true);
      setTimeout(() => this.#begin(), RECONNECT_MS).unref();
    });
  }

  #connect(options: IClientOptions = {}): MqttClient {
    const client = connect(this.#options.url, {
      protocolVersion: 4,
      connectTimeout: 2000,
      reconnectPeriod: 0,
      ...this.#options.login,
      ...options,
    });
    client.on('error', () => {});
    return client;
  }

  #read(topic: string, payload: Buffer): void {
    if (!topic.startsWith('hr/') || !topic.endsWith('/bpm')) return;
    try {
      const reading = JSON.parse(payload.toString()) as Partial<Seen> & { heart_rate?: number };
      const { timestamp, device, gateway, run, seq } = reading;
      if (reading.heart_rate === FORGED_HEART_RATE || topic !== `hr/${device}/bpm`) return;
      if (timestamp === undefined || device === undefined || gateway === undefined || run === undefined || seq === undefined)
        return;
      this.#seen = { timestamp, device, gateway, run, seq };
    } catch {
      // Another client's payload.
    }
  }

  #forgeries({ device, gateway, run, seq }: Seen): Forgery[] {
    const queue = 'f'.repeat(16);
    const forged = (fields: object): string =>
      JSON.stringify({
        timestamp: new Date().toISOString(),
        heart_rate: FORGED_HEART_RATE,
        device,
        gateway,
        run,
        seq,
        ...fields,
      });
    const next = [1, 2, 3, 50].map((ahead) => `${seq + ahead} ${forged({ seq: seq + ahead })}`).join('\n');
    const { ownDevice } = this.#options;
    const own = `hr/${ownDevice}/bpm`;
    const delivery: Forgery[] = [
      { topic: `edge/${gateway}/readings/${run}`, payload: next },
      {
        topic: `edge/${gateway}/offer/${run}`,
        payload: JSON.stringify({ run, from: seq + 1000, last: seq + 1000, dropped: {}, sync: 1 }),
      },
      { topic: `edge/${gateway}/stored/${run}`, payload: JSON.stringify({ queue, stored: seq + 1000, sync: 1 }) },
      { topic: 'edge/sync', payload: JSON.stringify({ queue, gateways: ['*'] }) },
      { topic: `edge/source/${run}`, payload: JSON.stringify({ run, first: seq + 1000, last: seq + 1000 }) },
    ];
    const live: Forgery[] = [
      { topic: own, payload: forged({ seq: seq + 1 }) },
      { topic: own, payload: forged({ device: ownDevice, seq: seq + 2 }) },
      { topic: own, payload: forged({ gateway: 'other-box', run: '0'.repeat(16), seq: 1 }) },
      { topic: own, payload: `${seq + 1} ${forged({})}\n${seq + 2} ${forged({})}` },
      { topic: `hr/${device}/bpm`, payload: forged({ seq: seq + 1 }) },
      { topic: `hr/${device}/bpm`, payload: forged({ run: '0'.repeat(16), seq: 1 }) },
      { topic: `hr/${device}/bpm`, payload: forged({ run: undefined, seq: undefined, gateway: undefined }) },
      { topic: `hr/${device}/bpm`, payload: JSON.stringify({ heart_rate: FORGED_HEART_RATE }) },
      { topic: `hr/${device}/bpm`, payload: String(FORGED_HEART_RATE) },
      { topic: `hr/${device}/status`, payload: '' },
    ];
    // What it may publish comes more often: a refused publish costs it the connection.
    return [...delivery, ...live, ...live, ...[...delivery, ...live].map((forgery) => ({ ...forgery, retain: true }))];
  }

  #forge(): void {
    const client = this.#client;
    if (this.#seen === undefined || client?.connected !== true || client.disconnecting) return;
    const forgeries = this.#forgeries(this.#seen);
    const forgery = forgeries[this.#turn % forgeries.length];
    if (forgery === undefined) return;
    this.#turn += 1;
    this.attempts += 1;
    client.publish(
      forgery.topic,
      forgery.payload,
      { qos: this.#turn % 2 === 0 ? 0 : 1, retain: forgery.retain === true },
      () => {},
    );
  }

  /** Connects with a will and breaks the connection. */
  #leaveWill(): void {
    if (this.#seen === undefined) return;
    const forgeries = this.#forgeries(this.#seen);
    const { topic, payload } = forgeries[this.#turn % forgeries.length] ?? { topic: '', payload: '' };
    const client = this.#connect({ will: { topic, payload: Buffer.from(payload), qos: 0, retain: false } });
    this.attempts += 1;
    client.on('connect', () => client.stream.destroy());
    setTimeout(() => client.end(true), 1000).unref();
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#stopped = true;
    this.#client?.end(true);
  }
}
