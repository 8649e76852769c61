/** Decides which source of readings is used (BLE_SOURCE), and decides again when the conditions change (`auto`). */
import type { BridgeStatus } from '../contract/bridge-status.ts';
import type { ForwarderStatus } from '../contract/forwarder-status.ts';
import { listedAdapters, wantedText } from '../service/bluetooth/adapter.ts';
import type { Config } from '../service/config/config.ts';
import type { Logger } from '../service/log/log.ts';
import type { CheckReport } from '../service/health/check-report.ts';
import { makeRadio } from './radio/make-radio.ts';
import { AdapterSearch } from './radio/noble/adapter-search.ts';
import { radioCheck } from './radio/radio-check.ts';
import type { Radio } from './radio/radio.ts';
import { ReplaySource, type ReplayProgress } from './radio/virtual/replay-source.ts';
import { SoftRadio } from './radio/virtual/soft-radio.ts';

export interface SourceControlOptions {
  config: Config;
  log: Logger;
  forwarder: { readonly target: ForwarderStatus['target'] | undefined };
  /** False while a replay at speed 0 must pause. */
  canTake: () => boolean;
  radioUser: { use(radio: Radio | undefined): Promise<void> };
}

type Source = BridgeStatus['source'];

const RECONSIDER_EVERY_MS = 5000;
/** How long `chosen` waits for a decision. */
const DECISION_LIMIT_MS = 5000;
/** A radio that was never on within this time does not answer. */
const ANSWER_LIMIT_MS = 6000;

const listedNumbers = (): string =>
  listedAdapters()
    .map(({ number }) => number)
    .join(' ');

export class SourceControl {
  readonly #o: SourceControlOptions;
  readonly #search: AdapterSearch;
  #current: Source = 'none';
  #radio: Radio | undefined;
  #radioSince = 0;
  #radioWasOn = false;
  /** The adapters that were listed when the chosen one did not answer: it is tried again once there are others. */
  #unusableAmong: string | undefined;
  #changing: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #decided: (() => void)[] = [];
  #stopped = false;

  constructor(options: SourceControlOptions) {
    this.#o = options;
    this.#search = new AdapterSearch(options.config, options.log);
  }

  /** Throws HrError `recording_unreadable`. */
  async start(): Promise<void> {
    await this.#change(this.#wanted());
    if (this.#o.config.BLE_SOURCE !== 'auto') return;
    this.#timer = setInterval(() => this.reconsider(), RECONSIDER_EVERY_MS);
    if (this.#current === 'none')
      this.#o.log.warn(
        { event: 'no_adapter', code: 'radio_unavailable', adapter: this.#o.config.BLE_ADAPTER },
        'no Bluetooth adapter; simulating straps only once the forwarder reports a local target',
      );
  }

  #wanted(): Source {
    const { config, forwarder } = this.#o;
    if (config.BLE_SOURCE !== 'auto') return config.BLE_SOURCE;
    if (this.#search.mayBePresent && !this.#adapterDoesNotAnswer()) return 'noble';
    return forwarder.target === 'local' ? 'simulated' : 'none';
  }

  #adapterDoesNotAnswer(): boolean {
    if (this.#current === 'noble' && this.#radio !== undefined) {
      const { state } = this.#radio;
      if (state === 'powered_on') this.#radioWasOn = true;
      const unusable = state === 'unauthorized' || state === 'unsupported' || state === 'missing';
      if (unusable && !this.#radioWasOn && performance.now() - this.#radioSince > ANSWER_LIMIT_MS)
        this.#unusableAmong = listedNumbers();
    }
    return this.#unusableAmong === listedNumbers();
  }

  /** Decides again: a condition of the choice may have changed. */
  reconsider(): void {
    const { config, forwarder, log } = this.#o;
    if (config.BLE_SOURCE !== 'auto' || this.#stopped) return;
    const wanted = this.#wanted();
    // The target is unknown while the forwarder is offline: a running simulation continues.
    if (this.#current === 'simulated' && forwarder.target === undefined && wanted === 'none') return;
    if (wanted === this.#current) return;
    this.#change(wanted).catch((error: unknown) =>
      log.error({ event: 'source_change_failed', err: error }, 'changing the source of readings failed'),
    );
  }

  async #change(source: Source): Promise<void> {
    this.#changing = this.#changing.then(async () => {
      if (this.#stopped || source === this.#current) return;
      const { config, log, radioUser, canTake } = this.#o;
      this.#radio = source === 'none' ? undefined : await makeRadio(source, { config, log, canTake, search: this.#search });
      this.#current = source;
      this.#radioSince = performance.now();
      this.#radioWasOn = false;
      log.info(
        { event: 'source_chosen', source },
        source === 'noble' ? 'reading straps through the Bluetooth adapter' : `source of readings: ${source}`,
      );
      await radioUser.use(this.#radio);
      for (const decided of this.#decided.splice(0)) decided();
    });
    await this.#changing;
  }

  /** The source in use; waits up to 5 s for the decision of `auto`. */
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

  /** How far each recording is; empty if nothing is replayed. */
  get replay(): readonly ReplayProgress[] {
    const radio = this.#radio;
    return radio instanceof SoftRadio && radio.source instanceof ReplaySource ? radio.source.progress : [];
  }

  /** The radio check while no radio is in use. */
  check(): CheckReport {
    const detail =
      this.#o.forwarder.target === undefined
        ? 'the forwarder has not reported its target yet'
        : 'the target is not local, so no straps are simulated';
    return radioCheck('fail', 'radio_unavailable', `there is no ${wantedText(this.#o.config)}; ${detail}`);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    for (const decided of this.#decided.splice(0)) decided();
    await this.#changing.catch(() => {});
  }
}
