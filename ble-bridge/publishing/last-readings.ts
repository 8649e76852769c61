/**
 * The time of each strap's last reading, kept in DATA_DIR/last-readings.json: the start of the gap after a restart of the bridge, if the
 * broker was restarted as well and lost the retained statuses. Written every 15 s, so it may be that much behind after a kill.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import Type from 'typebox';
import { timeSchema } from '../../contract/fields.ts';
import { DEVICE_PATTERN } from '../../contract/topics.ts';
import { checkerOf, parseJson } from '../../contract/validate.ts';
import type { Config } from '../../service/config/config.ts';
import { dataFolder, replaceFile } from '../../service/storage/data-dir.ts';
import { messageOf, systemCodeOf } from '../../service/errors/errors.ts';
import { RepeatLimiter, type Logger } from '../../service/log/log.ts';

const checkFile = checkerOf(Type.Record(Type.String(), Type.Unknown()));
const checkTime = checkerOf(timeSchema);

const WRITE_EVERY_MS = 15_000;
/** Beyond this the devices read least recently are dropped. */
const DEVICES_MAX = 500;

export class LastReadings {
  readonly #config: Pick<Config, 'DATA_DIR'>;
  readonly #repeats: RepeatLimiter;
  readonly #earlier = new Map<string, string>();
  /** Ordered by last reading, the newest last. */
  readonly #now = new Map<string, string>();
  #changed = false;
  #writing: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  constructor(config: Pick<Config, 'DATA_DIR'>, log: Logger) {
    this.#config = config;
    this.#repeats = new RepeatLimiter(log);
  }

  get #file(): string {
    return path.join(dataFolder(this.#config), 'last-readings.json');
  }

  /** Reads what an earlier process left. An unreadable file counts as empty, an invalid entry as absent: a gap may not be reported. */
  start(): void {
    const text = this.#text();
    const entries = parseJson(text, checkFile);
    if (entries.ok)
      for (const [device, value] of Object.entries(entries.value)) {
        const at = checkTime(value);
        if (at.ok && DEVICE_PATTERN.test(device)) this.#earlier.set(device, at.value);
        else this.#unreadable(`the entry of ${device.slice(0, 100)} is invalid`);
      }
    else this.#unreadable(entries.reason);
    this.#timer = setInterval(() => void this.#write(), WRITE_EVERY_MS);
  }

  #text(): string {
    try {
      return readFileSync(this.#file, 'utf8');
    } catch (error) {
      if (systemCodeOf(error) !== 'ENOENT') this.#unreadable(messageOf(error));
      return '{}';
    }
  }

  #unreadable(reason: string): void {
    this.#repeats.warn(
      'read',
      { event: 'last_readings_unreadable', reason },
      'cannot read the times of the last readings; gaps may not be reported',
    );
  }

  /** Whether an earlier process received readings of a device. */
  has(device: string): boolean {
    return this.#earlier.has(device);
  }

  /** The time of the last reading by an earlier process (RFC 3339); a further call returns undefined. */
  take(device: string): string | undefined {
    const at = this.#earlier.get(device);
    this.#earlier.delete(device);
    return at;
  }

  read(device: string, timestamp: string): void {
    this.#now.delete(device);
    this.#now.set(device, timestamp);
    this.#changed = true;
  }

  async #write(): Promise<void> {
    if (!this.#changed) return;
    this.#changed = false;
    const text = JSON.stringify(Object.fromEntries([...this.#earlier, ...this.#now].slice(-DEVICES_MAX)));
    this.#writing = this.#writing.then(async () => {
      try {
        await replaceFile(this.#file, text, 0o600);
      } catch (error) {
        this.#repeats.warn(
          'write',
          { event: 'last_readings_unwritable', reason: messageOf(error) },
          'cannot save the times of the last readings; gaps may not be reported after a restart',
        );
      }
    });
    await this.#writing;
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#write();
  }
}
