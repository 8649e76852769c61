/** Reads what a strap offers beside the heart rate: battery, device information, body location, signal strength. All optional. */
import { messageOf } from '../../service/errors/errors.ts';
import type { Logger } from '../../service/log/log.ts';
import { parseBatteryLevel, parseBodySensorLocation, parseText } from '../gatt/optional-values.ts';
import { CHARACTERISTICS, type RadioCharacteristic, type RadioConnection } from '../radio/radio.ts';
import type { LinkLimits } from './link-limits.ts';
import { runStep } from './link-step.ts';

export interface StrapInformation {
  battery_percent: number | null;
  rssi: number | null;
  manufacturer: string | null;
  model: string | null;
  firmware: string | null;
  body_sensor_location: string | null;
}

interface ReadOptions {
  connection: RadioConnection;
  characteristics: readonly RadioCharacteristic[];
  /** Runs one request with its timeout. */
  step: <T>(what: string, run: () => Promise<T>) => Promise<T>;
  /** True right after the connect: also reads constant values, and subscribes to the battery level. */
  first: boolean;
  batteryEveryMs: number;
  onInformation: (information: Partial<StrapInformation>) => void;
}

const TEXTS = [
  [CHARACTERISTICS.manufacturer, 'manufacturer'],
  [CHARACTERISTICS.model, 'model'],
  [CHARACTERISTICS.firmware, 'firmware'],
] as const;

const lastBatteryRead = new WeakMap<RadioCharacteristic, number>();

/** Reads the values that are present, one request at a time. Rejects at the first request that fails or times out. */
async function readStrapInformation(options: ReadOptions): Promise<void> {
  const { connection, characteristics, step, first, onInformation } = options;
  const find = (uuid: string): RadioCharacteristic | undefined =>
    characteristics.find((characteristic) => characteristic.uuid === uuid);
  const read = async (characteristic: RadioCharacteristic): Promise<Buffer> =>
    await step(`read ${characteristic.uuid}`, () => characteristic.read());
  const battery = find(CHARACTERISTICS.batteryLevel);
  const onBattery = (bytes: Buffer): void => {
    const level = parseBatteryLevel(bytes);
    if (level !== null) onInformation({ battery_percent: level });
  };
  const batteryDue =
    battery !== undefined && performance.now() - (lastBatteryRead.get(battery) ?? -Infinity) > options.batteryEveryMs;
  if (battery !== undefined && battery.readable && (first || (batteryDue && !battery.notifies))) {
    lastBatteryRead.set(battery, performance.now());
    onBattery(await read(battery));
  }
  if (first && battery?.notifies === true) await step('subscribe battery', () => battery.subscribe(onBattery));
  if (first) {
    const location = find(CHARACTERISTICS.bodySensorLocation);
    if (location?.readable === true) onInformation({ body_sensor_location: parseBodySensorLocation(await read(location)) });
    for (const [uuid, field] of TEXTS) {
      const characteristic = find(uuid);
      if (characteristic?.readable === true) onInformation({ [field]: parseText(await read(characteristic)) });
    }
  }
  onInformation({ rssi: await step('read signal strength', () => connection.readRssi()) });
}

/** A link whose strap is read; `signal` is aborted when it ends. */
export interface ReadLink {
  connection: RadioConnection;
  signal: AbortSignal;
  /** Those of its heart rate service. */
  characteristics: readonly RadioCharacteristic[];
}

export interface InformationReaderOptions {
  address: string;
  log: Logger;
  limits: Pick<LinkLimits, 'requestMs' | 'rssiMs' | 'batteryMs'>;
  onInformation: (information: Partial<StrapInformation>) => void;
}

/** Reads the information of one strap, on one link after another. */
export class InformationReader {
  readonly #o: InformationReaderOptions;
  /** performance.now() */
  #readAgainAt = 0;
  #reading = false;
  /** Characteristics of the optional services of the current link. */
  #optional: readonly RadioCharacteristic[] = [];

  constructor(options: InformationReaderOptions) {
    this.#o = options;
  }

  /** Time has come to read again on the same link. */
  get isDue(): boolean {
    return !this.#reading && performance.now() > this.#readAgainAt;
  }

  /** `first`: right after the connect. Never rejects. */
  async read({ connection, signal, characteristics }: ReadLink, first: boolean): Promise<void> {
    const { limits, log, address, onInformation } = this.#o;
    this.#reading = true;
    this.#readAgainAt = performance.now() + limits.rssiMs;
    const step = async <T>(what: string, run: () => Promise<T>): Promise<T> =>
      await runStep({ what, limitMs: limits.requestMs, signal, answeredAt: () => connection.answeredAt }, run);
    try {
      if (first) {
        this.#optional = [];
        this.#optional = await step('discovery of optional services', () => connection.discoverOptional());
      }
      await readStrapInformation({
        connection,
        characteristics: [...characteristics, ...this.#optional],
        step,
        first,
        batteryEveryMs: limits.batteryMs,
        onInformation,
      });
    } catch (error) {
      // Battery and device information are optional; a strap that stopped answering will be detected by its silence.
      log.debug({ event: 'strap_information_failed', address, reason: messageOf(error) }, 'a strap did not answer a read');
    } finally {
      // The next link has a read of its own.
      if (!signal.aborted) this.#reading = false;
    }
  }
}
