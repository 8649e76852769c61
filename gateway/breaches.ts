/** Counts the limits that clients ran into, and names each in the log, rate-limited. */
import { RepeatLimiter, type Logger } from '../service/log/log.ts';

export class Breaches {
  readonly #counts: Record<string, number> = {};
  readonly #repeats: RepeatLimiter;

  constructor(log: Logger) {
    this.#repeats = new RepeatLimiter(log);
  }

  add(limit: string, fields: object = {}): void {
    this.#counts[limit] = (this.#counts[limit] ?? 0) + 1;
    this.#repeats.warn(limit, { event: 'limit_breached', limit, ...fields }, `a client ran into the limit ${limit}`);
  }

  get counts(): Readonly<Record<string, number>> {
    return this.#counts;
  }
}
