/** Statuses that an earlier process left on the broker: shown as lost until the strap is heard again, then taken over. */
import type { DeviceStatus } from '../../contract/device-status.ts';

export class EarlierStatuses {
  readonly #byDevice = new Map<string, DeviceStatus>();

  /** Keeps one, and returns how it is to be published from now on. */
  keep(status: DeviceStatus): () => DeviceStatus {
    const lost: DeviceStatus = status.state === 'lost' ? status : { ...status, state: 'lost', since: new Date().toISOString() };
    this.#byDevice.set(status.device, lost);
    return () => lost;
  }

  /** The earlier status of a strap that is there again. */
  take(device: string): DeviceStatus | undefined {
    const status = this.#byDevice.get(device);
    this.#byDevice.delete(device);
    return status;
  }
}
