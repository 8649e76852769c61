/** What the bridge knows about the forwarder from its status: target, commit interval, and the error of this box's clock. */
import type { Reading } from '../contract/reading.ts';
import type { ForwarderStatus } from '../contract/forwarder-status.ts';
import type { ServiceStatus } from '../contract/service-status.ts';
import { clockState } from '../service/process/clock-state.ts';
import type { StrapClock } from './straps/strap-ports.ts';

export class ForwarderView implements StrapClock {
  #online: ForwarderStatus | undefined;

  /** Where readings are shipped; undefined while no forwarder is online. */
  get target(): ForwarderStatus['target'] | undefined {
    return this.#online?.target;
  }

  /** Whether this box's clock is right, as far as the forwarder can tell. */
  state(): Reading['clock'] {
    return clockState(new Date(), this.#online);
  }

  /** Takes a status of the forwarder. Returns its commit interval in ms, also of one that is offline; undefined if it has none. */
  received({ state, forwarder }: ServiceStatus): number | undefined {
    this.#online = state === 'online' ? forwarder : undefined;
    return forwarder?.commit_interval_ms;
  }
}
