/**
 * The gateway's sequencers: one outbox in memory only, for QoS 1 and 2, and one that spills to DATA_DIR/outbox-gateway, for QoS 0. Both
 * reach the forwarder inside the broker.
 */
import path from 'node:path';
import { Outbox } from '../../outbox/outbox.ts';
import type { ServiceContext } from '../../service/process/lifecycle.ts';
import type { MessageRefusals } from '../../service/mqtt/refused-messages.ts';
import { HrError } from '../../service/errors/errors.ts';
import type { CheckReport } from '../../service/health/check-report.ts';
import { dataFolder } from '../../service/storage/data-dir.ts';
import { isPassing } from '../../service/storage/passing-errors.ts';
import type { Broker } from '../broker.ts';
import type { AdoptionSinks } from './adoption.ts';
import { BrokerLine } from './broker-line.ts';

const SETTLE_CHECK_MS = 10;
const FOLDER = 'outbox-gateway';

export interface GatewayOutboxOptions {
  context: ServiceContext;
  /** Name of this box. */
  gateway: string;
  broker: Broker;
  /** Counts messages of the forwarder that do not match the contract. */
  refused: MessageRefusals;
}

export class GatewayOutbox {
  readonly sinks: AdoptionSinks;
  readonly #config: ServiceContext['config'];
  readonly #broker: Broker;
  readonly #outboxes: readonly { name: string; outbox: Outbox }[];

  constructor({ context: { config, log }, gateway, broker, refused }: GatewayOutboxOptions) {
    this.#config = config;
    this.#broker = broker;
    const common = { gateway, log, window: config.OUTBOX_WINDOW, line: new BrokerLine(broker) };
    // Both receive every sync: one of them counts it.
    const withoutSyncs: MessageRefusals = {
      refuse: (message, topic, reason) => {
        if (message !== 'sync') refused.refuse(message, topic, reason);
      },
    };
    const memory = new Outbox({ ...common, refused: withoutSyncs });
    const spilling = new Outbox({
      ...common,
      refused,
      spill: {
        folder: path.join(config.DATA_DIR, FOLDER),
        memoryMax: config.OUTBOX_MEMORY,
        maxBytes: config.OUTBOX_MAX_BYTES,
      },
    });
    this.sinks = { memory, spilling };
    this.#outboxes = [
      { name: 'QoS 1 and 2', outbox: memory },
      { name: 'QoS 0', outbox: spilling },
    ];
  }

  /**
   * Finds what earlier processes left in DATA_DIR, which the caller has locked, and offers it. Throws HrError `data_dir_unusable`, but not
   * while the disk is full or fails: the broker is needed then, too, and the outbox creates its folder with its first file.
   */
  async start(): Promise<void> {
    try {
      dataFolder(this.#config, FOLDER);
    } catch (error) {
      if (!(error instanceof HrError) || !isPassing(error.cause)) throw error;
    }
    for (const { outbox } of this.#outboxes) {
      await outbox.start();
      for (const [filter, handler] of Object.entries(outbox.subscriptions))
        this.#broker.subscribe(filter, (topic, payload) => handler(topic, payload, false));
      outbox.up();
    }
  }

  /** How long the forwarder may take for a commit. */
  commitInterval(ms: number): void {
    for (const { outbox } of this.#outboxes) outbox.commitInterval(ms);
  }

  /** Nothing is added any more: waits until everything is stored, at most this long. */
  async settle(limitMs: number): Promise<void> {
    const endMs = performance.now() + limitMs;
    while (
      this.#outboxes.some(({ outbox }) => outbox.held > 0) &&
      this.#broker.hasService('forwarder') &&
      performance.now() < endMs
    )
      await new Promise((resolve) => setTimeout(resolve, SETTLE_CHECK_MS));
    for (const { outbox } of this.#outboxes) outbox.end();
  }

  /** Writes to disk what spills; what is held in memory only is still with its publishers. */
  async stop(): Promise<void> {
    for (const { outbox } of this.#outboxes) {
      outbox.down();
      await outbox.stop();
    }
  }

  /** The outboxes' own checks, under names that differ from the bridge's. */
  checks(): CheckReport[] {
    return this.#outboxes.flatMap(({ name, outbox }) =>
      outbox.checks().map((check) => ({ ...check, name: `${check.name} (${name})` })),
    );
  }
}
