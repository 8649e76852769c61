/** Decides which radio is used, and decides again when what it depends on has changed (`auto`). */
import type { BridgeStatus, ForwarderStatus } from '../contract/service-status.ts';
import type { Config } from '../service/config/config.ts';
import { ERRORS } from '../service/errors/error-catalogue.ts';
import type { Logger } from '../service/log/log.ts';
import type { CheckReport } from '../service/mqtt/status-reporter.ts';
import { NobleRadio } from './radio/noble/noble-radio.ts';
import type { Radio } from './radio/radio.ts';
import { makeRadio } from './radio/make-radio.ts';

export interface SourceControlOptions {
  config: Config;
  log: Logger;
  target: () => ForwarderStatus['target'] | undefined;
  /** False while a fast replay must pause. */
  canTake: () => boolean;
  /** Replaces the radio in use. */
  use: (radio: Radio | undefined) => Promise<void>;
}

type Source = BridgeStatus['source'];

/** How often the adapter is looked for. */
const LOOK_EVERY_MS = 5000;
/** How long `chosen` waits for a decision. */
const DECISION_LIMIT_MS = 5000;
/** A radio that never came on in this time does not answer. */
const ANSWER_MS = 6000;

export class SourceControl {
  readonly #o: SourceControlOptions;
  #current: Source = 'none';
  #radio: Radio | undefined;
  #radioSince = 0;
  #radioWasOn = false;
  /** An adapter that is there and does not answer: not asked again in this process. */
  #adapterIsDumb = false;
  #changing: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #decided: (() => void)[] = [];
  #stopped = false;

  constructor(options: SourceControlOptions) {
    this.#o = options;
  }

  /** Throws HrError `recording_unreadable`. */
  async start(): Promise<void> {
    await this.#change(this.#wanted());
    if (this.#o.config.BLE_SOURCE !== 'auto') return;
    this.#timer = setInterval(() => this.reconsider(), LOOK_EVERY_MS);
    if (this.#current === 'none')
      this.#o.log.warn(
        { event: 'no_adapter', code: 'radio_unavailable', adapter: this.#o.config.BLE_ADAPTER },
        'no Bluetooth adapter; simulated straps only once the forwarder says that its target is local',
      );
  }

  #wanted(): Source {
    const { config, target } = this.#o;
    if (config.BLE_SOURCE !== 'auto') return config.BLE_SOURCE;
    if (NobleRadio.adapterExists(config) && !this.#adapterDoesNotAnswer()) return 'noble';
    return target() === 'local' ? 'simulated' : 'none';
  }

  #adapterDoesNotAnswer(): boolean {
    if (this.#current === 'noble' && this.#radio !== undefined) {
      if (this.#radio.state === 'powered_on') this.#radioWasOn = true;
      const unusable =
        this.#radio.state === 'unauthorized' || this.#radio.state === 'unsupported' || this.#radio.state === 'missing';
      if (unusable && !this.#radioWasOn && performance.now() - this.#radioSince > ANSWER_MS) this.#adapterIsDumb = true;
    }
    return this.#adapterIsDumb;
  }

  /** Something that the choice depends on may have changed. */
  reconsider(): void {
    if (this.#o.config.BLE_SOURCE !== 'auto' || this.#stopped) return;
    // A forwarder that is away says nothing of its target: what runs goes on.
    if (this.#current === 'simulated' && this.#o.target() === undefined && this.#wanted() === 'none') return;
    if (this.#wanted() === this.#current) return;
    this.#change(this.#wanted()).catch((error: unknown) =>
      this.#o.log.error({ event: 'source_change_failed', err: error }, 'the source could not be changed'),
    );
  }

  async #change(source: Source): Promise<void> {
    this.#changing = this.#changing.then(async () => {
      if (this.#stopped || source === this.#current) return;
      const { config, log, use, canTake } = this.#o;
      this.#radio = source === 'none' ? undefined : await makeRadio(source, { config, log, canTake });
      this.#current = source;
      this.#radioSince = performance.now();
      this.#radioWasOn = false;
      log.info(
        { event: 'source_chosen', source },
        source === 'noble' ? 'straps are read by the Bluetooth adapter' : `source of readings: ${source}`,
      );
      await use(this.#radio);
      for (const decided of this.#decided.splice(0)) decided();
    });
    await this.#changing;
  }

  /** The source in use; waits for the decision of `auto`, 5 s at most. */
  async chosen(): Promise<Source> {
    if (this.#current === 'none' && !this.#stopped)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, DECISION_LIMIT_MS);
        this.#decided.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    return this.#current;
  }

  /** The line of health while there is no radio. */
  check(): CheckReport {
    const detail =
      this.#o.target() === undefined
        ? 'the forwarder has not yet said where it ships to'
        : 'the target is not local, so nothing is simulated';
    return {
      name: 'radio',
      status: 'fail',
      reason: `radio_unavailable: there is no Bluetooth adapter ${this.#o.config.BLE_ADAPTER}; ${detail}`,
      hint: ERRORS.radio_unavailable.hint,
    };
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    for (const decided of this.#decided.splice(0)) decided();
    await this.#changing.catch(() => {});
  }
}
