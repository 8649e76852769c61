/** The kept device names on disk, DATA_DIR/devices.json. Written at a bounded rate: strangers decide how often a name is new. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import Type, { type Static } from 'typebox';
import { deviceStatusSchema } from '../../contract/device-status.ts';
import { deviceNameSchema, nullable, textSchema } from '../../contract/fields.ts';
import { checkerOf, parseJson } from '../../contract/validate.ts';
import type { Config } from '../../service/config/config.ts';
import { messageOf, systemCodeOf } from '../../service/errors/errors.ts';
import { RepeatLimiter, type Logger } from '../../service/log/log.ts';
import { dataFolder, replaceFile } from '../../service/storage/data-dir.ts';

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

export class DeviceFile {
  readonly #config: Pick<Config, 'DATA_DIR'>;
  readonly #log: Logger;
  readonly #repeats: RepeatLimiter;
  readonly #devices: () => readonly KnownDevice[];
  #unsaved = false;
  #wroteAt = -Infinity;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  /** `devices` are written after `changed`. */
  constructor(config: Pick<Config, 'DATA_DIR'>, log: Logger, devices: () => readonly KnownDevice[]) {
    this.#config = config;
    this.#log = log;
    this.#repeats = new RepeatLimiter(log);
    this.#devices = devices;
  }

  get #file(): string {
    return path.join(dataFolder(this.#config), FILE);
  }

  /** The kept names. An unreadable file or entry is logged; the next write replaces it. */
  read(): KnownDevice[] {
    let text: string;
    try {
      text = readFileSync(this.#file, 'utf8');
    } catch (error) {
      if (systemCodeOf(error) !== 'ENOENT') this.#unreadable(messageOf(error));
      return [];
    }
    const entries = parseJson(text, checkFile, FILE_MAX_BYTES);
    if (!entries.ok) {
      this.#unreadable(entries.reason);
      return [];
    }
    const checked = entries.value.map(checkKnownDevice);
    const refused = checked.filter((entry) => !entry.ok);
    const [first] = refused;
    if (first !== undefined) this.#unreadable(`${refused.length} of ${checked.length} entries are invalid: ${first.reason}`);
    return checked.flatMap((entry) => (entry.ok ? [entry.value] : []));
  }

  #unreadable(reason: string): void {
    this.#log.warn({ event: 'device_names_unreadable', reason }, 'cannot read the kept device names; assigning new ones');
  }

  /** A name is new or has changed: it is on disk within 5 s, or when `saved` resolves. */
  changed(): void {
    this.#unsaved = true;
    this.#timer ??= setTimeout(() => void this.saved(), Math.max(0, this.#wroteAt + WRITE_EVERY_MS - performance.now()));
    // The bridge waits for `saved` before it ends.
    this.#timer.unref();
  }

  /** Writes what has changed now; resolves when it is on disk. */
  async saved(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#unsaved) {
      this.#unsaved = false;
      this.#wroteAt = performance.now();
      const text = `${JSON.stringify(this.#devices(), undefined, 1)}\n`;
      this.#writing = this.#writing.then(async () => await this.#write(text));
    }
    await this.#writing;
  }

  async #write(text: string): Promise<void> {
    try {
      await replaceFile(this.#file, text);
    } catch (error) {
      this.#repeats.warn(
        'write',
        { event: 'device_names_unwritable', reason: messageOf(error) },
        'cannot save device names; they are lost at the next start',
      );
    }
  }
}
