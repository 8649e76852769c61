/**
 * Device names, fixed with the first name that a strap advertises and kept in DATA_DIR/devices.json: slug of that name and the last three
 * address bytes (`polar-h10-a1b2c3`), or an alias. A strap that advertised no name so far has the name `strap-…`, and gets its own
 * once, unless a link has told its name before; a name that changes later does not change the device.
 */
import type { Config } from '../../service/config/config.ts';
import type { CheckReport } from '../../service/health/check-report.ts';
import type { Logger } from '../../service/log/log.ts';
import { slug } from '../../service/storage/data-dir.ts';
import { DeviceFile, type KnownDevice } from './device-file.ts';
import { aliasOf } from './strap-patterns.ts';

/** Bounds the file in a place with many strangers: beyond this the oldest names are dropped, first those that never delivered. */
const DEVICES_MAX = 2000;

/** The name of a new device: slug of the advertised name and the last `digits` hexadecimal digits of the address. */
export function deviceNameOf(address: string, name: string | undefined, digits = 6): string {
  const prefix =
    slug(name ?? '')
      .slice(0, 48)
      .replace(/-+$/, '') || 'strap';
  return `${prefix}-${address.replaceAll(':', '').slice(-digits)}`;
}

/** It has delivered readings, or has an alias: it is somebody's strap, not a stranger's. */
export const isEstablished = ({ delivered, device, base }: KnownDevice): boolean => delivered === true || device !== base;

export class DeviceNames {
  readonly #aliases: ReadonlyMap<string, string>;
  readonly #file: DeviceFile;
  readonly #byAddress = new Map<string, KnownDevice>();
  /** Straps with an alias by name in this process: a further name of theirs changes nothing. */
  readonly #aliasedByName = new Set<string>();
  /** Read after a strap had got another name in this process: kept for the next one. */
  readonly #late = new Map<string, KnownDevice>();
  /** Addresses that were forgotten while the file could not be read. */
  readonly #forgotten = new Set<string>();

  constructor(config: Pick<Config, 'DATA_DIR'>, aliases: ReadonlyMap<string, string>, log: Logger) {
    this.#aliases = aliases;
    this.#file = new DeviceFile(config, {
      log,
      onLoaded: (kept) => this.#loaded(kept),
      devices: () => this.all.map((known) => this.#late.get(known.address) ?? known),
    });
  }

  /** Reads the kept names. What the disk refuses now is read later; straps that connect meanwhile get new names for this process. */
  load(): void {
    this.#file.load();
  }

  /** A check while something is wrong with the file. */
  checks(): CheckReport[] {
    return this.#file.checks();
  }

  #loaded(kept: readonly KnownDevice[]): void {
    for (const known of kept) {
      if (this.#forgotten.has(known.address)) continue;
      // One that is in use keeps its name until the next start.
      if (this.#byAddress.has(known.address)) this.#late.set(known.address, known);
      else this.#byAddress.set(known.address, known);
    }
    this.#forgotten.clear();
  }

  get all(): readonly KnownDevice[] {
    return [...this.#byAddress.values()];
  }

  find(address: string): KnownDevice | undefined {
    return this.#byAddress.get(address);
  }

  /**
   * The device of an address; a new one is kept. `renamedFrom` is its former name if its alias was added, removed or changed. `isRead`: the
   * name was read over a link; readings may have been published under the device's name, which stays.
   */
  of(
    address: string,
    name: string | undefined,
    source: KnownDevice['source'],
    isRead = false,
  ): { known: KnownDevice; renamedFrom: string | undefined } {
    const kept = this.#byAddress.get(address);
    if (kept === undefined) {
      const base = this.#newBase(address, name);
      const known: KnownDevice = { address, base, device: this.#aliased(address, base, name), name: name ?? null, source };
      this.#byAddress.set(address, known);
      this.#prune();
      this.#file.changed();
      return { known, renamedFrom: undefined };
    }
    const base = kept.name === null && name !== undefined && !isRead ? this.#newBase(address, name) : kept.base;
    const newName = name ?? kept.name;
    const device = this.#aliasedByName.has(address) ? kept.device : this.#aliased(address, base, newName);
    const renamedFrom = device === kept.device ? undefined : kept.device;
    if (renamedFrom !== undefined || newName !== kept.name) {
      Object.assign(kept, { base, device, name: newName });
      this.#file.changed();
    }
    return { known: kept, renamedFrom };
  }

  /** Forgets a device by its published name; returns it if it was known. */
  forget(device: string): KnownDevice | undefined {
    const known = this.all.find((candidate) => candidate.device === device);
    if (known === undefined) return undefined;
    this.#remove(known.address);
    if (!this.#file.isLoaded) this.#forgotten.add(known.address);
    this.#file.changed();
    return known;
  }

  /** The strap has delivered readings. */
  delivered(address: string): void {
    const known = this.#byAddress.get(address);
    if (known === undefined || known.delivered === true) return;
    known.delivered = true;
    this.#file.changed();
  }

  /**
   * The strap whose alias this one would get by its name. Undefined if nobody has it, or if this one is known to be another: an address
   * that is kept with a name and without the alias. `isRead`: the name was read over a link; what was advertised may be its beginning.
   */
  aliasHolder(address: string, name: string | undefined, isRead = false): KnownDevice | undefined {
    const kept = this.#byAddress.get(address);
    const isNew = kept === undefined || kept.name === null || (isRead && name?.startsWith(kept.name) === true);
    if (!isNew && kept.former !== true) return undefined;
    const found = this.#aliasOf(address, kept?.base ?? deviceNameOf(address, name), name ?? kept?.name);
    return found?.byName === true ? found.holder : undefined;
  }

  /** How the aliases name a strap that is not known yet: as one strap, by a name that others may have as well, or not at all. */
  aliasKind(address: string, name: string | undefined): 'one' | 'name' | undefined {
    const found = this.#aliasOf(address, deviceNameOf(address, name), name);
    if (found === undefined || (found.byName && found.holder !== undefined)) return undefined;
    return found.byName ? 'name' : 'one';
  }

  /** A strap with a new address takes the alias over from its former one, which gets its own name back. */
  takeOver(holder: KnownDevice): void {
    holder.device = holder.base;
    holder.former = true;
    this.#aliasedByName.delete(holder.address);
    this.#file.changed();
  }

  /** This address and that of the alias' holder are two straps. It has to be known. */
  setApart(address: string): void {
    const known = this.#byAddress.get(address);
    if (known?.former !== true) return;
    delete known.former;
    this.#file.changed();
  }

  #aliasOf(
    address: string,
    base: string,
    name: string | null | undefined,
  ): { alias: string; byName: boolean; holder: KnownDevice | undefined } | undefined {
    const found = aliasOf(this.#aliases, { address, base, name });
    if (found === undefined) return undefined;
    let holder: KnownDevice | undefined;
    for (const other of this.#byAddress.values()) if (other.device === found.alias && other.address !== address) holder = other;
    return { ...found, holder };
  }

  /** An alias by name belongs to the first strap with that name: two straps of one name stay two devices. */
  #aliased(address: string, base: string, name: string | null | undefined): string {
    const found = this.#aliasOf(address, base, name);
    if (found === undefined || (found.byName && found.holder !== undefined)) return base;
    if (found.byName) this.#aliasedByName.add(address);
    return found.alias;
  }

  #newBase(address: string, name: string | undefined): string {
    const taken = new Set<string>();
    for (const other of this.#byAddress.values()) if (other.address !== address) taken.add(other.base).add(other.device);
    for (const digits of [6, 8, 10, 12]) {
      const base = deviceNameOf(address, name, digits);
      if (!taken.has(base)) return base;
    }
    return deviceNameOf(address, undefined, 12);
  }

  #remove(address: string): void {
    this.#byAddress.delete(address);
    this.#aliasedByName.delete(address);
    this.#late.delete(address);
  }

  #prune(): void {
    if (this.#byAddress.size <= DEVICES_MAX) return;
    // The new one is last.
    const older = this.all.slice(0, -1);
    const oldest = older.find((known) => !isEstablished(known)) ?? older[0];
    if (oldest !== undefined) this.#remove(oldest.address);
  }

  /** Resolves when all names are on disk, or the disk refuses them. */
  async saved(): Promise<void> {
    await this.#file.saved();
  }

  /** Writes what has changed, if the disk takes it now. */
  async stop(): Promise<void> {
    await this.#file.stop();
  }
}
