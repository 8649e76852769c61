/** Progress of long work, on stderr: one line that is rewritten on a terminal, a line every few seconds elsewhere. */

/** Short work shows nothing. */
const FIRST_AFTER_MS = 1000;
const TERMINAL_EVERY_MS = 500;
const LINE_EVERY_MS = 10_000;

export class Working {
  readonly #startedAt = performance.now();
  readonly #what: string;
  readonly #detail: () => string;
  readonly #timer: NodeJS.Timeout;
  #shownAt = 0;
  #isShown = false;

  /** `detail` is called at each line: how far the work is. Call `done` at its end. */
  constructor(what: string, detail: () => string = () => '') {
    this.#what = what;
    this.#detail = detail;
    this.#timer = setInterval(() => this.#show(), TERMINAL_EVERY_MS);
    this.#timer.unref();
  }

  #show(): void {
    const nowMs = performance.now();
    const isTerminal = process.stderr.isTTY;
    if (nowMs - this.#startedAt < FIRST_AFTER_MS || (!isTerminal && nowMs - this.#shownAt < LINE_EVERY_MS && this.#isShown))
      return;
    this.#shownAt = nowMs;
    this.#isShown = true;
    const detail = this.#detail();
    const line = `${this.#what}: ${Math.round((nowMs - this.#startedAt) / 1000)} s${detail === '' ? '' : `, ${detail}`}`;
    if (isTerminal) process.stderr.write(`\r${line.padEnd(78)}`);
    else console.error(line);
  }

  /** Ends the progress, and returns after how many seconds. */
  done(): number {
    clearInterval(this.#timer);
    if (this.#isShown && process.stderr.isTTY) process.stderr.write(`\r${' '.repeat(78)}\r`);
    return Math.round((performance.now() - this.#startedAt) / 1000);
  }
}

/** Runs `work` with its progress. */
export async function working<T>(what: string, work: () => Promise<T>, detail?: () => string): Promise<T> {
  const progress = new Working(what, detail);
  try {
    return await work();
  } finally {
    progress.done();
  }
}
