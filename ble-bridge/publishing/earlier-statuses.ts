/** Statuses that an earlier process left on the broker: published as lost until the strap advertises, then restored. */
import type { DeviceStatus } from '../../contract/device-status.ts';

export class EarlierStatuses {
  readonly #byDevice = new Map<string, DeviceStatus>();

  /** Keeps a status, and returns what to publish until the strap advertises. */
  keep(status: DeviceStatus): () => DeviceStatus {
    const lost: DeviceStatus = status.state === 'lost' ? status : { ...status, state: 'lost', since: new Date().toISOString() };
    this.#byDevice.set(status.device, lost);
    return () => lost;
  }

  /** The earlier status of a strap; a further call returns undefined. */
  take(device: string): DeviceStatus | undefined {
    const status = this.#byDevice.get(device);
    this.#byDevice.delete(device);
    return status;
  }
}
