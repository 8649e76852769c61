/**
 * The page's sessions: random ids that stand for the operator's token, so that a browser never keeps the token itself. Only their hashes
 * are kept, in memory: a session ends by logout, after 7 days, with a new token, and with the process. They are not on disk: a full or
 * failing disk must not bring a revoked session back.
 */
import { createHash, randomBytes } from 'node:crypto';

/** How long a session lasts. */
export const SESSION_SECONDS = 7 * 86_400;
/** Beyond it the oldest session ends. */
const SESSIONS_MAX = 100;

const digest = (id: string): string => createHash('sha256').update(id).digest('base64url');

export class Sessions {
  /** When each ends, by the hash of its id; oldest first. */
  readonly #ends = new Map<string, number>();
  readonly #now: () => number;
  readonly #onEnd: (key: string) => void;

  /** `onEnd` is called with the key of each session that ends; `now` returns milliseconds of a monotonic clock. */
  constructor(onEnd: (key: string) => void, now: () => number = () => performance.now()) {
    this.#onEnd = onEnd;
    this.#now = now;
  }

  /** Begins a session and returns its id, 256 random bits, which is not kept. */
  begin(): string {
    this.endExpired();
    const oldest = this.#ends.keys().next().value;
    if (this.#ends.size >= SESSIONS_MAX && oldest !== undefined) this.#end(oldest);
    const id = randomBytes(32).toString('base64url');
    this.#ends.set(digest(id), this.#now() + SESSION_SECONDS * 1000);
    return id;
  }

  /** The key of a session that has not ended, else undefined. */
  keyOf(id: string): string | undefined {
    const key = digest(id);
    const endsAtMs = this.#ends.get(key);
    if (endsAtMs === undefined) return undefined;
    if (endsAtMs > this.#now()) return key;
    this.#end(key);
    return undefined;
  }

  /** Ends the session of this id, if there is one. */
  end(id: string): void {
    this.#end(digest(id));
  }

  endExpired(): void {
    const nowMs = this.#now();
    for (const [key, endsAtMs] of this.#ends) if (endsAtMs <= nowMs) this.#end(key);
  }

  endAll(): void {
    for (const key of this.#ends.keys()) this.#end(key);
  }

  #end(key: string): void {
    if (this.#ends.delete(key)) this.#onEnd(key);
  }
}
