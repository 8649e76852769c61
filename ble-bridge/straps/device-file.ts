/** The kept device names on disk, DATA_DIR/devices.json. Written at a bounded rate: strangers decide how often a name is new. */
import path from 'node:path';
import Type, { type Static } from 'typebox';
import { deviceStatusSchema } from '../../contract/device-status.ts';
import { deviceNameSchema, nullable, textSchema } from '../../contract/fields.ts';
import { checkerOf, parseJson } from '../../contract/validate.ts';
import type { Config } from '../../service/config/config.ts';
import type { CheckReport } from '../../service/health/check-report.ts';
import type { Logger } from '../../service/log/log.ts';
import { dataFolder } from '../../service/storage/data-dir.ts';
import { StateFile, type StateText } from '../../service/storage/state-file.ts';

const knownDeviceSchema = Type.Object({
  address: Type.String({ minLength: 1, maxLength: 100 }),
  /** The fixed name, before the alias. */
  base: deviceNameSchema,
  /** The published name: base or alias. */
  device: deviceNameSchema,
  /** As last advertised. */
  name: nullable(textSchema),
  source: deviceStatusSchema.properties.source,
  /** It has delivered readings, in this process or an earlier one; absent in files of earlier versions. */
  delivered: Type.Optional(Type.Boolean()),
  /** Another address took its alias over: it was the address of that strap before, and may be so again. */
  former: Type.Optional(Type.Boolean()),
});
export type KnownDevice = Static<typeof knownDeviceSchema>;

const checkFile = checkerOf(Type.Array(Type.Unknown()));
const checkKnownDevice = checkerOf(knownDeviceSchema);

const FILE = 'devices.json';
/** A larger file is not ours: 2,000 devices take less than 1 MiB. */
const FILE_MAX_BYTES = 4 * 1024 * 1024;
/** Between two writes. */
const WRITE_EVERY_MS = 5000;

function parseKept(text: string): StateText<KnownDevice[]> {
  const entries = parseJson(text, checkFile, FILE_MAX_BYTES);
  if (!entries.ok) return entries;
  const checked = entries.value.map(checkKnownDevice);
  const [first, ...more] = checked.flatMap((entry) => (entry.ok ? [] : entry.reason));
  const fault = first === undefined ? undefined : `${more.length + 1} of ${checked.length} entries are invalid: ${first}`;
  return { ok: true, value: checked.flatMap((entry) => (entry.ok ? entry.value : [])), fault };
}

export interface DeviceFileOptions {
  log: Logger;
  /** What an earlier process kept: once, in `load` or later. */
  onLoaded: (kept: readonly KnownDevice[]) => void;
  /** What is to be written now. */
  devices: () => readonly KnownDevice[];
}

export class DeviceFile {
  readonly #file: StateFile<KnownDevice[]>;
  #isChanged = false;
  #wroteAt = -Infinity;
  #timer: NodeJS.Timeout | undefined;

  constructor(config: Pick<Config, 'DATA_DIR'>, { log, onLoaded, devices }: DeviceFileOptions) {
    this.#file = new StateFile({
      file: () => path.join(dataFolder(config), FILE),
      name: 'device_names',
      consequence: 'a strap whose name cannot be read gets a new one',
      log,
      mode: 0o644,
      parse: parseKept,
      onLoaded,
      text: () => `${JSON.stringify(devices(), undefined, 1)}\n`,
    });
  }

  get isLoaded(): boolean {
    return this.#file.isLoaded;
  }

  /** Reads the kept names. What the disk refuses now is read later. */
  load(): void {
    this.#file.load();
  }

  /** A name is new or has changed: it is written within 5 s, or by `saved` or `stop`. */
  changed(): void {
    this.#isChanged = true;
    this.#timer ??= setTimeout(() => this.#write(), Math.max(0, this.#wroteAt + WRITE_EVERY_MS - performance.now()));
    // The bridge waits for `stop` before it ends.
    this.#timer.unref();
  }

  #write(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (!this.#isChanged) return;
    this.#isChanged = false;
    this.#wroteAt = performance.now();
    this.#file.changed();
  }

  /** A check while something is wrong with the file. */
  checks(): CheckReport[] {
    return this.#file.checks();
  }

  /** Resolves when all names are on disk, or the disk refuses them. */
  async saved(): Promise<void> {
    this.#write();
    await this.#file.saved();
  }

  /** Writes what has changed, if the disk takes it now. */
  async stop(): Promise<void> {
    this.#write();
    await this.#file.stop();
  }
}
