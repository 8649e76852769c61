/**
 * The time of each strap's last reading, kept in DATA_DIR/last-readings.json: the start of the gap after a restart of the bridge, if the
 * broker was restarted as well and lost the retained statuses. Written every 15 s, so it may be that much behind after a kill.
 */
import path from 'node:path';
import Type from 'typebox';
import { timeSchema } from '../../contract/fields.ts';
import { DEVICE_PATTERN } from '../../contract/topics.ts';
import { checkerOf, parseJson } from '../../contract/validate.ts';
import type { Config } from '../../service/config/config.ts';
import type { CheckReport } from '../../service/health/check-report.ts';
import type { Logger } from '../../service/log/log.ts';
import { dataFolder } from '../../service/storage/data-dir.ts';
import { StateFile, type StateText } from '../../service/storage/state-file.ts';

const checkFile = checkerOf(Type.Record(Type.String(), Type.Unknown()));
const checkTime = checkerOf(timeSchema);

const WRITE_EVERY_MS = 15_000;
/** Beyond this the devices read least recently are dropped. */
const DEVICES_MAX = 500;

function parseTimes(text: string): StateText<Map<string, string>> {
  const entries = parseJson(text, checkFile);
  if (!entries.ok) return entries;
  const times = new Map<string, string>();
  let fault: string | undefined;
  for (const [device, value] of Object.entries(entries.value)) {
    const at = checkTime(value);
    if (at.ok && DEVICE_PATTERN.test(device)) times.set(device, at.value);
    else fault = `the entry of ${device.slice(0, 100)} is invalid`;
  }
  return { ok: true, value: times, fault };
}

export class LastReadings {
  readonly #earlier = new Map<string, string>();
  /** Ordered by last reading, the newest last. */
  readonly #now = new Map<string, string>();
  readonly #file: StateFile<Map<string, string>>;
  #changed = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(config: Pick<Config, 'DATA_DIR'>, log: Logger) {
    this.#file = new StateFile({
      file: () => path.join(dataFolder(config), 'last-readings.json'),
      name: 'last_readings',
      consequence: 'the gap since the last reading of a strap may not be reported',
      log,
      parse: parseTimes,
      onLoaded: (times) => {
        for (const [device, at] of times) this.#earlier.set(device, at);
      },
      text: () => JSON.stringify(Object.fromEntries([...this.#earlier, ...this.#now].slice(-DEVICES_MAX))),
    });
  }

  /** Reads what an earlier process left. What cannot be read now, and an invalid entry, count as absent: a gap may not be reported. */
  start(): void {
    this.#file.load();
    this.#timer = setInterval(() => this.#write(), WRITE_EVERY_MS);
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

  #write(): void {
    if (!this.#changed) return;
    this.#changed = false;
    this.#file.changed();
  }

  /** A check while something is wrong with the file. */
  checks(): CheckReport[] {
    return this.#file.checks();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#write();
    await this.#file.stop();
  }
}
