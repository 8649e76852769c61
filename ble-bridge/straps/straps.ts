/**
 * All straps of one radio. An advertisement that the filter accepts becomes a strap; the straps' state and failures are what the scan
 * supervisor and the recovery ladder decide on.
 */
import type { Config } from '../../service/config/config.ts';
import { RepeatLimiter, type Logger } from '../../service/log/log.ts';
import { ConnectQueue } from '../radio/connect-queue.ts';
import type { RadioStatistics } from '../radio/radio-statistics.ts';
import type { Advertisement, Radio } from '../radio/radio.ts';
import type { RadioHealth } from '../radio/recovery-ladder.ts';
import type { ScanDemand } from '../radio/scan-supervisor.ts';
import { ConnectionSlots } from './connection-slots.ts';
import type { DeviceNames } from './device-names.ts';
import { isFruitless } from './link-end.ts';
import { DEFAULT_LIMITS, type LinkLimits } from './link-limits.ts';
import type { StrapFilter, Verdict } from './strap-filter.ts';
import type { StrapClock, StrapEvents, StrapHistory, StrapSink } from './strap-ports.ts';
import { Strap } from './strap.ts';

const CONNECT_TIMEOUT_MS = 10_000;
/** Bounds memory in a place with many strangers and changing addresses: beyond this the strap unseen for longest is dropped. */
const STRAPS_MAX = 500;

export interface StrapsOptions {
  config: Config;
  log: Logger;
  radio: Radio;
  names: DeviceNames;
  filter: StrapFilter;
  statistics: RadioStatistics;
  limits?: Partial<LinkLimits>;
  clock: StrapClock;
  sink: StrapSink;
  history: StrapHistory;
  events: StrapEvents;
  /** Most straps that are known at once. */
  strapsMax?: number;
}

export class Straps implements ScanDemand {
  readonly #o: StrapsOptions;
  readonly #limits: LinkLimits;
  readonly #queue = new ConnectQueue({ timeoutMs: CONNECT_TIMEOUT_MS });
  readonly #repeats: RepeatLimiter;
  readonly #slots: ConnectionSlots;
  readonly #byAddress = new Map<string, Strap>();
  #unconfirmed = 0;
  #fruitless = 0;
  /** performance.now(), as `#lostAt`. */
  #lastReadingAt = -Infinity;
  #lostAt = -Infinity;
  #stopped = false;

  constructor(options: StrapsOptions) {
    this.#o = options;
    this.#limits = { ...DEFAULT_LIMITS, silenceMs: options.config.BLE_SILENCE_MS, ...options.limits };
    this.#repeats = new RepeatLimiter(options.log);
    const { config, log, radio } = options;
    const count = (matches: (strap: Strap) => boolean): number => this.all.filter(matches).length;
    this.#slots = new ConnectionSlots({
      config,
      log,
      repeats: this.#repeats,
      radio,
      use: {
        get connected() {
          return count(({ link }) => link.connected);
        },
        get occupied() {
          return count(({ link }) => link.occupied);
        },
      },
    });
    radio.events.on('advertisement', (advertisement) => this.#advertised(advertisement));
  }

  get all(): readonly Strap[] {
    return [...this.#byAddress.values()];
  }

  get connecting(): boolean {
    return this.#queue.busyWithProven;
  }

  get missing(): boolean {
    return this.all.some(({ link }) => !link.connected);
  }

  get lostAt(): number {
    return this.#lostAt;
  }

  /** The learned limit of the controller, or null. */
  get limit(): number | null {
    return this.#slots.limit;
  }

  find(device: string): Strap | undefined {
    return this.all.find((strap) => strap.device === device);
  }

  #advertised(advertisement: Advertisement): void {
    if (this.#stopped) return;
    const known = this.#byAddress.get(advertisement.address);
    if (known === undefined) {
      if (this.#judge(advertisement) === 'wanted') this.#discover(advertisement).advertised(advertisement);
    } else if (this.#nameLearned(known, advertisement)) known.advertised(advertisement);
  }

  /** Judges a known strap again if its name has become known or has changed; false if it was let go for it. */
  #nameLearned(strap: Strap, advertisement: Advertisement): boolean {
    const { names, radio, events } = this.#o;
    const { address, name } = advertisement;
    if (name === undefined || name === names.find(address)?.name) return true;
    const { device } = strap;
    const { renamedFrom } = names.of(address, name, radio.kind);
    const verdict = this.#judge(advertisement);
    if (verdict === 'denied' || verdict === 'not_allowed') {
      this.#byAddress.delete(address);
      void strap.link.stop();
      events.emit('dropped', device);
      return false;
    }
    if (renamedFrom !== undefined) {
      this.#o.log.info(
        { event: 'strap_renamed', device: strap.device, before: device, address, name },
        'a strap has told its name',
      );
      events.emit('discovered', strap, renamedFrom);
    }
    return true;
  }

  /** A name that was learned before counts as well. */
  #judge(advertisement: Advertisement): Verdict {
    const { names, filter } = this.#o;
    const { address } = advertisement;
    const kept = names.find(address);
    const name = advertisement.name ?? kept?.name ?? undefined;
    const verdict = filter.judge({ ...advertisement, name }, kept?.device);
    if (verdict === 'denied' || verdict === 'not_allowed')
      this.#repeats.info(
        `refused ${address}`,
        { event: 'strap_refused', address, name, verdict },
        'ignoring strap: excluded by BLE_ALLOW or BLE_DENY',
      );
    return verdict;
  }

  #discover({ address, name, rssi }: Advertisement): Strap {
    const { names, radio, log, history, events } = this.#o;
    this.#makeRoom();
    const { known, renamedFrom } = names.of(address, name, radio.kind);
    const strap = new Strap({
      known,
      radio,
      log,
      statistics: this.#o.statistics,
      queue: this.#queue,
      limits: this.#limits,
      lowBatteryPercent: this.#o.config.BLE_LOW_BATTERY_PERCENT,
      clock: this.#o.clock,
      slots: this.#slots,
      sink: this.#o.sink,
      events,
      outcomes: {
        readingReceived: () => this.#readingReceived(),
        linkEnded: (reason, error, proven) => this.#linkEnded(reason, error, proven),
        disconnectUnconfirmed: () => {
          this.#unconfirmed += 1;
        },
      },
    });
    this.#byAddress.set(address, strap);
    log.info({ event: 'strap_discovered', device: strap.device, address, name, rssi }, 'discovered a strap');
    strap.restore(history.take(strap.device));
    events.emit('discovered', strap, renamedFrom);
    return strap;
  }

  #makeRoom(): void {
    if (this.#byAddress.size < (this.#o.strapsMax ?? STRAPS_MAX)) return;
    const [oldest] = this.all.filter(({ link }) => !link.occupied).sort((a, b) => a.seenAt - b.seenAt);
    if (oldest === undefined) return;
    this.#byAddress.delete(oldest.address);
    void oldest.link.stop();
    this.#o.log.info(
      { event: 'strap_let_go', device: oldest.device },
      'dropped the strap unseen for longest to make room for a new one',
    );
    this.#o.events.emit('dropped', oldest.device);
  }

  #readingReceived(): void {
    this.#lastReadingAt = performance.now();
    this.#o.statistics.metrics.readings.add();
  }

  #linkEnded(reason: string, error: unknown, proven: boolean): void {
    // Only a new scan reports a strap that returns. One that was not reached is not worth one: it advertises all the time.
    if (reason === 'adapter' || (proven && reason !== 'gave_way')) this.#lostAt = performance.now();
    if (isFruitless(reason, error, proven)) this.#fruitless += 1;
    if (reason === 'failed') this.#slots.learn(error);
  }

  /** To be called about once a second. */
  tick(): void {
    for (const strap of this.all) strap.link.tick();
  }

  /** `advertisedAt`: last advertisement of any peripheral (performance.now()); `scanFailures`: consecutive failed scan starts. */
  health(advertisedAt: number, scanFailures: number): RadioHealth {
    const receiving = this.all.filter(({ link }) => link.receiving).length;
    if (receiving > 0) this.#fruitless = 0;
    return {
      poweredOn: this.#o.radio.state === 'powered_on',
      unresponsive: this.#o.radio.unresponsive,
      aliveAt: Math.max(advertisedAt, this.#lastReadingAt),
      troubled: this.all.filter((strap) => strap.troubled).length,
      scanFailures,
      unconfirmed: this.#unconfirmed,
      fruitless: this.#fruitless,
      receiving,
    };
  }

  /** All links are gone with the radio; straps are connected again at their next advertisement. */
  radioLost(): void {
    this.#unconfirmed = 0;
    this.#fruitless = 0;
    this.#slots.reset();
    for (const { link } of this.all) link.radioLost();
  }

  retryNow(): void {
    for (const { link } of this.all) link.retryNow();
  }

  /** Disconnects a strap and forgets it. */
  async forget(strap: Strap): Promise<void> {
    this.#byAddress.delete(strap.address);
    await strap.link.stop();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.all.map(({ link }) => link.stop()));
  }
}
