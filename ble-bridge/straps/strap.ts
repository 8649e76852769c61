/** One strap: its link, status, readings and gaps. */
import type { DeviceStatus, DeviceState } from '../../contract/device-status.ts';
import { messageOf } from '../../service/errors/errors.ts';
import { RepeatLimiter, type Logger } from '../../service/log/log.ts';
import type { ConnectQueue } from '../radio/connect-queue.ts';
import type { Rank } from './admission.ts';
import type { ConnectSlots } from './connection-slots.ts';
import type { KnownDevice } from './device-file.ts';
import { GapTracker } from './gap-tracker.ts';
import { gapCauseOf } from './link-end.ts';
import { rrToMs, type HeartRateMeasurement } from '../gatt/hrm-parser.ts';
import { LastMinute, ReconnectTimes, type Disconnects, type RadioStatistics } from '../radio/radio-statistics.ts';
import type { Advertisement, Radio } from '../radio/radio.ts';
import type { LinkLimits } from './link-limits.ts';
import { SensorLink } from './sensor-link.ts';
import type { StrapInformation } from './strap-information.ts';
import type { EarlierStrap, StrapClock, StrapEvents, StrapSink } from './strap-ports.ts';

/** What a strap reports for the health of the radio and its limits. */
export interface LinkOutcomes {
  readingReceived(): void;
  /** The strap delivers, or did so before. */
  delivered(): void;
  /** It was connected, and these are its services, as a text that can be compared. */
  servicesFound(services: string): void;
  /** It told the name that it does not advertise. Resolves once it is certain which strap it is. */
  named(name: string): Promise<void>;
  /** `proven`: the strap has delivered before. */
  linkEnded(reason: string, error: unknown, proven: boolean): void;
  disconnectUnconfirmed(): void;
}

export interface StrapOptions {
  known: KnownDevice;
  rank: Rank;
  radio: Radio;
  queue: ConnectQueue;
  log: Logger;
  /** Shared by all straps: strangers are too many for lines of their own. */
  repeats: RepeatLimiter;
  limits: LinkLimits;
  statistics: RadioStatistics;
  lowBatteryPercent: number;
  clock: StrapClock;
  slots: ConnectSlots;
  sink: StrapSink;
  events: StrapEvents;
  outcomes: LinkOutcomes;
}

export class Strap {
  readonly #o: StrapOptions;
  readonly #repeats: RepeatLimiter;
  readonly link: SensorLink;
  #rank: Rank;
  #gaps = new GapTracker();
  readonly #information: StrapInformation = {
    battery_percent: null,
    rssi: null,
    manufacturer: null,
    model: null,
    firmware: null,
    body_sensor_location: null,
  };
  #since = new Date().toISOString();
  #lastReadingAt: string | null = null;
  #readings = 0;
  #reconnects = 0;
  #connections = 0;
  readonly #disconnects: Disconnects = {};
  readonly #reconnectTimes = new ReconnectTimes();
  readonly #advertisements = new LastMinute();
  #seenAt = performance.now();
  #lostAt: number | undefined;
  #advertisement: Advertisement | undefined;
  /** There is, or was until now, a link. */
  #linked = false;

  constructor(options: StrapOptions) {
    this.#o = options;
    this.#repeats = new RepeatLimiter(options.log);
    this.#rank = options.rank;
    const { known, radio, queue, log, limits, slots } = options;
    this.link = new SensorLink({
      address: known.address,
      radio,
      queue,
      log,
      limits,
      slots,
      isListed: () => this.#rank !== 'stranger',
      lacksName: () => this.#advertisement?.name === undefined || this.#advertisement.isShortened === true,
      observer: {
        measurement: (measurement) => this.#measured(measurement),
        malformed: (reason, bytes) => this.#malformed(reason, bytes),
        stateChanged: (state, before) => this.#entered(state, before),
        shownChanged: () => {
          this.#since = new Date().toISOString();
          options.events.emit('status', this);
        },
        information: (information) => this.#informationRead(information),
        connected: () => this.#connected(),
        servicesFound: (services) => options.outcomes.servicesFound(services),
        named: async (name) => await options.outcomes.named(name),
        ended: (reason, error) => this.#ended(reason, error),
        disconnectUnconfirmed: () => options.outcomes.disconnectUnconfirmed(),
      },
    });
  }

  get device(): string {
    return this.#o.known.device;
  }

  get address(): string {
    return this.#o.known.address;
  }

  /** When it was last known to be in range (performance.now()): now while it is connected, else its last advertisement or end of a link. */
  get seenAt(): number {
    return this.link.connected ? performance.now() : this.#seenAt;
  }

  /** What it may claim before others. */
  get rank(): Rank {
    return this.link.proven ? 'own' : this.#rank;
  }

  set rank(rank: Rank) {
    this.#rank = rank;
  }

  /** The last one. */
  get advertisement(): Advertisement | undefined {
    return this.#advertisement;
  }

  get readings(): number {
    return this.#readings;
  }

  /** True while it delivers nothing: silent, or not connected. */
  get troubled(): boolean {
    return this.link.state === 'silent' || !this.link.connected;
  }

  advertised(advertisement: Advertisement): void {
    this.#advertisement = advertisement;
    this.#seenAt = performance.now();
    this.#advertisements.add(this.#seenAt);
    if (advertisement.rssi !== null) this.#information.rssi = advertisement.rssi;
    this.link.advertised(advertisement.connectable);
  }

  /** Continues from what an earlier process left: the values of its retained status, and the time of its last reading. */
  restore({ status, lastReadingAt }: EarlierStrap): void {
    if (status !== undefined) this.#restoreStatus(status);
    if (lastReadingAt !== undefined) this.#restoreLastReading(lastReadingAt);
  }

  /** Continues what the same strap was under its former address: one device. It may be connected already. */
  succeed(former: Strap): void {
    this.#gaps = former.#gaps;
    Object.assign(this.#information, former.#information);
    this.#lastReadingAt = former.#lastReadingAt;
    this.#readings += former.#readings;
    if (former.#connections > 0) this.#reconnects = former.#reconnects + this.#connections;
    this.#connections += former.#connections;
    this.#lostAt = former.#lostAt;
    for (const [reason, times] of Object.entries(former.#disconnects))
      this.#disconnects[reason] = (this.#disconnects[reason] ?? 0) + times;
    if (former.link.proven) this.#provenBefore();
  }

  #provenBefore(): void {
    this.link.deliveredBefore();
    this.#o.outcomes.delivered();
  }

  #restoreLastReading(at: string): void {
    if (this.#readings > 0 || (this.#lastReadingAt !== null && this.#lastReadingAt >= at)) return;
    this.#lastReadingAt = at;
    this.#gaps.restore(at);
    this.#provenBefore();
  }

  #restoreStatus(status: DeviceStatus): void {
    if (status.last_reading_at !== null) this.#restoreLastReading(status.last_reading_at);
    for (const field of ['battery_percent', 'manufacturer', 'model', 'firmware', 'body_sensor_location'] as const)
      if (this.#information[field] === null) Object.assign(this.#information, { [field]: status[field] });
  }

  status(): DeviceStatus {
    const { known, radio, lowBatteryPercent } = this.#o;
    const battery = this.#information.battery_percent;
    const { p50, p95 } = this.#reconnectTimes.percentiles;
    return {
      device: known.device,
      ...this.link.shown,
      since: this.#since,
      name: known.name,
      address: known.address,
      ...this.#information,
      battery_low: battery !== null && battery <= lowBatteryPercent,
      last_reading_at: this.#lastReadingAt,
      readings: this.#readings,
      reconnects: this.#reconnects,
      source: radio.kind,
      adapter_state: radio.state,
      advertisements_per_minute: this.#advertisements.count(),
      connects: this.#connections,
      disconnects: { ...this.#disconnects },
      reconnect_ms_p50: p50,
      reconnect_ms_p95: p95,
    };
  }

  #measured(measurement: HeartRateMeasurement): void {
    if (measurement.bpm === 0) return this.#gaps.explain('no_pulse');
    const now = Date.now();
    const timestamp = new Date(now).toISOString();
    const gap = this.#gaps.reading(now, performance.now());
    if (gap !== undefined) this.#o.sink.gap(this.device, gap);
    this.#readings += 1;
    this.#lastReadingAt = timestamp;
    const { kind } = this.#o.radio;
    this.#o.outcomes.readingReceived();
    if (this.#readings === 1) this.#o.outcomes.delivered();
    this.#o.sink.reading({
      timestamp,
      heart_rate: measurement.bpm,
      device: this.device,
      rr_intervals_ms: measurement.rr1024.map(rrToMs),
      sensor_contact: measurement.contact,
      energy_expended_kj: measurement.energyKj,
      clock: this.#o.clock.state(),
      ...(kind === 'noble' ? {} : { source: kind }),
    });
  }

  #malformed(reason: string, bytes: Buffer): void {
    this.#o.statistics.metrics.malformed.add(1, { reason });
    this.#repeats.warn(
      'malformed',
      { event: 'notification_malformed', device: this.device, reason, bytes: bytes.subarray(0, 32).toString('hex') },
      'a strap sent a malformed heart rate notification',
    );
  }

  #entered(state: DeviceState, before: DeviceState): void {
    if (state === 'no_pulse') this.#gaps.explain('no_pulse');
    if (state === 'silent') {
      this.#gaps.explain('sensor_silent');
      this.#o.log.warn(
        { event: 'strap_silent', device: this.device },
        'no valid notification from a connected strap; subscribing again',
      );
    }
    if (before === 'subscribing' && state !== 'lost') {
      if (this.#lostAt !== undefined) this.#reconnected(performance.now() - this.#lostAt);
      this.#lostAt = undefined;
      this.#o.log.info({ event: 'strap_streaming', device: this.device, state }, 'receiving readings');
    }
  }

  #reconnected(ms: number): void {
    this.#reconnectTimes.add(ms);
    this.#o.statistics.reconnected(ms);
  }

  #connected(): void {
    this.#linked = true;
    this.#connections += 1;
    if (this.#connections > 1) this.#reconnects += 1;
    this.#o.statistics.connected();
    this.#o.log.info(
      { event: 'strap_connected', device: this.device, address: this.address, rssi: this.#information.rssi },
      'connected',
    );
  }

  #ended(reason: string, error: unknown): void {
    if (this.#linked) this.#seenAt = performance.now();
    this.#linked = false;
    if (this.#readings > 0) this.#lostAt ??= performance.now();
    this.#gaps.explain(gapCauseOf(reason));
    this.#disconnects[reason] = (this.#disconnects[reason] ?? 0) + 1;
    this.#o.statistics.ended(reason);
    const fields = {
      event: 'strap_lost',
      device: this.device,
      reason,
      ...(error === undefined ? {} : { detail: messageOf(error) }),
    };
    if (reason === 'ended_by_us') this.#o.log.info(fields, 'disconnected');
    else if (this.rank === 'stranger')
      this.#o.repeats.warn(
        `ended ${reason}`,
        fields,
        'the link to a strap that has delivered nothing ended, or was not established',
      );
    else this.#repeats.warn(`ended ${reason}`, fields, 'the link to a strap ended; reconnecting at its next advertisement');
    this.#o.outcomes.linkEnded(reason, error, this.link.proven);
    this.#o.events.emit('status', this);
  }

  #informationRead(information: Partial<StrapInformation>): void {
    const before = JSON.stringify(this.#information);
    Object.assign(this.#information, information);
    if (JSON.stringify(this.#information) !== before) this.#o.events.emit('status', this);
  }
}
