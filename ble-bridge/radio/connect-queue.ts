/**
 * One connect at a time: in noble a pending connect blocks all others, and overlapping connects to one strap leave one that never
 * settles. First come, first served: a strap whose attempt failed queues behind the others.
 */

interface Waiting {
  run: () => Promise<void>;
}

/** The connect did not settle within its limit and was cancelled. */
export class ConnectTimeout extends Error {
  override readonly name = 'ConnectTimeout';
}

/** All slots were taken when the turn came: nothing was attempted. */
export class NoSlot extends Error {
  override readonly name = 'NoSlot';
}

export class ConnectQueue {
  readonly #waiting: Waiting[] = [];
  readonly #timeoutMs: number;
  /** How long the next attempt waits for the radio to end a cancelled one. */
  readonly #cancelMs: number;
  #busy = false;

  constructor(options: { timeoutMs: number; cancelMs?: number }) {
    this.#timeoutMs = options.timeoutMs;
    this.#cancelMs = options.cancelMs ?? 1000;
  }

  /** True while a connect is in progress. */
  get busy(): boolean {
    return this.#busy;
  }

  get length(): number {
    return this.#waiting.length;
  }

  /**
   * Runs one connect when its turn comes. Its signal is aborted at the timeout or with `signal`; the promise then rejects with
   * ConnectTimeout or the reason of the abort. At the turn `hasSlot` is checked first (false: rejects with NoSlot), then `begin` is
   * called.
   */
  async run<T>(
    connect: (signal: AbortSignal) => Promise<T>,
    signal: AbortSignal,
    begin: () => void = () => {},
    hasSlot: () => boolean = () => true,
  ): Promise<T> {
    return await new Promise<T>((resolve, reject) => {
      this.#waiting.push({
        run: async () => {
          if (signal.aborted) return reject(signal.reason as Error);
          try {
            if (!hasSlot()) return reject(new NoSlot('no slot for a further link'));
            begin();
          } catch (error) {
            // An error of the caller must not stop the queue.
            return reject(error as Error);
          }
          // Not AbortSignal.any: Node retains a composite signal with a listener forever (gcPersistentSignals), and the link with it.
          const end = new AbortController();
          const forward = (): void => end.abort(signal.reason);
          signal.addEventListener('abort', forward);
          const timer = setTimeout(
            () => end.abort(new ConnectTimeout(`not connected within ${this.#timeoutMs} ms`)),
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
