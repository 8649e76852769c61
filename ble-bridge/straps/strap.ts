/** One strap as the outside sees it: its link, its status, its readings and its gaps. */
import type { DeviceStatus, DeviceState, Gap, GapCause } from '../../contract/device-status.ts';
import type { Reading } from '../../contract/reading.ts';
import { messageOf } from '../../service/errors/errors.ts';
import { RepeatLimiter, type Logger } from '../../service/log/log.ts';
import type { ConnectQueue } from '../radio/connect-queue.ts';
import type { KnownDevice } from './device-names.ts';
import { GapTracker } from './gap-tracker.ts';
import { rrToMs, type HeartRateMeasurement } from '../gatt/hrm-parser.ts';
import { LastMinute, ReconnectTimes, type Disconnects, type RadioStatistics } from '../radio/radio-statistics.ts';
import type { Advertisement, Radio } from '../radio/radio.ts';
import { SensorLink, type LinkLimits } from './sensor-link.ts';
import type { StrapInformation } from './strap-information.ts';

/** A reading before the outbox has numbered it. */
export type ReadingFields = Omit<Reading, 'gateway' | 'run' | 'seq'>;

export interface StrapOptions {
  known: KnownDevice;
  radio: Radio;
  queue: ConnectQueue;
  log: Logger;
  limits: LinkLimits;
  statistics: RadioStatistics;
  lowBatteryPercent: number;
  clock: () => Reading['clock'];
  mayConnect: () => boolean;
  hasPlace: () => boolean;
  accept: (fields: ReadingFields) => void;
  /** The status has changed in something that should be seen soon. */
  onStatus: (strap: Strap) => void;
  onGap: (strap: Strap, gap: Gap) => void;
  onEnded: (strap: Strap, reason: string, error: unknown) => void;
  onUnconfirmedDisconnect: () => void;
}

/** What a lost link explains. A strap that ends the link by itself has no contact, is taken off, or is switched off. */
function gapCauseOf(reason: string): GapCause {
  if (reason === 'adapter') return 'adapter';
  return reason === 'silent' ? 'sensor_silent' : 'out_of_range';
}

export class Strap {
  readonly #o: StrapOptions;
  readonly #repeats: RepeatLimiter;
  readonly link: SensorLink;
  readonly #gaps = new GapTracker();
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
  readonly #heard = new LastMinute();
  #heardAt = performance.now();
  #lostAt: number | undefined;

  constructor(options: StrapOptions) {
    this.#o = options;
    this.#repeats = new RepeatLimiter(options.log);
    const { known, radio, queue, log, limits, mayConnect, hasPlace } = options;
    this.link = new SensorLink({
      address: known.address,
      radio,
      queue,
      log,
      limits,
      mayConnect,
      hasPlace,
      onMeasurement: (measurement) => this.#measured(measurement),
      onMalformed: (reason, bytes) => this.#malformed(reason, bytes),
      onState: (state, before) => this.#entered(state, before),
      onInformation: (information) => this.#learnt(information),
      onConnected: () => this.#connected(),
      onEnded: (reason, error) => this.#ended(reason, error),
      onUnconfirmedDisconnect: options.onUnconfirmedDisconnect,
    });
  }

  get device(): string {
    return this.#o.known.device;
  }

  get address(): string {
    return this.#o.known.address;
  }

  /** When it was last heard or connected (performance.now). */
  get heardAt(): number {
    return this.link.connected ? performance.now() : this.#heardAt;
  }

  get readings(): number {
    return this.#readings;
  }

  /** True where nothing comes from it now. */
  get troubled(): boolean {
    return this.link.state === 'silent' || !this.link.connected;
  }

  advertised(advertisement: Advertisement): void {
    this.#heardAt = performance.now();
    this.#heard.add(this.#heardAt);
    if (advertisement.rssi !== null) this.#information.rssi = advertisement.rssi;
    this.link.advertised();
  }

  /** When an earlier process read this strap last: where the broker has forgotten its status, the bridge has not. */
  seedLastReading(at: string): void {
    if (this.#readings > 0 || (this.#lastReadingAt !== null && this.#lastReadingAt >= at)) return;
    this.#lastReadingAt = at;
    this.#gaps.seed(at);
  }

  /** What an earlier process left on the retained status. */
  seed(status: DeviceStatus): void {
    if (status.last_reading_at !== null) this.seedLastReading(status.last_reading_at);
    for (const field of ['battery_percent', 'manufacturer', 'model', 'firmware', 'body_sensor_location'] as const)
      if (this.#information[field] === null) Object.assign(this.#information, { [field]: status[field] });
  }

  status(): DeviceStatus {
    const { known, radio, lowBatteryPercent } = this.#o;
    const battery = this.#information.battery_percent;
    const { p50, p95 } = this.#reconnectTimes.percentiles;
    return {
      device: known.device,
      state: this.link.state,
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
      advertisements_per_minute: this.#heard.count(),
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
    if (gap !== undefined) this.#o.onGap(this, gap);
    this.#readings += 1;
    this.#lastReadingAt = timestamp;
    const { kind } = this.#o.radio;
    this.#o.accept({
      timestamp,
      heart_rate: measurement.bpm,
      device: this.device,
      rr_intervals_ms: measurement.rr1024.map(rrToMs),
      sensor_contact: measurement.contact,
      energy_expended_kj: measurement.energyKj,
      clock: this.#o.clock(),
      ...(kind === 'noble' ? {} : { source: kind }),
    });
  }

  #malformed(reason: string, bytes: Buffer): void {
    this.#o.statistics.malformed.add(1, { reason });
    this.#repeats.warn(
      'malformed',
      { event: 'notification_malformed', device: this.device, reason, bytes: bytes.subarray(0, 32).toString('hex') },
      'a strap sent bytes that are no heart rate',
    );
  }

  #entered(state: DeviceState, before: DeviceState): void {
    this.#since = new Date().toISOString();
    if (state === 'no_pulse') this.#gaps.explain('no_pulse');
    if (state === 'silent') {
      this.#gaps.explain('sensor_silent');
      this.#o.log.warn({ event: 'strap_silent', device: this.device }, 'a connected strap sends nothing');
    }
    if (before === 'subscribing' && state !== 'lost') {
      if (this.#lostAt !== undefined) this.#reconnected(performance.now() - this.#lostAt);
      this.#lostAt = undefined;
      this.#o.log.info({ event: 'strap_streaming', device: this.device, state }, 'readings come');
    }
    this.#o.onStatus(this);
  }

  #reconnected(ms: number): void {
    this.#reconnectTimes.add(ms);
    this.#o.statistics.reconnected(ms);
  }

  #connected(): void {
    this.#connections += 1;
    if (this.#connections > 1) this.#reconnects += 1;
    this.#o.statistics.connected();
    this.#o.log.info(
      { event: 'strap_connected', device: this.device, address: this.address, rssi: this.#information.rssi },
      'connected',
    );
  }

  #ended(reason: string, error: unknown): void {
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
    else this.#repeats.warn(`ended ${reason}`, fields, 'the link to a strap ended; it is connected again when it is heard');
    this.#o.onEnded(this, reason, error);
    this.#o.onStatus(this);
  }

  #learnt(information: Partial<StrapInformation>): void {
    const before = JSON.stringify(this.#information);
    Object.assign(this.#information, information);
    if (JSON.stringify(this.#information) !== before) this.#o.onStatus(this);
  }
}
