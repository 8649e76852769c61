/**
 * A radio without hardware: its straps exist in this process only. Simulated and replayed straps advertise, accept connections and
 * send notifications (bytes) like real ones, so that links, parser and outbox are the same for all sources.
 */
import { EventEmitter } from 'node:events';
import { RadioError } from '../radio-error.ts';
import {
  CHARACTERISTICS,
  SERVICES,
  type ConnectOptions,
  type Radio,
  type RadioCharacteristic,
  type RadioConnection,
  type RadioEvents,
  type RadioState,
} from '../radio.ts';

const ADVERTISE_EVERY_MS = 1000;

export interface SoftStrapOptions {
  address: string;
  name: string;
  rssi: number;
  batteryPercent: number;
  manufacturer: string;
  model: string;
  firmware: string;
  /** Value of 0x2A38. */
  bodySensorLocation: number;
}

/** One strap: its properties, whether it is in range, and who is subscribed. */
export class SoftStrap {
  readonly options: SoftStrapOptions;
  present = true;
  rssi: number;
  #battery: number;
  #onMeasurement: ((value: Buffer) => void) | undefined;
  #onBattery: ((value: Buffer) => void) | undefined;
  #onDisconnect: ((reason: string) => void) | undefined;
  /** Called when 0x2A39 resets the energy count. */
  onEnergyReset: () => void = () => {};

  constructor(options: SoftStrapOptions) {
    this.options = options;
    this.rssi = options.rssi;
    this.#battery = options.batteryPercent;
  }

  get connected(): boolean {
    return this.#onDisconnect !== undefined;
  }

  get subscribed(): boolean {
    return this.#onMeasurement !== undefined;
  }

  /** Sends a notification of 0x2A37; false if nobody is subscribed. */
  notify(bytes: Buffer): boolean {
    this.#onMeasurement?.(bytes);
    return this.#onMeasurement !== undefined;
  }

  set battery(percent: number) {
    if (percent === this.#battery) return;
    this.#battery = percent;
    this.#onBattery?.(Buffer.from([percent]));
  }

  get battery(): number {
    return this.#battery;
  }

  /** Ends the link from the strap's side. */
  drop(reason: string): void {
    const onDisconnect = this.#onDisconnect;
    this.forgetLink();
    onDisconnect?.(reason);
  }

  forgetLink(): void {
    this.#onMeasurement = undefined;
    this.#onBattery = undefined;
    this.#onDisconnect = undefined;
  }

  link(onDisconnect: (reason: string) => void): void {
    if (this.connected) throw new RadioError('connect_failed', 'the strap is already connected');
    this.#onDisconnect = onDisconnect;
  }

  heartRateCharacteristics(): RadioCharacteristic[] {
    return [
      new SoftCharacteristic(CHARACTERISTICS.heartRateMeasurement, { subscribe: (onData) => (this.#onMeasurement = onData) }),
      new SoftCharacteristic(CHARACTERISTICS.bodySensorLocation, { read: () => Buffer.from([this.options.bodySensorLocation]) }),
      new SoftCharacteristic(CHARACTERISTICS.heartRateControlPoint, { write: () => this.onEnergyReset() }),
    ];
  }

  optionalCharacteristics(): RadioCharacteristic[] {
    const text = (uuid: string, value: string): RadioCharacteristic =>
      new SoftCharacteristic(uuid, { read: () => Buffer.from(value) });
    return [
      new SoftCharacteristic(CHARACTERISTICS.batteryLevel, {
        read: () => Buffer.from([this.#battery]),
        subscribe: (onData) => (this.#onBattery = onData),
      }),
      text(CHARACTERISTICS.manufacturer, this.options.manufacturer),
      text(CHARACTERISTICS.model, this.options.model),
      text(CHARACTERISTICS.firmware, this.options.firmware),
    ];
  }
}

interface SoftActions {
  read?: () => Buffer;
  write?: (value: Buffer) => void;
  subscribe?: (onData: (value: Buffer) => void) => void;
}

class SoftCharacteristic implements RadioCharacteristic {
  readonly uuid: string;
  readonly #actions: SoftActions;

  constructor(uuid: string, actions: SoftActions) {
    this.uuid = uuid;
    this.#actions = actions;
  }

  get notifies(): boolean {
    return this.#actions.subscribe !== undefined;
  }

  get readable(): boolean {
    return this.#actions.read !== undefined;
  }

  async read(): Promise<Buffer> {
    if (this.#actions.read === undefined) throw new RadioError('not_supported', 'not readable');
    return await Promise.resolve(this.#actions.read());
  }

  async write(value: Buffer): Promise<void> {
    if (this.#actions.write === undefined) throw new RadioError('not_supported', 'not writable');
    this.#actions.write(value);
    await Promise.resolve();
  }

  async subscribe(onData: (value: Buffer) => void): Promise<void> {
    if (this.#actions.subscribe === undefined) throw new RadioError('not_supported', 'does not notify');
    this.#actions.subscribe(onData);
    await Promise.resolve();
  }
}

class SoftConnection implements RadioConnection {
  readonly answeredAt = -Infinity;
  /** A recording may be replayed at any speed. */
  readonly unasked = { packets: 0, bytes: 0, others: 0 };
  readonly #strap: SoftStrap;

  constructor(strap: SoftStrap) {
    this.#strap = strap;
  }

  async discover(): Promise<RadioCharacteristic[]> {
    return await Promise.resolve(this.#strap.heartRateCharacteristics());
  }

  async discoverOptional(): Promise<RadioCharacteristic[]> {
    return await Promise.resolve(this.#strap.optionalCharacteristics());
  }

  async readName(): Promise<string | undefined> {
    return await Promise.resolve(this.#strap.options.name);
  }

  async readRssi(): Promise<number> {
    return await Promise.resolve(this.#strap.rssi);
  }

  async disconnect(): Promise<void> {
    this.#strap.drop('ended_by_us');
    await Promise.resolve();
  }

  abandon(): void {
    this.#strap.forgetLink();
  }
}

/** Makes the straps send; started and stopped with the radio. */
export interface SoftSource {
  readonly kind: 'simulated' | 'replay';
  readonly straps: readonly SoftStrap[];
  start(): void;
  stop(): void;
}

export class SoftRadio implements Radio {
  readonly adapter = null;
  readonly stateReason = '';
  readonly unresponsive = false;
  readonly events = new EventEmitter<RadioEvents>();
  readonly source: SoftSource;
  #state: RadioState = 'starting';
  #advertising: NodeJS.Timeout | undefined;

  constructor(source: SoftSource) {
    this.source = source;
  }

  get kind(): 'simulated' | 'replay' {
    return this.source.kind;
  }

  get state(): RadioState {
    return this.#state;
  }

  async start(): Promise<void> {
    this.#state = 'powered_on';
    this.source.start();
    this.#advertising = setInterval(() => this.#advertise(), ADVERTISE_EVERY_MS);
    this.events.emit('state');
    await Promise.resolve();
  }

  async stop(): Promise<void> {
    clearInterval(this.#advertising);
    this.source.stop();
    this.#state = 'powered_off';
    await Promise.resolve();
  }

  async scan(): Promise<void> {
    setImmediate(() => this.#advertise());
    await Promise.resolve();
  }

  #advertise(): void {
    if (this.#state !== 'powered_on') return;
    for (const strap of this.source.straps) {
      if (!strap.present || strap.connected) continue;
      const { address, name } = strap.options;
      this.events.emit('advertisement', {
        address,
        name,
        rssi: strap.rssi,
        connectable: true,
        serviceUuids: [SERVICES.heartRate],
      });
    }
  }

  async connect(address: string, { onDisconnect }: ConnectOptions): Promise<RadioConnection> {
    const strap = this.source.straps.find(({ options }) => options.address === address);
    if (strap === undefined || !strap.present) throw new RadioError('not_in_range', 'the strap is not in range');
    strap.link(onDisconnect);
    return await Promise.resolve(new SoftConnection(strap));
  }

  async rebuild(): Promise<void> {
    for (const strap of this.source.straps) strap.forgetLink();
    await Promise.resolve();
  }
}
