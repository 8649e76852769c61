/**
 * When each strap was last read, in DATA_DIR/last-readings.json: what a restarted bridge's gap begins with where the broker was restarted
 * too and has forgotten the retained statuses. Written now and then: after a kill it may be some seconds behind.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Config } from '../../service/config/config.ts';
import { dataFolder, replaceFile } from '../../service/storage/data-dir.ts';
import { messageOf } from '../../service/errors/errors.ts';
import { RepeatLimiter, type Logger } from '../../service/log/log.ts';

const WRITE_EVERY_MS = 15_000;
/** Those read least recently are forgotten beyond this. */
const DEVICES_MAX = 500;

export class LastReadings {
  readonly #config: Pick<Config, 'DATA_DIR'>;
  readonly #repeats: RepeatLimiter;
  readonly #earlier = new Map<string, string>();
  /** In the order of their last reading. */
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

  /** Reads what an earlier process left, if anything can be read. */
  start(): void {
    try {
      const parsed: unknown = JSON.parse(readFileSync(this.#file, 'utf8'));
      if (typeof parsed === 'object' && parsed !== null)
        for (const [device, at] of Object.entries(parsed))
          if (typeof at === 'string' && !Number.isNaN(Date.parse(at))) this.#earlier.set(device, at);
    } catch {
      this.#earlier.clear();
    }
    this.#timer = setInterval(() => void this.#write(), WRITE_EVERY_MS);
  }

  /** When an earlier process read this device last; asked once. */
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
          'when straps were last read cannot be kept: after a restart their gaps may not be told',
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
