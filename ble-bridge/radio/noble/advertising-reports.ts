/**
 * What peripherals advertise, read from the controller's reports. noble 1.9.2-26 (lib/hci-socket/gap.js) takes ADV_SCAN_IND for
 * connectable, ignores 32-bit service UUIDs, compares UUIDs as text, lets a shortened name replace a complete one, and reports a
 * peripheral once per scan, so that a change is not seen before the next scan.
 */
import type { EventEmitter } from 'node:events';
import { cleanName } from '../advertised-name.ts';
import { uuidOfBytes } from '../uuid.ts';

/** Event types of advertising reports (Core, volume 4 part E, 7.7.65.2); the connectable ones are ADV_IND and ADV_DIRECT_IND. */
const CONNECTABLE: ReadonlySet<number> = new Set([0x00, 0x01]);
const SCAN_RESPONSE = 0x04;
/** Bounds what a peripheral that keeps changing its services can occupy. */
const SERVICES_MAX = 32;

/** Sizes of the UUIDs in service lists, by AD type (Assigned Numbers, 2.3). */
const UUID_SIZES: Readonly<Record<number, number>> = { 0x02: 2, 0x03: 2, 0x04: 4, 0x05: 4, 0x06: 16, 0x07: 16 };
const NAME_SHORTENED = 0x08;
const NAME_COMPLETE = 0x09;

export interface AdvertisingData {
  name: string | undefined;
  complete: boolean;
  services: string[];
}

/** Reads advertising data or a scan response; what is cut off is ignored. Never throws. */
export function parseAdvertisingData(data: Buffer): AdvertisingData {
  const parsed: AdvertisingData = { name: undefined, complete: false, services: [] };
  for (let at = 0; at + 1 < data.length;) {
    const length = data[at] ?? 0;
    // A length of zero ends the significant part.
    if (length === 0) break;
    const type = data[at + 1] ?? 0;
    const value = data.subarray(at + 2, at + 1 + length);
    at += 1 + length;
    const size = UUID_SIZES[type];
    if (size !== undefined)
      for (let from = 0; from + size <= value.length; from += size)
        parsed.services.push(uuidOfBytes(value.subarray(from, from + size)));
    else if (type === NAME_COMPLETE || (type === NAME_SHORTENED && !parsed.complete)) {
      parsed.name = cleanName(value.toString('utf8'));
      parsed.complete = type === NAME_COMPLETE;
    }
  }
  return parsed;
}

export interface Advertised {
  connectable: boolean;
  name: string | undefined;
  /** Whether that is the whole name. */
  complete: boolean;
  services: ReadonlySet<string>;
  rssi: number | null;
}

interface Seen {
  /** performance.now() */
  at: number;
  connectable: boolean;
  name: string | undefined;
  complete: boolean;
  services: Set<string>;
  rssi: number | null;
}

type ReportListener = (status: number, type: number, address: string, addressType: string, data: Buffer, rssi: number) => void;

export class AdvertisingReports {
  /** Ordered by last report, the newest last. */
  readonly #byAddress = new Map<string, Seen>();
  /** The current report is a scan response that told something new. */
  #toldMore = false;

  /**
   * Reads the reports of noble's HCI layer before noble does. `onReport` is called after noble with those of advertisements, and with scan
   * responses that tell a name or service for the first time.
   */
  observe(hci: EventEmitter, onReport: (address: string) => void): void {
    const before: ReportListener = (_status, type, address, _addressType, data, rssi) => this.#add(address, type, data, rssi);
    const after: ReportListener = (_status, type, address) => {
      if (type !== SCAN_RESPONSE || this.#toldMore) onReport(address);
    };
    hci.prependListener('leAdvertisingReport', before);
    hci.on('leAdvertisingReport', after);
  }

  #add(address: string, type: number, data: Buffer, rssi: number): void {
    const { name, complete, services } = parseAdvertisingData(data);
    const seen = this.#byAddress.get(address) ?? {
      at: 0,
      connectable: true,
      name: undefined,
      complete: false,
      services: new Set<string>(),
      rssi: null,
    };
    const before = `${seen.name} ${seen.services.size}`;
    if (type !== SCAN_RESPONSE) seen.connectable = CONNECTABLE.has(type);
    if (name !== undefined && (complete || !seen.complete)) {
      seen.name = name;
      seen.complete = complete;
    }
    for (const service of services) if (seen.services.size < SERVICES_MAX) seen.services.add(service);
    // 127: not available (Core, volume 4 part E, 7.7.65.2).
    seen.rssi = rssi === 127 ? null : rssi;
    seen.at = performance.now();
    this.#byAddress.delete(address);
    this.#byAddress.set(address, seen);
    this.#toldMore = type === SCAN_RESPONSE && before !== `${seen.name} ${seen.services.size}`;
  }

  get size(): number {
    return this.#byAddress.size;
  }

  /** The addresses without a report since `oldest` (performance.now()), and the oldest of those beyond `most`. */
  *outdated(oldest: number, most: number): Generator<string> {
    let beyond = this.#byAddress.size - most;
    for (const [address, { at }] of this.#byAddress) {
      if (at > oldest && beyond <= 0) return;
      beyond -= 1;
      yield address;
    }
  }

  get(address: string): Advertised | undefined {
    return this.#byAddress.get(address);
  }

  delete(address: string): void {
    this.#byAddress.delete(address);
  }

  clear(): void {
    this.#byAddress.clear();
  }
}
