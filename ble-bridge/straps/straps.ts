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
import { messageOf } from '../../service/errors/errors.ts';
import { okCheck, warning, type CheckReport } from '../../service/health/check-report.ts';
import { Admission, RANKS, type Rank } from './admission.ts';
import { AliasClaims, type Claim } from './alias-claims.ts';
import { ConnectionSlots } from './connection-slots.ts';
import type { KnownDevice } from './device-file.ts';
import type { DeviceNames } from './device-names.ts';
import { isFruitless } from './link-end.ts';
import { DEFAULT_LIMITS, type LinkLimits } from './link-limits.ts';
import { StrapChanges } from './strap-changes.ts';
import type { StrapFilter } from './strap-filter.ts';
import { StrapGate } from './strap-gate.ts';
import type { StrapClock, StrapEvents, StrapHistory, StrapSink } from './strap-ports.ts';
import { Strap } from './strap.ts';

const CONNECT_TIMEOUT_MS = 10_000;
/** Bounds memory and topics in a place with many strangers and changing addresses: beyond this one that never delivered is dropped. */
const STRAPS_MAX = 500;
const STRANGERS_MAX = 200;
/** A stranger that has not been received for this long is dropped, with its topics. */
const STRANGER_GONE_MS = 300_000;
const SWEEP_EVERY_MS = 10_000;
/** For how long a strap that sent too much is named. */
const EXCESS_NAMED_MS = 60_000;

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
  readonly #gate: StrapGate;
  readonly #admission = new Admission();
  readonly #changes = new StrapChanges();
  readonly #claims = new AliasClaims();
  /** Links that wait until it is certain which strap they belong to, with the names that they told. */
  readonly #undecided = new Map<Strap, { name: string; decided: () => void }>();
  /** Since when the radio would have received a strap. */
  #listeningSince = performance.now();
  #sweptAt = performance.now();
  #unconfirmed = 0;
  #fruitless = 0;
  /** The last strap whose link was ended because it sent too much (performance.now()). */
  #excess: { at: number; text: string } | undefined;
  /** performance.now(), as `#lostAt`. */
  #lastReadingAt = -Infinity;
  #lostAt = -Infinity;
  #stopped = false;

  constructor(options: StrapsOptions) {
    this.#o = options;
    this.#limits = { ...DEFAULT_LIMITS, silenceMs: options.config.BLE_SILENCE_MS, ...options.limits };
    this.#repeats = new RepeatLimiter(options.log);
    this.#gate = new StrapGate(options.names, options.filter, options.log);
    const { config, log, radio } = options;
    const count = (matches: (strap: Strap) => boolean): number => this.all.filter(matches).length;
    const endLinkOfStranger = (): void => this.#endLinkOfStranger();
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
        get occupiedByOwn() {
          return count(({ link, rank }) => link.connected || (link.occupied && rank !== 'stranger'));
        },
        endLinkOfStranger,
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
    return this.#claims.waiting || this.all.some(({ link }) => !link.connected);
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

  #advertised(received: Advertisement): void {
    if (this.#stopped) return;
    const advertisement = this.#withoutShortened(received);
    const known = this.#byAddress.get(advertisement.address);
    if (known === undefined) this.#meet(advertisement);
    else if (this.#nameLearned(known, advertisement) !== 'gone') known.advertised(advertisement);
  }

  /** The beginning of a name tells nothing new about a strap whose whole name is known. */
  #withoutShortened(advertisement: Advertisement): Advertisement {
    const { address, name, isShortened } = advertisement;
    if (isShortened !== true || name === undefined) return advertisement;
    return this.#o.names.find(address)?.name?.startsWith(name) === true ? { ...advertisement, name: undefined } : advertisement;
  }

  /** An address that is not known in this process. */
  #meet(advertisement: Advertisement): void {
    const { address, name, rssi } = advertisement;
    if (!this.#gate.isWanted(advertisement)) return;
    const holder = this.#o.names.aliasHolder(address, name);
    const claim = holder === undefined ? undefined : this.#claimOf(address, holder);
    if (claim === 'wait') return;
    if (holder !== undefined && claim === 'same') return this.#takeOver(holder, advertisement);
    const rank = this.#gate.rankOf(advertisement);
    if (!this.#admission.admits(address, rank, rssi) || !this.#makeRoom(rank)) return;
    const { strap, renamedFrom } = this.#add(advertisement, rank);
    if (claim === 'apart') this.#o.names.setApart(address);
    this.#logDiscovered(strap, advertisement);
    strap.restore(this.#o.history.take(strap.device));
    this.#o.events.emit('discovered', strap, renamedFrom);
    strap.advertised(advertisement);
  }

  #logDiscovered(strap: Strap, { address, name, rssi }: Advertisement): void {
    const fields = { event: 'strap_discovered', device: strap.device, address, name, rssi };
    if (strap.rank === 'stranger' && this.#admission.check().status !== 'ok')
      this.#repeats.info('stranger', fields, 'discovered a strap, one of many');
    else this.#o.log.info(fields, 'discovered a strap');
  }

  #claimOf(address: string, holder: KnownDevice): Claim {
    const seenAt = this.#byAddress.get(holder.address)?.seenAt ?? -Infinity;
    return this.#claims.decide(address, seenAt, this.#listeningSince);
  }

  /** The strap that has this alias has a new address: it stays one device. `isRead`: as for `#nameLearned`. */
  #takeOver(holder: KnownDevice, advertisement: Advertisement, isRead = false): void {
    const { names, log, history, events } = this.#o;
    const { address, name } = advertisement;
    const { device } = holder;
    const former = this.#byAddress.get(holder.address);
    names.takeOver(holder);
    if (former !== undefined) {
      this.#byAddress.delete(holder.address);
      void former.link.stop();
    }
    const known = this.#byAddress.get(address);
    const { strap, renamedFrom } =
      known === undefined
        ? this.#add(advertisement, 'own')
        : { strap: known, renamedFrom: names.of(address, name, this.#o.radio.kind, isRead).renamedFrom };
    strap.rank = 'own';
    if (former === undefined) strap.restore(history.take(device));
    else strap.succeed(former);
    log.info(
      { event: 'strap_address_changed', device, before: holder.address, address, name },
      'a strap that is known by its name has a new address',
    );
    events.emit('discovered', strap, renamedFrom);
    if (!isRead) strap.advertised(advertisement);
  }

  /**
   * Judges a known strap again if its name has become known or has changed; `isRead`: over its link, not by an advertisement. Returns
   * `undecided` if it is not certain yet which strap it is: then nothing has been learned. `gone`: this strap takes no advertisement now.
   */
  #nameLearned(strap: Strap, advertisement: Advertisement, isRead = false): 'known' | 'undecided' | 'gone' {
    const { names, radio, log, events } = this.#o;
    const { address, name } = advertisement;
    if (name === undefined || name === names.find(address)?.name) return 'known';
    const { device } = strap;
    if (this.#gate.excludes(advertisement)) {
      // Its topics have the name that it had before.
      this.#drop(strap);
      names.of(address, name, radio.kind, isRead);
      return 'gone';
    }
    const holder = names.aliasHolder(address, name, isRead);
    const claim = holder === undefined ? undefined : this.#claimOf(address, holder);
    if (claim === 'wait') return 'undecided';
    if (holder !== undefined && claim === 'same') {
      this.#takeOver(holder, advertisement, isRead);
      return 'gone';
    }
    const { renamedFrom } = names.of(address, name, radio.kind, isRead);
    if (claim === 'apart') names.setApart(address);
    strap.rank = this.#gate.rankOf(advertisement);
    if (renamedFrom !== undefined)
      log.info({ event: 'strap_renamed', device: strap.device, before: device, address, name }, 'a strap has told its name');
    if (renamedFrom !== undefined || isRead) events.emit('discovered', strap, renamedFrom);
    return 'known';
  }

  /** A strap told a name over its link. Resolves once it is certain which strap it is, or its link has ended. */
  async #named(strap: Strap, name: string): Promise<void> {
    if (!this.#isUndecided(strap, name)) return;
    await new Promise<void>((decided) => this.#undecided.set(strap, { name, decided }));
  }

  #isUndecided(strap: Strap, name: string): boolean {
    const { advertisement } = strap;
    if (advertisement === undefined || !strap.link.connected || this.#stopped) return false;
    return this.#nameLearned(strap, { ...advertisement, name, isShortened: false }, true) === 'undecided';
  }

  /** Makes an address a strap. */
  #add({ address, name }: Advertisement, rank: Rank): { strap: Strap; renamedFrom: string | undefined } {
    const { names, radio, log, events } = this.#o;
    const { known, renamedFrom } = names.of(address, name, radio.kind);
    const strap = new Strap({
      known,
      rank,
      radio,
      log,
      repeats: this.#repeats,
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
        delivered: () => names.delivered(address),
        servicesFound: (services) => this.#changes.servicesFound(strap, services),
        named: async (told) => await this.#named(strap, told),
        linkEnded: (reason, error, proven) => this.#linkEnded(strap.device, reason, error, proven),
        disconnectUnconfirmed: () => {
          this.#unconfirmed += 1;
        },
      },
    });
    this.#byAddress.set(address, strap);
    return { strap, renamedFrom };
  }

  /** Drops a strap if there are too many; false if all others come before one of this rank. */
  #makeRoom(rank: Rank): boolean {
    const most = this.#o.strapsMax ?? STRAPS_MAX;
    const strangers = this.all.filter((strap) => strap.rank === 'stranger').length;
    if (this.#byAddress.size < most && (rank !== 'stranger' || strangers < STRANGERS_MAX)) return true;
    const [last] = this.all
      .filter((strap) => !strap.link.occupied && RANKS[strap.rank] >= RANKS[rank])
      .sort((a, b) => RANKS[b.rank] - RANKS[a.rank] || a.seenAt - b.seenAt);
    if (last === undefined) return false;
    this.#drop(last);
    this.#repeats.info(
      'let_go',
      { event: 'strap_let_go', device: last.device, rank: last.rank },
      'dropped a strap to make room for a new one: strangers first, then those unseen for longest',
    );
    return true;
  }

  /** Forgets a strap, and removes its topics. */
  #drop(strap: Strap): void {
    this.#byAddress.delete(strap.address);
    void strap.link.stop();
    this.#o.events.emit('dropped', strap.device);
  }

  /** A strap of our own needs a slot: ends the link that has been open for longest of those that have delivered nothing. */
  #endLinkOfStranger(): void {
    this.all.find(({ link, rank }) => link.connected && rank === 'stranger')?.link.giveWay();
  }

  /** Strangers that have left take their topics with them. */
  #sweep(now: number): void {
    if (now - this.#sweptAt < SWEEP_EVERY_MS) return;
    this.#sweptAt = now;
    for (const strap of this.all)
      if (strap.rank === 'stranger' && !strap.link.occupied && now - strap.seenAt > STRANGER_GONE_MS) this.#drop(strap);
  }

  /** The health checks of what is in the air. */
  checks(): CheckReport[] {
    return [this.#admission.check(), this.#packetsCheck(), this.#changes.check()];
  }

  /** What straps send. Passes a minute after the last excess. */
  #packetsCheck(): CheckReport {
    const excess = this.#excess;
    if (excess === undefined || performance.now() - excess.at > EXCESS_NAMED_MS) return okCheck('straps');
    return warning('straps', 'strap_sends_too_much', excess.text);
  }

  #readingReceived(): void {
    this.#lastReadingAt = performance.now();
    this.#o.statistics.metrics.readings.add();
  }

  #linkEnded(device: string, reason: string, error: unknown, proven: boolean): void {
    if (reason === 'too_many_packets') this.#excess = { at: performance.now(), text: `${device}: ${messageOf(error)}` };
    // Only a new scan reports a strap that returns. One that was not reached is not worth one: it advertises all the time.
    if (reason === 'adapter' || (proven && reason !== 'gave_way')) this.#lostAt = performance.now();
    if (isFruitless(reason, error, proven)) this.#fruitless += 1;
    if (reason === 'failed') this.#slots.learn(error);
  }

  /** To be called about once a second. */
  tick(): void {
    for (const strap of this.all) strap.link.tick();
    for (const [strap, { name, decided }] of this.#undecided)
      if (!this.#isUndecided(strap, name)) {
        this.#undecided.delete(strap);
        decided();
      }
    this.#sweep(performance.now());
  }

  /** The radio receives from now on. */
  radioOn(): void {
    this.#listeningSince = performance.now();
    this.#claims.clear();
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
    for (const { decided } of this.#undecided.values()) decided();
    await Promise.all(this.all.map(({ link }) => link.stop()));
  }
}
