/**
 * Names of devices, fixed at first sight and kept in DATA_DIR/devices.json: slug of the name and the last three address bytes
 * (`polar-h10-a1b2c3`); an alias stands in its place. A name learnt later changes nothing.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Config } from '../../service/config/config.ts';
import { dataFolder, replaceFile, slug } from '../../service/storage/data-dir.ts';
import { messageOf, systemCodeOf } from '../../service/errors/errors.ts';
import type { Logger } from '../../service/log/log.ts';

export interface KnownDevice {
  address: string;
  /** The fixed name, without alias. */
  base: string;
  /** As last published: base or alias. */
  device: string;
  /** As last advertised. */
  name: string | null;
  source: 'noble' | 'simulated' | 'replay';
}

const FILE = 'devices.json';
/** In a gym with open doors everybody's strap comes by: the oldest are forgotten beyond this. */
const DEVICES_MAX = 2000;

/** Slug of the name and the last digits of the address: the name of a device at first sight. */
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

  /** Reads the kept names. A file that cannot be read is put aside by the next write, and said. */
  load(): void {
    try {
      const parsed: unknown = JSON.parse(readFileSync(this.#file, 'utf8'));
      if (Array.isArray(parsed)) for (const entry of parsed) if (isKnownDevice(entry)) this.#byAddress.set(entry.address, entry);
    } catch (error) {
      if (systemCodeOf(error) !== 'ENOENT')
        this.#log.warn(
          { event: 'device_names_unreadable', reason: messageOf(error) },
          'the kept device names cannot be read; names are given anew',
        );
    }
  }

  get all(): readonly KnownDevice[] {
    return [...this.#byAddress.values()];
  }

  find(address: string): KnownDevice | undefined {
    return this.#byAddress.get(address);
  }

  /**
   * The device of an address: the kept one, or a new one, which is kept. `renamedFrom` where an alias has come, gone or changed.
   */
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

  /** Forgets a device by the name it is published under. */
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
          'device names cannot be kept; they last until the next start',
        );
      }
    }
  }

  /** Resolves when what is known is on the disk. */
  async saved(): Promise<void> {
    await this.#saving;
  }
}
