/**
 * Device names, fixed at the first advertisement and kept in DATA_DIR/devices.json: slug of the advertised name and the last three
 * address bytes (`polar-h10-a1b2c3`), or an alias. A name that is advertised later does not change it.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Config } from '../../service/config/config.ts';
import { dataFolder, replaceFile, slug } from '../../service/storage/data-dir.ts';
import { messageOf, systemCodeOf } from '../../service/errors/errors.ts';
import type { Logger } from '../../service/log/log.ts';

export interface KnownDevice {
  address: string;
  /** The fixed name, before the alias. */
  base: string;
  /** The published name: base or alias. */
  device: string;
  /** As last advertised. */
  name: string | null;
  source: 'noble' | 'simulated' | 'replay';
}

const FILE = 'devices.json';
/** Bounds the file in a place with many strangers: beyond this the oldest names are dropped. */
const DEVICES_MAX = 2000;

/** The name of a new device: slug of the advertised name and the last `digits` hexadecimal digits of the address. */
export function deviceNameOf(address: string, name: string | undefined, digits = 6): string {
  const prefix =
    slug(name ?? '')
      .slice(0, 48)
      .replace(/-+$/, '') || 'strap';
  return `${prefix}-${address.replaceAll(':', '').slice(-digits)}`;
}

function isKnownDevice(value: unknown): value is KnownDevice {
  if (typeof value !== 'object' || value === null) return false;
  const { address, base, device, source } = value as Partial<Record<keyof KnownDevice, unknown>>;
  return typeof address === 'string' && typeof base === 'string' && typeof device === 'string' && typeof source === 'string';
}

export class DeviceNames {
  readonly #config: Pick<Config, 'DATA_DIR'>;
  readonly #aliases: ReadonlyMap<string, string>;
  readonly #log: Logger;
  readonly #byAddress = new Map<string, KnownDevice>();
  #unsaved = false;
  #saving: Promise<void> | undefined;

  constructor(config: Pick<Config, 'DATA_DIR'>, aliases: ReadonlyMap<string, string>, log: Logger) {
    this.#config = config;
    this.#aliases = aliases;
    this.#log = log;
  }

  get #file(): string {
    return path.join(dataFolder(this.#config), FILE);
  }

  /** Reads the kept names. An unreadable file is logged; the next write replaces it. */
  load(): void {
    try {
      const parsed: unknown = JSON.parse(readFileSync(this.#file, 'utf8'));
      if (Array.isArray(parsed)) for (const entry of parsed) if (isKnownDevice(entry)) this.#byAddress.set(entry.address, entry);
    } catch (error) {
      if (systemCodeOf(error) !== 'ENOENT')
        this.#log.warn(
          { event: 'device_names_unreadable', reason: messageOf(error) },
          'cannot read the kept device names; assigning new ones',
        );
    }
  }

  get all(): readonly KnownDevice[] {
    return [...this.#byAddress.values()];
  }

  find(address: string): KnownDevice | undefined {
    return this.#byAddress.get(address);
  }

  /** The device of an address; a new one is kept. `renamedFrom` is its former name if its alias was added, removed or changed. */
  of(
    address: string,
    name: string | undefined,
    source: KnownDevice['source'],
  ): { known: KnownDevice; renamedFrom: string | undefined } {
    const kept = this.#byAddress.get(address);
    if (kept === undefined) {
      const base = this.#newBase(address, name);
      const known: KnownDevice = { address, base, device: this.#aliased(address, base), name: name ?? null, source };
      this.#byAddress.set(address, known);
      this.#prune();
      this.#save();
      return { known, renamedFrom: undefined };
    }
    const device = this.#aliased(address, kept.base);
    const renamedFrom = device === kept.device ? undefined : kept.device;
    const newName = name ?? kept.name;
    if (renamedFrom !== undefined || newName !== kept.name) {
      Object.assign(kept, { device, name: newName });
      this.#save();
    }
    return { known: kept, renamedFrom };
  }

  /** Forgets a device by its published name; returns it if it was known. */
  forget(device: string): KnownDevice | undefined {
    const known = this.all.find((candidate) => candidate.device === device);
    if (known === undefined) return undefined;
    this.#byAddress.delete(known.address);
    this.#save();
    return known;
  }

  #aliased(address: string, base: string): string {
    return this.#aliases.get(base) ?? this.#aliases.get(address) ?? base;
  }

  #newBase(address: string, name: string | undefined): string {
    const taken = new Set(this.all.flatMap(({ base, device }) => [base, device]));
    for (const digits of [6, 8, 10, 12]) {
      const base = deviceNameOf(address, name, digits);
      if (!taken.has(base)) return base;
    }
    return deviceNameOf(address, undefined, 12);
  }

  #prune(): void {
    for (const address of this.#byAddress.keys()) {
      if (this.#byAddress.size <= DEVICES_MAX) return;
      this.#byAddress.delete(address);
    }
  }

  #save(): void {
    this.#unsaved = true;
    this.#saving ??= this.#saveOn().finally(() => {
      this.#saving = undefined;
    });
  }

  async #saveOn(): Promise<void> {
    while (this.#unsaved) {
      this.#unsaved = false;
      try {
        await replaceFile(this.#file, `${JSON.stringify(this.all, undefined, 1)}\n`);
      } catch (error) {
        this.#log.warn(
          { event: 'device_names_unwritable', reason: messageOf(error) },
          'cannot save device names; they are lost at the next start',
        );
      }
    }
  }

  /** Resolves when all names are on disk. */
  async saved(): Promise<void> {
    await this.#saving;
  }
}
