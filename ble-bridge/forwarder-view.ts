/**
 * What the bridge knows from statuses about the forwarder that takes its readings: target, commit interval, and the error of this box's
 * clock. On a broker with several boxes that may be another box's forwarder.
 */
import type { Reading } from '../contract/reading.ts';
import type { ForwarderStatus } from '../contract/forwarder-status.ts';
import type { ServiceStatus } from '../contract/service-status.ts';
import { serviceOfTopic } from '../contract/topics.ts';
import { clockState } from '../service/process/clock-state.ts';
import { serves } from '../service/network/broker.ts';
import type { StrapClock } from './straps/strap-ports.ts';

export class ForwarderView implements StrapClock {
  readonly #gateway: () => string;
  /** The forwarders that serve this box, by gateway; undefined while one is offline. */
  readonly #forwarders = new Map<string, ForwarderStatus | undefined>();

  /** `gateway`: name of this box; called when a status arrives. */
  constructor(gateway: () => string) {
    this.#gateway = gateway;
  }

  /** The forwarder of this box if it is online, else another one that serves it. */
  get #online(): ForwarderStatus | undefined {
    return this.#forwarders.get(this.#gateway()) ?? [...this.#forwarders.values()].find((status) => status !== undefined);
  }

  /** Where readings are shipped; undefined while no forwarder is online. */
  get target(): ForwarderStatus['target'] | undefined {
    return this.#online?.target;
  }

  /** Whether this box's clock is right, as far as the forwarder can tell. */
  state(): Reading['clock'] {
    return clockState(new Date(), this.#online);
  }

  /**
   * Takes a status of a forwarder. Returns its commit interval in ms, also of one that is offline; undefined if it has none, or does not
   * serve this box.
   */
  received(topic: string, { state, forwarder }: ServiceStatus): number | undefined {
    const source = serviceOfTopic(topic);
    if (source?.service !== 'forwarder') return undefined;
    const { gateway } = source;
    // A last will does not say whom the forwarder serves.
    const isServed =
      forwarder === undefined ? this.#forwarders.has(gateway) : serves(forwarder.gateways ?? [gateway], this.#gateway());
    if (!isServed) {
      this.#forwarders.delete(gateway);
      return undefined;
    }
    this.#forwarders.set(gateway, state === 'online' ? forwarder : undefined);
    return forwarder?.commit_interval_ms;
  }
}
