/**
 * Device names, fixed with the first name that a strap advertises and kept in DATA_DIR/devices.json: slug of that name and the last three
 * address bytes (`polar-h10-a1b2c3`), or an alias. A strap that advertised no name so far has the name `strap-…`, and gets its own
 * once; a name that changes later does not change the device.
 */
import path from 'node:path';
import Type, { type Static } from 'typebox';
import { deviceStatusSchema } from '../../contract/device-status.ts';
import { deviceNameSchema, nullable, textSchema } from '../../contract/fields.ts';
import { checkerOf, parseJson } from '../../contract/validate.ts';
import type { Config } from '../../service/config/config.ts';
import type { Logger } from '../../service/log/log.ts';
import { dataFolder, slug } from '../../service/storage/data-dir.ts';
import { StateFile, type StateText } from '../../service/storage/state-file.ts';
import { aliasOf } from './strap-patterns.ts';

const knownDeviceSchema = Type.Object({
  address: Type.String({ minLength: 1, maxLength: 100 }),
  /** The fixed name, before the alias. */
  base: deviceNameSchema,
  /** The published name: base or alias. */
  device: deviceNameSchema,
  /** As last advertised. */
  name: nullable(textSchema),
  source: deviceStatusSchema.properties.source,
});
export type KnownDevice = Static<typeof knownDeviceSchema>;

const checkFile = checkerOf(Type.Array(Type.Unknown()));
const checkKnownDevice = checkerOf(knownDeviceSchema);

const FILE = 'devices.json';
/** A larger file is not ours: DEVICES_MAX devices take less than 1 MiB. */
const FILE_MAX_BYTES = 4 * 1024 * 1024;
/** Bounds the file in a place with many strangers: beyond this the oldest names are dropped. */
const DEVICES_MAX = 2000;

function parseKept(text: string): StateText<KnownDevice[]> {
  const entries = parseJson(text, checkFile, FILE_MAX_BYTES);
  if (!entries.ok) return entries;
  const checked = entries.value.map(checkKnownDevice);
  const [first, ...more] = checked.flatMap((entry) => (entry.ok ? [] : entry.reason));
  const fault = first === undefined ? undefined : `${more.length + 1} of ${checked.length} entries are invalid: ${first}`;
  return { ok: true, value: checked.flatMap((entry) => (entry.ok ? entry.value : [])), fault };
}

/** The name of a new device: slug of the advertised name and the last `digits` hexadecimal digits of the address. */
export function deviceNameOf(address: string, name: string | undefined, digits = 6): string {
  const prefix =
    slug(name ?? '')
      .slice(0, 48)
      .replace(/-+$/, '') || 'strap';
  return `${prefix}-${address.replaceAll(':', '').slice(-digits)}`;
}

export class DeviceNames {
  readonly #aliases: ReadonlyMap<string, string>;
  readonly #byAddress = new Map<string, KnownDevice>();
  /** Read after a strap had got another name in this process: kept for the next one. */
  readonly #late = new Map<string, KnownDevice>();
  /** Addresses that were forgotten while the file could not be read. */
  readonly #forgotten = new Set<string>();
  readonly #file: StateFile<KnownDevice[]>;

  constructor(config: Pick<Config, 'DATA_DIR'>, aliases: ReadonlyMap<string, string>, log: Logger) {
    this.#aliases = aliases;
    this.#file = new StateFile({
      file: () => path.join(dataFolder(config), FILE),
      name: 'device_names',
      log,
      mode: 0o644,
      parse: parseKept,
      onLoaded: (kept) => this.#loaded(kept),
      text: () =>
        `${JSON.stringify(
          this.all.map((known) => this.#late.get(known.address) ?? known),
          undefined,
          1,
        )}\n`,
    });
  }

  /** Reads the kept names. What the disk refuses now is read later; straps that connect meanwhile get new names for this process. */
  load(): void {
    this.#file.load();
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

  /** The device of an address; a new one is kept. `renamedFrom` is its former name if its alias was added, removed or changed. */
  of(
    address: string,
    name: string | undefined,
    source: KnownDevice['source'],
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
    const base = kept.name === null && name !== undefined ? this.#newBase(address, name) : kept.base;
    const newName = name ?? kept.name;
    const device = this.#aliased(address, base, newName);
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
    this.#byAddress.delete(known.address);
    this.#late.delete(known.address);
    if (!this.#file.isLoaded) this.#forgotten.add(known.address);
    this.#file.changed();
    return known;
  }

  /** An alias by name belongs to the first strap with that name: two straps of one name stay two devices. */
  #aliased(address: string, base: string, name: string | null | undefined): string {
    const found = aliasOf(this.#aliases, { address, base, name });
    if (found === undefined) return base;
    const taken = found.byName && this.all.some((other) => other.address !== address && other.device === found.alias);
    return taken ? base : found.alias;
  }

  #newBase(address: string, name: string | undefined): string {
    const others = this.all.filter((other) => other.address !== address);
    const taken = new Set(others.flatMap(({ base, device }) => [base, device]));
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

  /** Resolves when all names are on disk, or the disk refuses them. */
  async saved(): Promise<void> {
    await this.#file.saved();
  }

  /** Writes what has changed, if the disk takes it now. */
  async stop(): Promise<void> {
    await this.#file.stop();
  }
}
