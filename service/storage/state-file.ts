/**
 * A small file of one process in DATA_DIR that is read at start and replaced when something changes. What a read can end with is kept
 * apart: no file; a disk that does not return it now; a text that is damaged. Only what was read, or set aside, is ever replaced.
 *
 * - A failed read is retried for as long as it fails. Changes are held in memory meanwhile, and `onLoaded` gets what was kept, late.
 * - A damaged file is renamed to `<name>.damaged-<time>`; one that is damaged in part gets that as a second name before it is replaced.
 * - A failed write is retried, too.
 *
 * Each of these is a check of health (state-file-health.ts) for as long as it lasts; damage, for a day.
 */
import { linkSync, renameSync } from 'node:fs';
import { messageOf, systemCodeOf } from '../errors/errors.ts';
import type { CheckReport } from '../health/check-report.ts';
import { RepeatLimiter, type Logger } from '../log/log.ts';
import { replaceFile } from './data-dir.ts';
import { readIfExists } from './read-file.ts';
import { freeAsideName, StateFileHealth } from './state-file-health.ts';

/** What a text holds. `fault`: what of it is damaged, if the rest can be used. */
export type StateText<T> = { ok: true; value: T; fault?: string | undefined } | { ok: false; reason: string };

export interface StateFileOptions<T> {
  /** Called from `load` on: constructors do no I/O. */
  file: () => string;
  /** What it holds, for the log; its events begin with this: `device_names_unreadable`. */
  name: string;
  /** What is not known without its contents, for a person: "straps may get new names". */
  consequence: string;
  log?: Logger | undefined;
  mode?: number;
  parse: (text: string) => StateText<T>;
  /** What an earlier process kept: once, in `load` or later. */
  onLoaded: (value: T) => void;
  /** The text to write now. */
  text: () => string;
  /** For tests. */
  retryMs?: number;
}

const RETRY_MIN_MS = 1000;
const RETRY_MAX_MS = 30_000;

export class StateFile<T> {
  readonly #options: StateFileOptions<T>;
  readonly #repeats: RepeatLimiter | undefined;
  readonly #health: StateFileHealth;
  #isLoaded = false;
  /** What is damaged in the file that was read, and not replaced yet. */
  #fault: string | undefined;
  #isChanged = false;
  #isStopped = false;
  #writing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #delayMs: number;

  constructor(options: StateFileOptions<T>) {
    this.#options = options;
    this.#repeats = options.log && new RepeatLimiter(options.log);
    this.#health = new StateFileHealth(options);
    this.#delayMs = options.retryMs ?? RETRY_MIN_MS;
  }

  /** Whether the file was read, or need not be: it is never replaced before. */
  get isLoaded(): boolean {
    return this.#isLoaded;
  }

  /** Reads the file, synchronously: it is small. What the disk refuses now is read later. Never throws. */
  load(): void {
    this.#health.start();
    this.#tryLoad();
    if (!this.#isLoaded) this.#retryLater();
  }

  #tryLoad(): void {
    const { parse, onLoaded } = this.#options;
    let parsed: StateText<T>;
    try {
      const file = this.#options.file();
      const text = readIfExists(file);
      if (text === undefined) {
        this.#isLoaded = true;
        this.#health.succeeded();
        return;
      }
      parsed = parse(text);
      if (!parsed.ok) this.#setAside(file, parsed.reason);
    } catch (error) {
      return this.#failed('unreadable', error, 'it is kept as it is, and read again');
    }
    this.#isLoaded = true;
    this.#health.succeeded();
    if (!parsed.ok) return;
    this.#fault = parsed.fault;
    if (parsed.fault !== undefined) this.#health.damaged(parsed.fault);
    onLoaded(parsed.value);
  }

  #setAside(file: string, reason: string): void {
    const aside = freeAsideName(file);
    renameSync(file, aside);
    this.#setAsideAs(aside, reason);
  }

  #setAsideAs(aside: string, reason: string): void {
    const { name, log } = this.#options;
    this.#health.damaged(reason, aside);
    const fields = { event: `${name}_unreadable`, reason, set_aside: aside };
    log?.warn(fields, `the file of ${name.replaceAll('_', ' ')} is damaged; what can be read of it is used, and it is kept`);
  }

  /** Gives a file that is damaged in part a second name, before it is replaced. */
  #keepDamaged(file: string): void {
    if (this.#fault === undefined) return;
    const aside = freeAsideName(file);
    linkSync(file, aside);
    this.#setAsideAs(aside, this.#fault);
    this.#fault = undefined;
  }

  #failed(what: 'unreadable' | 'unwritable', error: unknown, consequence: string): void {
    const { name } = this.#options;
    this.#health.failed(what, error);
    const fields = { event: `${name}_${what}`, reason: messageOf(error), code: systemCodeOf(error) };
    this.#repeats?.warn(what, fields, `the file of ${name.replaceAll('_', ' ')} is ${what}: ${consequence}`);
  }

  /** Something has changed: the file is replaced, as soon as it may be. */
  changed(): void {
    this.#isChanged = true;
    this.#write();
  }

  #write(): void {
    if (!this.#isLoaded || this.#isStopped) return;
    this.#writing ??= this.#writeChanges().finally(() => {
      this.#writing = undefined;
      if (this.#isChanged) this.#retryLater();
    });
  }

  /** Until nothing has changed since, or the disk refuses. */
  async #writeChanges(): Promise<void> {
    while (this.#isChanged) {
      this.#isChanged = false;
      try {
        const { file: fileOf, text, mode = 0o600 } = this.#options;
        const file = fileOf();
        this.#keepDamaged(file);
        await replaceFile(file, text(), mode);
        this.#health.succeeded();
        this.#delayMs = this.#options.retryMs ?? RETRY_MIN_MS;
      } catch (error) {
        this.#isChanged = true;
        this.#failed('unwritable', error, 'changes are kept in memory, and written later');
        return;
      }
    }
  }

  #retryLater(): void {
    if (this.#isStopped) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      if (!this.#isLoaded) this.#tryLoad();
      if (!this.#isLoaded) this.#retryLater();
      else if (this.#isChanged) this.#write();
    }, this.#delayMs).unref();
    this.#delayMs = Math.min(2 * this.#delayMs, RETRY_MAX_MS);
  }

  /** One check while something is wrong with the file, else none. */
  checks(): CheckReport[] {
    return this.#health.checks();
  }

  /** Resolves when all changes are written, or the disk refuses them. */
  async saved(): Promise<void> {
    await this.#writing;
  }

  /** Writes what has changed, if the disk takes it now. */
  async stop(): Promise<void> {
    if (!this.#isLoaded && this.#isChanged) this.#tryLoad();
    this.#write();
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#writing;
  }
}
