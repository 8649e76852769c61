/** Gateway and forwarder as processes that can be killed and restarted, on one DATA_DIR, with a stream in the test's process. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { newUser, writeUsers } from '../../../../gateway/users.ts';
import { freePort } from '../../../support/free-port.ts';
import { startLocalStream, type LocalStream } from '../../../support/local-stream.ts';
import { startProduct, type ProductProcess } from '../../../support/product-process.ts';
import { tempDir } from '../../../support/temp-dir.ts';

export type Part = 'gateway' | 'forwarder';

export interface Rights {
  publish?: string[];
  subscribe?: string[];
}

export const PASSWORD = 'pass-word';
export const BOX = 'test-box';

export class TwoPlanesBox {
  readonly stream: LocalStream;
  readonly port: number;
  readonly folder: string;
  readonly #t: TestContext;
  readonly #environment: Readonly<Record<string, string>>;
  readonly #running = new Map<Part, ProductProcess>();

  private constructor(
    t: TestContext,
    parts: { stream: LocalStream; port: number; folder: string; environment: Record<string, string> },
  ) {
    this.#t = t;
    this.stream = parts.stream;
    this.port = parts.port;
    this.folder = parts.folder;
    this.#environment = parts.environment;
  }

  /** Starts both. Every user has the password `PASSWORD`. */
  static async start(
    t: TestContext,
    users: Readonly<Record<string, Rights>>,
    environment: Readonly<Record<string, string>> = {},
  ): Promise<TwoPlanesBox> {
    const stream = await startLocalStream(t, { LOCAL_KINESIS_LIMITS: 'false' });
    const folder = tempDir(t);
    const made = await Promise.all(
      Object.entries(users).map(
        async ([name, { publish = [], subscribe = [] }]) => [name, await newUser(PASSWORD, { publish, subscribe })] as const,
      ),
    );
    writeUsers({ DATA_DIR: folder }, Object.fromEntries(made));
    const port = await freePort();
    const box = new TwoPlanesBox(t, {
      stream,
      port,
      folder,
      environment: {
        DATA_DIR: folder,
        GATEWAY_NAME: BOX,
        MQTT_LISTEN_PORT: String(port),
        MQTT_LISTEN_WS_PORT: '0',
        MQTT_URL: `mqtt://127.0.0.1:${port}`,
        LOCAL_KINESIS_PORT: String(stream.port),
        ...environment,
      },
    });
    box.launch('gateway');
    box.launch('forwarder');
    await box.of('gateway').event('listening');
    await box.of('forwarder').event('mqtt_connected');
    return box;
  }

  get url(): string {
    return `mqtt://127.0.0.1:${this.port}`;
  }

  of(part: Part): ProductProcess {
    const running = this.#running.get(part);
    assert.ok(running !== undefined, `${part} runs`);
    return running;
  }

  /** Starts a part without waiting until it is ready. */
  launch(part: Part): void {
    this.#running.set(part, startProduct(this.#t, `${part}/main`, { ...this.#environment }));
  }

  /** Ends a part, and starts it again at once. */
  async interrupt(part: Part, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const code = await this.of(part).end(signal);
    assert.equal(code, signal === 'SIGKILL' ? 'SIGKILL' : 0, this.of(part).output().slice(-2000));
    this.launch(part);
  }

  /** The key of a service, as the gateway made it. */
  keyOf(service: string): string {
    return readFileSync(path.join(this.folder, 'keys', service), 'utf8').trim();
  }

  /**
   * Under how many identities (run and seq) each timestamp of each device is in the stream, by `<device> <timestamp>`. A record that a
   * killed forwarder ships again has the same identity: consumers remove it by that.
   */
  async stored(): Promise<Map<string, number>> {
    const identities = new Map<string, Set<string>>();
    for (const { device, timestamp, run, seq } of await this.stream.readAll()) {
      const key = `${device} ${timestamp}`;
      identities.set(key, (identities.get(key) ?? new Set<string>()).add(`${run} ${seq}`));
    }
    return new Map([...identities].map(([key, { size }]) => [key, size]));
  }
}
