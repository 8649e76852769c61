/**
 * Decides how many straps may be connected: BLE_MAX_STRAPS, and what the controller accepts. The controller's limit is learned when it
 * refuses a link, and expires after ten minutes.
 */
import type { Config } from '../../service/config/config.ts';
import type { Logger, RepeatLimiter } from '../../service/log/log.ts';
import { RadioError } from '../radio/radio-error.ts';
import type { Radio } from '../radio/radio.ts';

/** What a link asks before it connects. */
export interface ConnectSlots {
  /**
   * Whether a strap may queue for a connect now: the radio is on, and links and waiting straps leave a slot. One of our own does not wait
   * for strangers: those in the queue do not count, and one that is connected and delivers nothing makes room.
   */
  mayQueue(own?: boolean): boolean;
  /** Whether a slot is free when its turn comes: the last one may have been taken, or a limit learned, since it queued. */
  hasFree(own?: boolean): boolean;
}

/** The links that take a slot. */
export interface SlotUse {
  readonly connected: number;
  /** Connected, or in the connect queue. */
  readonly occupied: number;
  /** As `occupied`, without strangers that are in the queue. */
  readonly occupiedByOwn?: number;
  /** Ends the link of a stranger that has delivered nothing, if there is one. */
  endLinkOfStranger?(): void;
}

export interface ConnectionSlotsOptions {
  config: Pick<Config, 'BLE_MAX_STRAPS'>;
  log: Logger;
  repeats: RepeatLimiter;
  radio: Pick<Radio, 'kind' | 'state'>;
  use: SlotUse;
}

/** A learned limit is tested again after this long. */
const LIMIT_EXPIRES_MS = 600_000;
/** A slot that was freed for a strap of our own is kept for it this long: it queues within a second, at its link's next tick. */
const RESERVED_MS = 4000;

export class ConnectionSlots implements ConnectSlots {
  readonly #o: ConnectionSlotsOptions;
  #learned: { straps: number; at: number } | undefined;
  /** When a slot was last freed for a strap of our own (performance.now()). */
  #reservedAt = -Infinity;

  constructor(options: ConnectionSlotsOptions) {
    this.#o = options;
  }

  /** The learned limit of the controller, or null. */
  get limit(): number | null {
    return this.#learned?.straps ?? null;
  }

  mayQueue(own = false): boolean {
    const { use } = this.#o;
    if (!own) return !this.#isReserved && this.#isFree(use.occupied);
    if (this.#isFree(use.occupiedByOwn ?? use.occupied)) return true;
    if (this.#o.radio.state !== 'powered_on' || this.#isReserved) return false;
    this.#reservedAt = performance.now();
    use.endLinkOfStranger?.();
    return false;
  }

  hasFree(own = false): boolean {
    return (own || !this.#isReserved) && this.#isFree(this.#o.use.connected);
  }

  get #isReserved(): boolean {
    return performance.now() - this.#reservedAt < RESERVED_MS;
  }

  #isFree(taken: number): boolean {
    const { radio, config, repeats } = this.#o;
    if (radio.state !== 'powered_on') return false;
    // The number of simulated straps is a setting of its own; this limit is the adapter's.
    if (radio.kind === 'noble' && taken >= config.BLE_MAX_STRAPS) {
      repeats.info(
        'max',
        { event: 'straps_limit_reached', limit: config.BLE_MAX_STRAPS, setting: 'BLE_MAX_STRAPS' },
        'BLE_MAX_STRAPS straps are connected; further straps wait',
      );
      return false;
    }
    if (this.#learned === undefined) return true;
    if (performance.now() - this.#learned.at > LIMIT_EXPIRES_MS) {
      this.#learned = undefined;
      return true;
    }
    return taken < this.#learned.straps;
  }

  /** Learns the controller's limit from a failed attempt. */
  learn(error: unknown): void {
    const { connected } = this.#o.use;
    if (!(error instanceof RadioError) || error.code !== 'controller_limit' || connected === 0) return;
    this.#learned = { straps: connected, at: performance.now() };
    this.#o.log.warn(
      { event: 'controller_limit', straps: connected },
      'the adapter accepts no further link; further straps wait for a free slot',
    );
  }

  /** Forgets the learned limit: the adapter may be another one now. */
  reset(): void {
    this.#learned = undefined;
  }
}
