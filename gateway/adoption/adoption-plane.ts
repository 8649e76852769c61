/** Everything that adoption consists of, put together: outbox, adoption, self-test, clock, report. */
import path from 'node:path';
import type { ForwarderStatus } from '../../contract/forwarder-status.ts';
import { parseServiceStatus } from '../../contract/service-status.ts';
import { serviceStatusTopic } from '../../contract/topics.ts';
import { clockState } from '../../service/process/clock-state.ts';
import type { ServiceContext } from '../../service/process/lifecycle.ts';
import type { CheckReport } from '../../service/health/check-report.ts';
import { gatewayName } from '../../service/storage/data-dir.ts';
import type { Broker } from '../broker.ts';
import { Adoption, type AdoptionSinks } from './adoption.ts';
import { AdoptionReport } from './adoption-report.ts';
import { testAdoption } from './self-test.ts';

/** Numbers, holds and delivers the readings that the gateway adopts. */
export interface AdoptionOutbox {
  readonly sinks: AdoptionSinks;
  start(): Promise<void>;
  /** How long the forwarder may take for a commit. */
  commitInterval(ms: number): void;
  /** Waits until everything is stored, at most this long. */
  settle(limitMs: number): Promise<void>;
  stop(): Promise<void>;
  checks(): CheckReport[];
}

export interface AdoptionPlaneOptions {
  context: ServiceContext;
  broker: Broker;
  makeOutbox: (broker: Broker) => AdoptionOutbox;
  /** Tests alone. */
  noProgressMs?: number;
}

export class AdoptionPlane {
  readonly adoption: Adoption;
  readonly report: AdoptionReport;
  readonly #context: ServiceContext;
  readonly #broker: Broker;
  readonly #outbox: AdoptionOutbox;
  #forwarder: ForwarderStatus | undefined;

  constructor({ context, broker, makeOutbox, noProgressMs }: AdoptionPlaneOptions) {
    this.#context = context;
    this.#broker = broker;
    this.#outbox = makeOutbox(broker);
    this.adoption = new Adoption({
      log: context.log,
      sinks: this.#outbox.sinks,
      memory: broker.memory,
      clock: () => clockState(new Date(), this.#forwarder),
      spillBytes: context.config.OUTBOX_MAX_BYTES,
      ...(noProgressMs === undefined ? {} : { noProgressMs }),
    });
    this.report = new AdoptionReport({ adoption: this.adoption, hasForwarder: () => broker.hasService('forwarder') });
  }

  /** Call after the broker has started and before it listens; the caller has locked DATA_DIR. */
  async start(): Promise<void> {
    const { config, log } = this.#context;
    this.#broker.subscribe(serviceStatusTopic(gatewayName(config), 'forwarder'), (_topic, payload) =>
      this.#forwarderReported(payload),
    );
    await this.#outbox.start();
    this.adoption.keepClaimsIn(path.join(config.DATA_DIR, 'device-claims.json'));
    this.adoption.start();
    this.report.offReason = config.GATEWAY_ADOPT ? ((await testAdoption(this.#broker, log)) ?? '') : 'GATEWAY_ADOPT is false';
    this.adoption.isHolding = this.report.offReason === '';
    if (config.GATEWAY_ADOPT && !this.adoption.isHolding)
      log.error(
        { event: 'adoption_off', reason: this.report.offReason },
        'the test of held acknowledgements failed: other clients get a PUBACK before their reading is stored',
      );
  }

  #forwarderReported(payload: Buffer): void {
    const status = parseServiceStatus(payload);
    if (!status.ok) return;
    this.#forwarder = status.value.forwarder;
    if (this.#forwarder !== undefined) this.#outbox.commitInterval(this.#forwarder.commit_interval_ms);
  }

  checks(): CheckReport[] {
    return [...this.report.checks(), ...this.adoption.claimChecks(), ...this.#outbox.checks()];
  }

  /** Waits until what is held is stored, at most this long; the acknowledgements are then on their way. */
  async settle(limitMs: number): Promise<void> {
    await this.#outbox.settle(limitMs);
  }

  async stop(): Promise<void> {
    await this.adoption.stop();
    await this.#outbox.stop();
  }
}
