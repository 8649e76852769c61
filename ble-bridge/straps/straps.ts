/** All straps of the bridge: who is heard becomes one, within the filter and the limits; ladder and scan are fed from here. */
import type { Config } from '../../service/config/config.ts';
import { RepeatLimiter, type Logger } from '../../service/log/log.ts';
import { ConnectQueue } from '../radio/connect-queue.ts';
import type { DeviceNames, KnownDevice } from './device-names.ts';
import type { RadioHealth } from '../radio/recovery-ladder.ts';
import type { RadioStatistics } from '../radio/radio-statistics.ts';
import type { Advertisement, Radio } from '../radio/radio.ts';
import { DEFAULT_LIMITS, type LinkLimits } from './sensor-link.ts';
import type { StrapFilter } from './strap-filter.ts';
import { Strap, type StrapOptions } from './strap.ts';

const CONNECT_TIMEOUT_MS = 10_000;
/** A learnt limit of the controller is tried again after this long. */
const LIMIT_STANDS_MS = 600_000;
/** What controllers answer where they take no more links: limited resources, connection limit exceeded (HCI 0x0d, 0x09). */
const LIMIT_ERRORS = /\(0x0?[9d]\)|Limited Resources|Connection Limit/i;

/** In a place where everybody's strap comes by, and watches change their address: beyond this the one unheard for longest is let go. */
const STRAPS_MAX = 500;
/** Ends of attempts that led to no notification. */
const FRUITLESS = new Set(['timeout', 'failed', 'not_established']);

export interface StrapsOptions {
  config: Config;
  log: Logger;
  radio: Radio;
  names: DeviceNames;
  filter: StrapFilter;
  statistics: RadioStatistics;
  limits?: Partial<LinkLimits>;
  clock: StrapOptions['clock'];
  accept: StrapOptions['accept'];
  onStatus: StrapOptions['onStatus'];
  onGap: StrapOptions['onGap'];
  /** A strap is seen for the first time in this process; `renamedFrom` where its alias has changed. */
  onNew: (strap: Strap, renamedFrom: string | undefined) => void;
  /** A strap that was not heard for long makes room for new ones; its name stays kept. */
  onLetGo: (strap: Strap) => void;
  /** Most straps that are known at once. */
  strapsMax?: number;
}

export class Straps {
  readonly #o: StrapsOptions;
  readonly #limits: LinkLimits;
  readonly #queue = new ConnectQueue({ timeoutMs: CONNECT_TIMEOUT_MS });
  readonly #repeats: RepeatLimiter;
  readonly #byAddress = new Map<string, Strap>();
  #limit: { straps: number; learntAt: number } | undefined;
  #unconfirmed = 0;
  #fruitless = 0;
  #lastReadingAt = -Infinity;
  #lostAt = -Infinity;
  #stopped = false;

  constructor(options: StrapsOptions) {
    this.#o = options;
    this.#limits = { ...DEFAULT_LIMITS, silence: options.config.BLE_SILENCE_MS, ...options.limits };
    this.#repeats = new RepeatLimiter(options.log);
    options.radio.events.on('advertisement', (advertisement) => this.#heard(advertisement));
  }

  get all(): readonly Strap[] {
    return [...this.#byAddress.values()];
  }

  get connecting(): boolean {
    return this.#queue.busy;
  }

  get missing(): boolean {
    return this.all.some(({ link }) => !link.connected);
  }

  /** When a link last ended. */
  get lostAt(): number {
    return this.#lostAt;
  }

  /** How many links the controller takes, where that was learnt. */
  get limit(): number | null {
    return this.#limit?.straps ?? null;
  }

  get #connected(): number {
    return this.all.filter(({ link }) => link.connected).length;
  }

  find(device: string): Strap | undefined {
    return this.all.find((strap) => strap.device === device);
  }

  #heard(advertisement: Advertisement): void {
    if (this.#stopped) return;
    let strap = this.#byAddress.get(advertisement.address);
    if (strap === undefined) {
      const { names, filter, radio } = this.#o;
      const verdict = filter.judge(advertisement, names.find(advertisement.address)?.device);
      if (verdict === 'no_strap') return;
      if (verdict !== 'wanted') {
        this.#repeats.info(
          `refused ${advertisement.address}`,
          { event: 'strap_refused', address: advertisement.address, name: advertisement.name, verdict },
          'a strap is heard that the lists do not let in',
        );
        return;
      }
      this.#makeRoom();
      const { known, renamedFrom } = names.of(advertisement.address, advertisement.name, radio.kind);
      strap = this.#make(known);
      this.#o.log.info(
        {
          event: 'strap_discovered',
          device: strap.device,
          address: advertisement.address,
          name: advertisement.name,
          rssi: advertisement.rssi,
        },
        'a strap is heard',
      );
      this.#o.onNew(strap, renamedFrom);
    } else if (advertisement.name !== undefined) this.#o.names.of(advertisement.address, advertisement.name, this.#o.radio.kind);
    strap.advertised(advertisement);
  }

  #makeRoom(): void {
    if (this.#byAddress.size < (this.#o.strapsMax ?? STRAPS_MAX)) return;
    const [oldest] = this.all.filter(({ link }) => !link.occupied).sort((a, b) => a.heardAt - b.heardAt);
    if (oldest === undefined) return;
    this.#byAddress.delete(oldest.address);
    void oldest.link.stop();
    this.#o.log.info(
      { event: 'strap_let_go', device: oldest.device },
      'a strap that was not heard for long makes room for a new one',
    );
    this.#o.onLetGo(oldest);
  }

  #make(known: KnownDevice): Strap {
    const { radio, log, statistics, config } = this.#o;
    const strap = new Strap({
      known,
      radio,
      log,
      statistics,
      queue: this.#queue,
      limits: this.#limits,
      lowBatteryPercent: config.BLE_LOW_BATTERY_PERCENT,
      clock: this.#o.clock,
      mayConnect: () => this.#mayConnect(this.all.filter(({ link }) => link.occupied).length),
      hasPlace: () => this.#mayConnect(this.#connected),
      accept: (fields) => {
        this.#lastReadingAt = performance.now();
        statistics.readings.add();
        this.#o.accept(fields);
      },
      onStatus: this.#o.onStatus,
      onGap: this.#o.onGap,
      onEnded: (_, reason, error) => {
        if (reason !== 'no_heart_rate_service') this.#lostAt = performance.now();
        if (FRUITLESS.has(reason)) this.#fruitless += 1;
        this.#learnLimit(reason, error);
      },
      onUnconfirmedDisconnect: () => {
        this.#unconfirmed += 1;
      },
    });
    this.#byAddress.set(known.address, strap);
    return strap;
  }

  /** Whether one more may be connected where so many places are taken. */
  #mayConnect(taken: number): boolean {
    if (this.#o.radio.state !== 'powered_on') return false;
    // Simulated straps are as many as asked for: the limit is the adapter's.
    if (this.#o.radio.kind === 'noble' && taken >= this.#o.config.BLE_MAX_STRAPS) {
      this.#repeats.info(
        'max',
        { event: 'straps_limit_reached', limit: this.#o.config.BLE_MAX_STRAPS, setting: 'BLE_MAX_STRAPS' },
        'as many straps are connected as BLE_MAX_STRAPS allows; others wait',
      );
      return false;
    }
    if (this.#limit === undefined) return true;
    if (performance.now() - this.#limit.learntAt > LIMIT_STANDS_MS) {
      this.#limit = undefined;
      return true;
    }
    return taken < this.#limit.straps;
  }

  #learnLimit(reason: string, error: unknown): void {
    if (reason !== 'failed' || !(error instanceof Error) || !LIMIT_ERRORS.test(error.message) || this.#connected === 0) return;
    this.#limit = { straps: this.#connected, learntAt: performance.now() };
    this.#o.log.warn(
      { event: 'controller_limit', straps: this.#connected },
      'the adapter takes no more straps at once; further ones wait for a place',
    );
  }

  /** To be called about once a second. */
  tick(): void {
    for (const strap of this.all) strap.link.tick();
  }

  health(aliveAt: number, scanFailures: number): RadioHealth {
    const receiving = this.all.filter(({ link }) => link.receiving).length;
    if (receiving > 0) this.#fruitless = 0;
    return {
      poweredOn: this.#o.radio.state === 'powered_on',
      unresponsive: this.#o.radio.unresponsive,
      aliveAt: Math.max(aliveAt, this.#lastReadingAt),
      troubled: this.all.filter((strap) => strap.troubled).length,
      scanFailures,
      unconfirmed: this.#unconfirmed,
      fruitless: this.#fruitless,
      receiving,
    };
  }

  /** All links are gone with the radio; they are made again as the straps are heard. */
  radioLost(): void {
    this.#unconfirmed = 0;
    this.#fruitless = 0;
    // It may be another adapter that comes back.
    this.#limit = undefined;
    for (const { link } of this.all) link.radioLost();
  }

  retryNow(): void {
    for (const { link } of this.all) link.retryNow();
  }

  /** Ends the link of a strap and forgets it. */
  async forget(strap: Strap): Promise<void> {
    this.#byAddress.delete(strap.address);
    await strap.link.stop();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.all.map(({ link }) => link.stop()));
  }
}
