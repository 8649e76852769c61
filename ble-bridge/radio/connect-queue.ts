/**
 * One connect at a time: a pending one blocks all others in noble, and overlapping ones to one strap leave a stuck one (facts.md,
 * BLE 4). First come, first served: a strap that failed queues up again behind the others.
 */

interface Waiting {
  run: () => Promise<void>;
}

export class ConnectTimeout extends Error {
  override readonly name = 'ConnectTimeout';
}

/** Its turn came, and there was no place any more: nothing was tried. */
export class NoPlace extends Error {
  override readonly name = 'NoPlace';
}

export class ConnectQueue {
  readonly #waiting: Waiting[] = [];
  readonly #timeoutMs: number;
  /** How long the radio has to end a cancelled attempt before the next one begins all the same. */
  readonly #cancelMs: number;
  #busy = false;

  constructor(options: { timeoutMs: number; cancelMs?: number }) {
    this.#timeoutMs = options.timeoutMs;
    this.#cancelMs = options.cancelMs ?? 1000;
  }

  /** True while a connect is under way. */
  get busy(): boolean {
    return this.#busy;
  }

  get length(): number {
    return this.#waiting.length;
  }

  /**
   * Runs one connect when its turn comes. Its signal is aborted after the time limit, or with `signal`; the promise rejects then,
   * with ConnectTimeout or the abort's reason. When the turn has come `hasPlace` is asked (false: it rejects with NoPlace), then
   * `begin` is called.
   */
  async run<T>(
    connect: (signal: AbortSignal) => Promise<T>,
    signal: AbortSignal,
    begin: () => void = () => {},
    hasPlace: () => boolean = () => true,
  ): Promise<T> {
    return await new Promise<T>((resolve, reject) => {
      this.#waiting.push({
        run: async () => {
          if (signal.aborted) return reject(signal.reason as Error);
          try {
            if (!hasPlace()) return reject(new NoPlace('no place for a further link'));
            begin();
          } catch (error) {
            // The queue goes on whatever a strap's own code does.
            return reject(error as Error);
          }
          // Not AbortSignal.any: Node keeps a composite signal that has a listener for ever (gcPersistentSignals), and with it the link.
          const end = new AbortController();
          const forward = (): void => end.abort(signal.reason);
          signal.addEventListener('abort', forward);
          const timer = setTimeout(
            () => end.abort(new ConnectTimeout(`no connection in ${this.#timeoutMs} ms`)),
            this.#timeoutMs,
          );
          const attempt = connect(end.signal);
          const settled = attempt.then(resolve, reject);
          const cancelled = new Promise<void>((done) => {
            end.signal.addEventListener('abort', () => {
              reject(end.signal.reason as Error);
              const patience = setTimeout(done, this.#cancelMs);
              void settled.finally(() => clearTimeout(patience));
            });
          });
          await Promise.race([settled, cancelled]);
          clearTimeout(timer);
          signal.removeEventListener('abort', forward);
        },
      });
      void this.#next();
    });
  }

  async #next(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    for (let turn = this.#waiting.shift(); turn !== undefined; turn = this.#waiting.shift()) await turn.run();
    this.#busy = false;
  }
}
