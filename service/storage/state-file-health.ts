/**
 * What is wrong with a state file (state-file.ts), as a check of health: the disk does not return it, does not take it, or it was damaged.
 * Damage is shown for a day, across restarts, or until the file that was set aside is removed: its name has the time.
 */
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { messageOf, systemCodeOf } from '../errors/errors.ts';
import { warning, type CheckReport } from '../health/check-report.ts';

const SHOWN_MS = 24 * 3600 * 1000;
/** Checks are read with each status; whether the file that was set aside is still there is looked up this often. */
const LOOK_EVERY_MS = 5000;

/** `<file>.damaged-<time>`, not taken yet. */
export function freeAsideName(file: string): string {
  const name = `${file}.damaged-${new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '')}`;
  for (let count = 1; ; count += 1) {
    const candidate = count === 1 ? name : `${name}-${count}`;
    if (!existsSync(candidate)) return candidate;
  }
}

const ASIDE = /^\.damaged-(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z(?:-\d+)?$/;

/** The newest file that was set aside, and when. */
function newestAside(file: string): { file: string; atMs: number } | undefined {
  let newest: { file: string; atMs: number } | undefined;
  for (const name of readdirSync(path.dirname(file))) {
    const [, year, month, day, hours, minutes, seconds] =
      (name.startsWith(path.basename(file)) ? ASIDE.exec(name.slice(path.basename(file).length)) : null) ?? [];
    const atMs = Date.parse(`${year}-${month}-${day}T${hours}:${minutes}:${seconds}Z`);
    if (atMs >= (newest?.atMs ?? Number.NEGATIVE_INFINITY)) newest = { file: path.join(path.dirname(file), name), atMs };
  }
  return newest;
}

interface Damage {
  /** Unknown if an earlier process found it. */
  reason?: string;
  /** Where the damaged file is kept; the file itself until it is replaced. */
  aside?: string;
  atMs: number;
}

export interface StateFileHealthOptions {
  file: () => string;
  name: string;
  /** What is not known without its contents. */
  consequence: string;
  /** For tests. */
  now?: () => number;
}

export class StateFileHealth {
  readonly #options: StateFileHealthOptions;
  readonly #now: () => number;
  #failure: { code: 'state_file_unreadable' | 'state_file_unwritable'; reason: string } | undefined;
  #damage: Damage | undefined;
  #lookedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: StateFileHealthOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** Finds what an earlier process has set aside. */
  start(): void {
    try {
      const aside = newestAside(this.#options.file());
      if (aside !== undefined) this.#damage = { aside: aside.file, atMs: aside.atMs };
    } catch {
      // No folder yet, or a disk that does not answer: then reading the file fails as well.
    }
  }

  failed(what: 'unreadable' | 'unwritable', error: unknown): void {
    const code = what === 'unreadable' ? 'state_file_unreadable' : 'state_file_unwritable';
    this.#failure = { code, reason: systemCodeOf(error) ?? messageOf(error) };
  }

  /** The file was read or written. */
  succeeded(): void {
    this.#failure = undefined;
  }

  damaged(reason: string, aside?: string): void {
    this.#damage = { reason, atMs: this.#now(), ...(aside === undefined ? {} : { aside }) };
  }

  /** Whether damage is still shown. A clock that was set back does not end it. */
  #isDamageShown({ aside, atMs }: Damage): boolean {
    if (this.#now() - atMs >= SHOWN_MS) return false;
    if (aside === undefined || performance.now() - this.#lookedAtMs < LOOK_EVERY_MS) return true;
    this.#lookedAtMs = performance.now();
    return existsSync(aside);
  }

  /** One check while something is wrong, else none. */
  checks(): CheckReport[] {
    const { name, consequence } = this.#options;
    const label = `file of ${name.replaceAll('_', ' ')}`;
    if (this.#damage !== undefined && !this.#isDamageShown(this.#damage)) this.#damage = undefined;
    if (this.#failure !== undefined) {
      const { code, reason } = this.#failure;
      return [warning(label, code, `${path.basename(this.#options.file())}: ${reason}; ${consequence}`)];
    }
    if (this.#damage === undefined) return [];
    const { reason, aside } = this.#damage;
    const kept = aside === undefined ? 'it is kept until it is replaced' : `it is kept as ${path.basename(aside)}`;
    const file = path.basename(this.#options.file());
    const why = reason === undefined ? '' : ` (${reason.slice(0, 500)})`;
    return [warning(label, 'state_file_damaged', `${file} was damaged${why}, ${kept}; ${consequence}`)];
  }
}
