/**
 * One connect at a time: in noble a pending connect blocks all others, and overlapping connects to one strap leave one that never
 * settles. Who is first follows Home Assistant's habluetooth and bleak-retry-connector, which count the failures of each address:
 *
 * - straps that have delivered readings before come first, then those that the settings name, then those with fewer failed connects,
 *   then who came first;
 * - a strap that has never connected gets a short time, one that has delivered a long one;
 * - an attempt gives way to a strap that has delivered readings, once it had its share of time. That is no failure of the attempt.
 */

/** What a connect may claim. */
export interface ConnectClaim {
  /** The strap has delivered readings before. */
  proven: boolean;
  /** An alias or BLE_ALLOW names it. */
  listed?: boolean;
  /** Connects to it that failed since the last that did not. */
  failures: number;
}

interface Waiting {
  claim: ConnectClaim;
  run: () => Promise<void>;
}

interface Current {
  claim: ConnectClaim;
  startedAt: number;
  abort: (reason: Error) => void;
}

/** The connect did not settle within its limit and was cancelled. */
export class ConnectTimeout extends Error {
  override readonly name = 'ConnectTimeout';
}

/** All slots were taken when the turn came: nothing was attempted. */
export class NoSlot extends Error {
  override readonly name = 'NoSlot';
}

/** The attempt gave way to a strap that has delivered readings before. */
export class GaveWay extends Error {
  override readonly name = 'GaveWay';
}

/** A strap advertises at least every 2.5 s (HRP v1.0, 5.1), and can be connected at each advertisement. */
const FIRST_LIMIT_MS = 5000;
const AGAIN_LIMIT_MS = 3000;
/** Time that an attempt has before it gives way: the first one of a strap, a further one, and one of a strap that has delivered. */
const FIRST_SHARE_MS = 1000;
const AGAIN_SHARE_MS = 300;
const PROVEN_SHARE_MS = 3000;

const PROVEN: ConnectClaim = { proven: true, failures: 0 };
/** A listed strap comes before strangers, unless it failed so often that it is not there. */
const LISTED_LEAD = 5;

function rankOf({ proven, listed = false, failures }: ConnectClaim): number {
  if (proven) return 0;
  return listed ? 1 + failures : 1 + LISTED_LEAD + failures;
}

function shareMsOf({ proven, failures }: ConnectClaim): number {
  if (proven) return PROVEN_SHARE_MS;
  return failures === 0 ? FIRST_SHARE_MS : AGAIN_SHARE_MS;
}

export class ConnectQueue {
  readonly #waiting: Waiting[] = [];
  readonly #timeoutMs: number;
  /** How long the next attempt waits for the radio to end a cancelled one. */
  readonly #cancelMs: number;
  #current: Current | undefined;
  #giveWay: NodeJS.Timeout | undefined;
  #busy = false;

  constructor(options: { timeoutMs: number; cancelMs?: number }) {
    this.#timeoutMs = options.timeoutMs;
    this.#cancelMs = options.cancelMs ?? 1000;
  }

  /** True while a connect is in progress. */
  get busy(): boolean {
    return this.#busy;
  }

  /** True while a connect to a strap that has delivered readings is in progress. */
  get busyWithProven(): boolean {
    return this.#current?.claim.proven === true;
  }

  get length(): number {
    return this.#waiting.length;
  }

  #limitMsOf({ proven, failures }: ConnectClaim): number {
    if (proven) return this.#timeoutMs;
    return Math.min(this.#timeoutMs, failures === 0 ? FIRST_LIMIT_MS : AGAIN_LIMIT_MS);
  }

  /**
   * Runs one connect when its turn comes. Its signal is aborted at the limit, with `signal`, or when it gives way; the promise then
   * rejects with ConnectTimeout, the reason of the abort, or GaveWay. At the turn `hasSlot` is checked first (false: rejects with
   * NoSlot), then `begin` is called.
   */
  async run<T>(
    connect: (signal: AbortSignal) => Promise<T>,
    signal: AbortSignal,
    begin: () => void = () => {},
    hasSlot: () => boolean = () => true,
    claim: ConnectClaim = PROVEN,
  ): Promise<T> {
    return await new Promise<T>((resolve, reject) => {
      this.#waiting.push({
        claim,
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
          const limitMs = this.#limitMsOf(claim);
          const timer = setTimeout(() => end.abort(new ConnectTimeout(`not connected within ${limitMs} ms`)), limitMs);
          this.#current = { claim, startedAt: performance.now(), abort: (reason) => end.abort(reason) };
          const attempt = connect(end.signal);
          const settled = attempt.then(resolve, reject);
          const cancelled = new Promise<void>((done) => {
            end.signal.addEventListener('abort', () => {
              reject(end.signal.reason as Error);
              const patience = setTimeout(done, this.#cancelMs);
              void settled.finally(() => clearTimeout(patience));
            });
          });
          this.#makeWay();
          await Promise.race([settled, cancelled]);
          this.#current = undefined;
          clearTimeout(timer);
          clearTimeout(this.#giveWay);
          signal.removeEventListener('abort', forward);
        },
      });
      void this.#next();
      this.#makeWay();
    });
  }

  /** Ends the current attempt, as soon as it had its share, if a strap that has delivered readings waits. */
  #makeWay(): void {
    const current = this.#current;
    if (current === undefined || !this.#waiting.some(({ claim }) => claim.proven)) return;
    clearTimeout(this.#giveWay);
    const dueMs = current.startedAt + shareMsOf(current.claim) - performance.now();
    this.#giveWay = setTimeout(
      () => {
        if (this.#current === current) current.abort(new GaveWay('gave way to a strap that has delivered readings'));
      },
      Math.max(0, dueMs),
    );
  }

  /** Takes the waiting connect with the best claim. */
  #take(): Waiting | undefined {
    let best = 0;
    for (const [index, { claim }] of this.#waiting.entries())
      if (rankOf(claim) < rankOf(this.#waiting[best]?.claim ?? claim)) best = index;
    return this.#waiting.splice(best, 1)[0];
  }

  async #next(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    for (let turn = this.#take(); turn !== undefined; turn = this.#take()) await turn.run();
    this.#busy = false;
  }
}
