/**
 * Bounds what logins cost: one password is checked at a time, for one key after the other, and few may wait. A key stands for a network and
 * a user name; after some failures it has to wait, longer each time, and its logins are refused unchecked meanwhile. So a client that
 * guesses slows down its own guesses, and not the other users of its address: behind Docker all clients share one. Service keys, and
 * passwords that were verified before, do not pass through here.
 */
import { setTimeout as sleep } from 'node:timers/promises';

interface Login {
  /** Checks the password, or not, and answers. */
  run: () => Promise<boolean>;
}

/** Logins that wait: of one key, and in all. */
export const WAITING_OF_KEY = 8;
export const WAITING_MAX = 64;

export class LoginThrottle {
  readonly #failures = new Map<string, { count: number; untilMs: number }>();
  /** Waiting logins by key; the key whose turn it is comes first. */
  readonly #waiting = new Map<string, Login[]>();
  #waitingCount = 0;
  #isRunning = false;
  readonly #now: () => number;
  static readonly #FREE = 5;
  static readonly #KEYS_MAX = 1000;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Runs `check` when it is this key's turn. Returns undefined without running it while the key has to wait, or if too many wait. */
  async inTurn<T>(key: string, check: () => Promise<T | undefined>): Promise<T | undefined> {
    const logins = this.#waiting.get(key) ?? [];
    if (logins.length >= WAITING_OF_KEY || this.#waitingCount >= WAITING_MAX) return undefined;
    const answer = new Promise<T | undefined>((resolve, reject) => {
      logins.push({
        run: async () => {
          if ((this.#failures.get(key)?.untilMs ?? 0) > this.#now()) {
            resolve(undefined);
            return false;
          }
          const checked = await check().then(
            (result) => {
              resolve(result);
              return result;
            },
            (error: unknown) => {
              reject(error as Error);
              return undefined;
            },
          );
          return checked === undefined;
        },
      });
    });
    this.#waiting.set(key, logins);
    this.#waitingCount += 1;
    if (!this.#isRunning) void this.#runAll();
    return await answer;
  }

  async #runAll(): Promise<void> {
    this.#isRunning = true;
    for (let entry = this.#next(); entry !== undefined; entry = this.#next()) {
      const beganAtMs = performance.now();
      const wasWrong = await entry.run();
      // A flood of wrong passwords gets half of a processor at most.
      if (wasWrong) await sleep(performance.now() - beganAtMs);
    }
    this.#isRunning = false;
  }

  /** The next login; its key comes last then. */
  #next(): Login | undefined {
    const [entry] = this.#waiting;
    if (entry === undefined) return undefined;
    const [key, logins] = entry;
    const login = logins.shift();
    this.#waiting.delete(key);
    if (logins.length > 0) this.#waiting.set(key, logins);
    this.#waitingCount -= 1;
    return login;
  }

  /** Counts a failure. Returns for how many milliseconds to delay the answer. */
  failed(key: string): number {
    const before = this.#failures.get(key);
    const nowMs = this.#now();
    // Refused unchecked: the wait is not extended, so that it ends for a user who then gives the right password.
    if (before !== undefined && before.untilMs > nowMs) return before.untilMs - nowMs;
    const count = (before?.count ?? 0) + 1;
    this.#failures.delete(key);
    if (this.#failures.size >= LoginThrottle.#KEYS_MAX) {
      const oldest = this.#failures.keys().next().value;
      if (oldest !== undefined) this.#failures.delete(oldest);
    }
    const delayMs = count <= LoginThrottle.#FREE ? 0 : Math.min(10_000, 250 * 2 ** (count - LoginThrottle.#FREE - 1));
    this.#failures.set(key, { count, untilMs: nowMs + delayMs });
    return delayMs;
  }

  succeeded(key: string): void {
    this.#failures.delete(key);
  }
}
