/**
 * Whose status stands on `hr/<device>/status` if several bridges are in range of one strap. The topic has one retained message, and belongs
 * to the bridge that published it last, for as long as that bridge is online. Another one takes it over only if it has more of the strap:
 * its readings while the owner has none, or a link while the owner has none. So two bridges do not overwrite each other in turn, and a
 * bridge that merely receives advertisements does not hide that another one is connected.
 */
import type { DeviceState, DeviceStatus } from '../../contract/device-status.ts';
import { STATUS_STALE_MS, type ServiceStatus } from '../../contract/service-status.ts';
import { serviceOfTopic } from '../../contract/topics.ts';

/** Statuses of other bridges that are remembered. */
const DEVICES_MAX = 2000;
const BRIDGES_MAX = 500;

const WITH_READINGS: readonly DeviceState[] = ['streaming', 'no_pulse', 'no_contact'];
const WITH_LINK: readonly DeviceState[] = ['connected', 'subscribing', 'silent'];

/** How much of a strap a bridge has. */
function rankOf(state: DeviceState): number {
  if (WITH_READINGS.includes(state)) return 2;
  return WITH_LINK.includes(state) ? 1 : 0;
}

export class StatusOwners {
  readonly #gateway: () => string;
  readonly #now: () => number;
  /** When the bridges of other boxes that are online last reported. */
  readonly #onlineAtMs = new Map<string, number>();
  /** The last statuses of other bridges, by device. */
  readonly #others = new Map<string, { gateway: string; state: DeviceState }>();

  /** `gateway`: name of this box; called when a status is received. `now`: milliseconds, monotonic; for tests. */
  constructor(gateway: () => string, now: () => number = () => performance.now()) {
    this.#gateway = gateway;
    this.#now = now;
  }

  /** The line is up: while it was down, nothing of other bridges was received. */
  up(): void {
    for (const gateway of this.#onlineAtMs.keys()) this.#onlineAtMs.set(gateway, this.#now());
  }

  /** A status of a bridge. */
  bridge(topic: string, { state }: ServiceStatus): void {
    const gateway = serviceOfTopic(topic)?.gateway;
    if (gateway === undefined || gateway === this.#gateway()) return;
    if (state === 'offline') this.#onlineAtMs.delete(gateway);
    else if (this.#onlineAtMs.size < BRIDGES_MAX || this.#onlineAtMs.has(gateway)) this.#onlineAtMs.set(gateway, this.#now());
  }

  /** A status on the topic of a device, our own too. Returns whether it is another bridge's that is online. */
  received({ device, gateway, state }: DeviceStatus): boolean {
    this.#others.delete(device);
    if (gateway === undefined || gateway === this.#gateway()) return false;
    if (this.#others.size < DEVICES_MAX) this.#others.set(device, { gateway, state });
    return this.isOthers(device);
  }

  /** The retained status of a device was removed. */
  removed(device: string): void {
    this.#others.delete(device);
  }

  /** Whether the status on the topic of this device is another bridge's that is online. */
  isOthers(device: string): boolean {
    const onlineAtMs = this.#onlineAtMs.get(this.#others.get(device)?.gateway ?? '');
    return onlineAtMs !== undefined && this.#now() - onlineAtMs <= STATUS_STALE_MS;
  }

  /** Whether this bridge may publish this state of a device. */
  mayPublish(device: string, state: DeviceState): boolean {
    const other = this.#others.get(device);
    return other === undefined || !this.isOthers(device) || rankOf(state) > rankOf(other.state);
  }
}
