/** One kind of file operation that may fail for a while: when it is tried again, and what the disk reported. */
import { messageOf, systemCodeOf } from '../service/errors/errors.ts';

export type DiskOperation = 'write' | 'read' | 'remove';

export interface DiskTrouble {
  operation: DiskOperation;
  /** The system's code, `EIO`. */
  code: string;
  message: string;
  sinceMs: number;
}

export class DiskRetry {
  readonly operation: DiskOperation;
  readonly #minMs: number;
  readonly #maxMs: number;
  #delayMs: number;
  #dueAtMs = 0;
  #trouble: DiskTrouble | undefined;
  #failures = 0;
  #failedAtMs = Number.NEGATIVE_INFINITY;

  constructor(operation: DiskOperation, minMs: number, maxMs: number) {
    this.operation = operation;
    this.#minMs = minMs;
    this.#maxMs = maxMs;
    this.#delayMs = minMs;
  }

  /** What the last attempt failed with; undefined if it succeeded. */
  get trouble(): DiskTrouble | undefined {
    return this.#trouble;
  }

  /** How long to wait before the next attempt, after a failure. */
  get delayMs(): number {
    return Math.max(0, this.#dueAtMs - performance.now());
  }

  /** Attempts in a row that failed. */
  get failures(): number {
    return this.#failures;
  }

  /** How long ago the last attempt failed. */
  failedAgoMs(nowMs: number): number {
    return nowMs - this.#failedAtMs;
  }

  isDue(nowMs: number): boolean {
    return this.#trouble === undefined || nowMs >= this.#dueAtMs;
  }

  failed(error: unknown, nowMs: number): void {
    const sinceMs = this.#trouble?.sinceMs ?? nowMs;
    const code = systemCodeOf(error) ?? 'unknown';
    this.#trouble = { operation: this.operation, code, message: messageOf(error), sinceMs };
    this.#failures += 1;
    this.#failedAtMs = nowMs;
    this.#dueAtMs = nowMs + this.#delayMs;
    this.#delayMs = Math.min(2 * this.#delayMs, this.#maxMs);
  }

  succeeded(): void {
    this.#trouble = undefined;
    this.#failures = 0;
    this.#delayMs = this.#minMs;
  }
}
