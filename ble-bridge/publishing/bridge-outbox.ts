/**
 * The bridge's readings on both planes: each is added to the outbox, which delivers it to the forwarder, and published live once, for
 * people and apps, if the broker is connected. What the outbox had to drop is published as a gap of its device.
 */
import path from 'node:path';
import type { Reading } from '../../contract/reading.ts';
import type { NumberedReading } from '../../contract/delivery.ts';
import type { BridgeStatus } from '../../contract/bridge-status.ts';
import type { Metric } from '../../contract/metrics.ts';
import { readingTopic } from '../../contract/topics.ts';
import { Outbox } from '../../outbox/outbox.ts';
import type { Config } from '../../service/config/config.ts';
import type { MessageRefusals } from '../../service/mqtt/refused-messages.ts';
import type { Logger } from '../../service/log/log.ts';
import type { MessageHandler } from '../../service/mqtt/subscription-routes.ts';
import type { CheckReport } from '../../service/health/check-report.ts';
import { gatewayName } from '../../service/storage/data-dir.ts';
import { DroppedGaps } from './dropped-gaps.ts';

export interface BridgeOutboxOptions {
  config: Config;
  log: Logger;
  refused?: MessageRefusals | undefined;
  /** Publishes with QoS 0. False, and nothing is sent, while the line is down. */
  publish: (topic: string, payload: string) => boolean;
  /** Bytes that are written to the line and not yet taken by the system. */
  writableLength: () => number;
  /** Whether the broker has refused a subscription; left out: never. */
  isRefused?: (filter: string) => boolean;
}

export class BridgeOutbox {
  readonly #options: BridgeOutboxOptions;
  readonly #gaps: DroppedGaps;
  #gateway = '';
  #outbox: Outbox | undefined;

  constructor(options: BridgeOutboxOptions) {
    this.#options = options;
    this.#gaps = new DroppedGaps(options.publish);
  }

  get #started(): Outbox {
    if (this.#outbox === undefined) throw new Error('the outbox is not started');
    return this.#outbox;
  }

  /** Finds what earlier processes left. Throws HrError `data_dir_unusable`. */
  async start(): Promise<void> {
    const { config, log, publish, writableLength, isRefused, refused } = this.#options;
    this.#gateway = gatewayName(config);
    this.#outbox = new Outbox({
      gateway: this.#gateway,
      line: { publish, writableLength, ...(isRefused === undefined ? {} : { isRefused }) },
      log,
      refused,
      window: config.OUTBOX_WINDOW,
      spill: {
        folder: path.join(config.DATA_DIR, 'outbox'),
        memoryMax: config.OUTBOX_MEMORY,
        maxBytes: config.OUTBOX_MAX_BYTES,
      },
      onDropped: (_, readings) => this.#gaps.dropped(readings),
    });
    await this.#outbox.start();
  }

  /** Numbers a reading, delivers it, and publishes it live. */
  accept(fields: Omit<Reading, 'gateway' | 'run' | 'seq'>): NumberedReading {
    const numbered = this.#started.add(fields);
    this.#options.publish(readingTopic(fields.device), numbered.payload);
    return numbered;
  }

  get subscriptions(): Record<string, MessageHandler> {
    return this.#started.subscriptions;
  }

  /** Readings that are not stored yet. */
  get held(): number {
    return this.#outbox?.held ?? 0;
  }

  get run(): string {
    return this.#started.run;
  }

  /** The broker has acknowledged the subscriptions. */
  up(): void {
    this.#started.up();
    this.#gaps.up();
  }

  down(): void {
    this.#started.down();
    this.#gaps.down();
  }

  /** How long the forwarder may take for a commit. */
  commitInterval(ms: number): void {
    this.#outbox?.commitInterval(ms);
  }

  status(): BridgeStatus['outbox'] {
    return this.#started.status();
  }

  checks(): CheckReport[] {
    return this.#outbox?.checks() ?? [];
  }

  metrics(): Metric[] {
    return this.#outbox?.metrics() ?? [];
  }

  /** Waits a little for the forwarder, then writes what is held to disk. */
  async stop(): Promise<void> {
    await this.#outbox?.stop();
    this.#gaps.stop();
  }
}
