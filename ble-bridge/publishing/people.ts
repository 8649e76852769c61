/**
 * Who wears which strap, kept in DATA_DIR/people.json (0600) and retained on `edge/<gateway>/person/<device>` for the admin API. Nothing
 * else of the bridge publishes it but the discovery for Home Assistant; no log line has it.
 */
import path from 'node:path';
import Type, { type Static } from 'typebox';
import { deviceNameSchema } from '../../contract/fields.ts';
import { personFields, type Person } from '../../contract/person.ts';
import { personDeviceOf, personFilter, personTopic } from '../../contract/topics.ts';
import { checkerOf, parseJson } from '../../contract/validate.ts';
import type { Config } from '../../service/config/config.ts';
import { HrError } from '../../service/errors/errors.ts';
import type { CheckReport } from '../../service/health/check-report.ts';
import type { Logger } from '../../service/log/log.ts';
import type { MessageHandler } from '../../service/mqtt/subscription-routes.ts';
import { dataFolder } from '../../service/storage/data-dir.ts';
import { StateFile, type StateText } from '../../service/storage/state-file.ts';
import type { PublishLine } from './publish-line.ts';

const entrySchema = Type.Object({ device: deviceNameSchema, ...personFields });
type Entry = Static<typeof entrySchema>;
const checkFile = checkerOf(Type.Array(Type.Unknown()));
const checkEntry = checkerOf(entrySchema);

const FILE = 'people.json';
const FILE_MAX_BYTES = 1024 * 1024;
const PEOPLE_MAX = 500;
const NOBODY: Person = { name: null, max_heart_rate: null };

function parseKept(text: string): StateText<Entry[]> {
  const entries = parseJson(text, checkFile, FILE_MAX_BYTES);
  if (!entries.ok) return entries;
  const checked = entries.value.map(checkEntry);
  const faults = checked.filter(({ ok }) => !ok).length;
  // The reason would quote the entry, which may hold a name.
  const fault = faults === 0 ? undefined : `${faults} of ${checked.length} entries are invalid`;
  return { ok: true, value: checked.flatMap((entry) => (entry.ok ? entry.value : [])), fault };
}

export interface PeopleOptions {
  config: Pick<Config, 'DATA_DIR'>;
  log: Logger;
  line: PublishLine;
  /** Name of this box; called once the service has started. */
  gateway: () => string;
  /** Somebody's name or highest heart rate has changed. */
  onChange: (device: string) => void;
}

export class People {
  readonly #o: PeopleOptions;
  readonly #file: StateFile<Entry[]>;
  readonly #byDevice = new Map<string, Person>();
  /** Forgotten, moved or changed while the file could not be read: what it holds of them is outdated. */
  readonly #decided = new Set<string>();

  constructor(options: PeopleOptions) {
    this.#o = options;
    this.#file = new StateFile({
      file: () => path.join(dataFolder(options.config), FILE),
      name: 'people',
      consequence: 'straps are shown without the names of the people who wear them',
      log: options.log,
      parse: parseKept,
      onLoaded: (entries) => this.#loaded(entries),
      text: () => `${JSON.stringify([...this.#byDevice].map(([device, person]) => ({ device, ...person })))}\n`,
    });
  }

  /** Reads the kept names. What the disk refuses now is read later. */
  load(): void {
    this.#file.load();
  }

  #loaded(entries: readonly Entry[]): void {
    for (const { device, ...person } of entries) {
      if (this.#decided.has(device)) continue;
      this.#byDevice.set(device, person);
      this.#changed(device);
    }
    this.#decided.clear();
  }

  /** Who wears a strap; nobody, if nothing was entered. */
  of(device: string): Person {
    return this.#byDevice.get(device) ?? NOBODY;
  }

  /** Changes what is given, and resolves when it is on disk or the disk refuses it. Throws HrError `command_failed`. */
  async set(device: string, change: Partial<Person>): Promise<Person> {
    const person = { ...this.of(device), ...change };
    if (person.name !== null) person.name = person.name.trim();
    if (!this.#byDevice.has(device) && this.#byDevice.size >= PEOPLE_MAX)
      throw new HrError('command_failed', { operation: 'rename a strap', detail: `${PEOPLE_MAX} straps have names already` });
    this.#put(device, person);
    await this.#file.saved();
    return person;
  }

  /** Removes what is known about who wears a strap, from the disk too. Returns whether something was known. */
  forget(device: string): boolean {
    const wasKnown = this.#byDevice.has(device);
    this.#put(device, NOBODY);
    return wasKnown;
  }

  /** The device of a strap has another name from now on. */
  renamed(from: string, to: string): void {
    const person = this.#byDevice.get(from);
    if (person === undefined) return;
    this.forget(from);
    this.#put(to, person);
  }

  #put(device: string, person: Person): void {
    if (person.name === null && person.max_heart_rate === null) this.#byDevice.delete(device);
    else this.#byDevice.set(device, person);
    if (!this.#file.isLoaded) this.#decided.add(device);
    this.#file.changed();
    this.#changed(device);
  }

  #changed(device: string): void {
    this.#publish(device);
    this.#o.onChange(device);
  }

  #publish(device: string): void {
    const person = this.#byDevice.get(device);
    this.#o.line.publish(personTopic(this.#o.gateway(), device), person === undefined ? '' : JSON.stringify(person), {
      retain: true,
    });
  }

  /** To be spread into the subscriptions of the service's MqttLink: removes what a broker kept of a forgotten strap. */
  get subscriptions(): Record<string, MessageHandler> {
    return {
      [personFilter(this.#o.gateway())]: (topic, payload) => {
        const device = personDeviceOf(topic);
        if (device === undefined || payload.length === 0 || !this.#file.isLoaded || this.#byDevice.has(device)) return;
        this.#publish(device);
      },
    };
  }

  /** The broker is connected; it may have lost its retained messages. */
  up(): void {
    for (const device of this.#byDevice.keys()) this.#publish(device);
  }

  /** A check while something is wrong with the file. */
  checks(): CheckReport[] {
    return this.#file.checks();
  }

  /** Writes what has changed, if the disk takes it now. */
  async stop(): Promise<void> {
    await this.#file.stop();
  }
}
