/** What a strap tells beside the heart rate: battery, device information, body location, signal strength. All optional. */
import { parseBatteryLevel, parseBodySensorLocation } from '../gatt/hrm-parser.ts';
import { CHARACTERISTICS, type RadioCharacteristic, type RadioConnection } from '../radio/radio.ts';

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
  /** Runs one request with its time limit. */
  step: <T>(what: string, run: () => Promise<T>) => Promise<T>;
  /** True right after the connect: what never changes is read too, and the battery is subscribed. */
  first: boolean;
  batteryEveryMs: number;
  onInformation: (information: Partial<StrapInformation>) => void;
}

const TEXTS = [
  [CHARACTERISTICS.manufacturer, 'manufacturer'],
  [CHARACTERISTICS.model, 'model'],
  [CHARACTERISTICS.firmware, 'firmware'],
] as const;

/** A text as straps send it: some end it with a zero byte. */
function textOf(bytes: Buffer): string | null {
  const text = bytes
    .toString('utf8')
    .replace(/\0[\s\S]*$/, '')
    .trim()
    .slice(0, 100);
  return text === '' ? null : text;
}

const lastBatteryRead = new WeakMap<RadioCharacteristic, number>();

/** Reads what is there, one request after the other; ends at the first that is not answered. */
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
      if (characteristic?.readable === true) onInformation({ [field]: textOf(await read(characteristic)) });
    }
  }
  onInformation({ rssi: await step('read signal strength', () => connection.readRssi()) });
}
