/**
 * When a strap is connected again, and what it may claim in the connect queue. Failures are remembered by kind: a link that was lost, a
 * request that was refused, and a connect that never succeeded each have their own growing pause.
 */
import { Backoff } from '../../service/pacing/backoff.ts';
import type { ConnectClaim } from '../radio/connect-queue.ts';
import type { LinkLimits } from './link-limits.ts';

export class LinkRetry {
  readonly #lost: Backoff;
  /** After a refusal, or without heart rate service: the strap will answer the same for a while. */
  readonly #refused: Backoff;
  /** While no connect to a strap that has never delivered succeeds: it may accept none for hours. */
  readonly #unreached: Backoff;
  /** After more packets than a strap sends. Nothing shortens it: a flood looks like heart rates. */
  readonly #excess: Backoff;
  #proven = false;
  readonly #isListed: () => boolean;
  /** Connects that timed out since the last successful one. */
  #failures = 0;

  /** `isListed`: whether an alias or BLE_ALLOW names the strap. */
  constructor(
    { backoffMinMs: minMs, backoffMaxMs: maxMs }: Pick<LinkLimits, 'backoffMinMs' | 'backoffMaxMs'>,
    isListed: () => boolean = () => false,
  ) {
    this.#isListed = isListed;
    this.#lost = new Backoff({ minMs, maxMs });
    this.#refused = new Backoff({ minMs: Math.min(10 * minMs, maxMs), maxMs });
    this.#unreached = new Backoff({ minMs: 4 * minMs, maxMs: 5 * maxMs });
    this.#excess = new Backoff({ minMs: maxMs, maxMs: 10 * maxMs });
  }

  /** The strap has delivered heart rates, in this process or an earlier one. */
  get proven(): boolean {
    return this.#proven;
  }

  /** It delivered readings, or the settings name it: it does not wait for strangers. */
  get isOwn(): boolean {
    return this.#proven || this.#isListed();
  }

  get claim(): ConnectClaim {
    return { proven: this.#proven, listed: this.#isListed(), failures: this.#failures };
  }

  /** The strap delivered readings to an earlier process. */
  deliveredBefore(): void {
    this.#proven = true;
  }

  /** A valid notification. */
  delivered(): void {
    this.#proven = true;
    for (const backoff of [this.#lost, this.#refused, this.#unreached]) backoff.reset();
  }

  connected(): void {
    this.#failures = 0;
  }

  /** Pauses in ms before the next attempt. */
  afterLossMs(): number {
    return this.#lost.nextDelayMs();
  }

  afterRefusalMs(): number {
    return this.#refused.nextDelayMs();
  }

  afterExcessMs(): number {
    return this.#excess.nextDelayMs();
  }

  afterConnectTimeoutMs(): number {
    this.#failures += 1;
    return (this.#proven ? this.#lost : this.#unreached).nextDelayMs();
  }

  /** The next attempt is due at once. */
  reset(): void {
    this.#lost.reset();
  }
}
