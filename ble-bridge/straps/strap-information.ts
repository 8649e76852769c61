/** Reads what a strap offers beside the heart rate: battery, device information, body location, signal strength. All optional. */
import { parseBatteryLevel, parseBodySensorLocation, parseText } from '../gatt/optional-values.ts';
import { messageOf } from '../../service/errors/errors.ts';
import type { Logger } from '../../service/log/log.ts';
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

export interface ReadOptions {
  connection: RadioConnection;
  characteristics: readonly RadioCharacteristic[];
  /** Runs one request with its timeout. */
  step: <T>(what: string, run: () => Promise<T>) => Promise<T>;
  /** True right after the connect: also reads constant values, and subscribes to the battery level. */
  first: boolean;
  batteryEveryMs: number;
  onInformation: (information: Partial<StrapInformation>) => void;
}

export interface OptionalOptions {
  connection: RadioConnection;
  limits: Pick<LinkLimits, 'requestMs' | 'batteryMs'>;
  log: Logger;
  address: string;
  /** True right after the connect: discovers the optional services first. */
  first: boolean;
  /** Of the attempt; aborted when the link has ended. */
  signal: AbortSignal;
  characteristics: readonly RadioCharacteristic[];
  /** All of them, once the optional ones were discovered. */
  onCharacteristics: (all: RadioCharacteristic[]) => void;
  onInformation: (information: Partial<StrapInformation>) => void;
}

/** Reads what is optional. Never rejects: a strap that has stopped answering is detected by its silence. */
export async function readOptional(options: OptionalOptions): Promise<void> {
  const { connection, limits, log, address, first, signal, onCharacteristics } = options;
  let { characteristics } = options;
  const step = async <T>(what: string, run: () => Promise<T>): Promise<T> =>
    await runStep({ what, limitMs: limits.requestMs, signal, answeredAt: () => connection.answeredAt }, run);
  try {
    if (first) {
      const optional = await step('discovery of optional services', () => connection.discoverOptional());
      const all = [...characteristics, ...optional];
      onCharacteristics(all);
      characteristics = all;
    }
    await readStrapInformation({ ...options, characteristics, step, batteryEveryMs: limits.batteryMs });
  } catch (error) {
    log.debug({ event: 'strap_information_failed', address, reason: messageOf(error) }, 'a strap did not answer a read');
  }
}

const TEXTS = [
  [CHARACTERISTICS.manufacturer, 'manufacturer'],
  [CHARACTERISTICS.model, 'model'],
  [CHARACTERISTICS.firmware, 'firmware'],
] as const;

const lastBatteryRead = new WeakMap<RadioCharacteristic, number>();

/** Reads the values that are present, one request at a time. Rejects at the first request that fails or times out. */
export async function readStrapInformation(options: ReadOptions): Promise<void> {
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
