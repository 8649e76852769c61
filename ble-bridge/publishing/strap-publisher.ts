/**
 * Publishes what is known about each strap: its retained status and its Home Assistant entities. Takes over what an earlier process
 * left: retained statuses and the times of the last readings.
 */
import type { DeviceStatus } from '../../contract/device-status.ts';
import { isEstablished, type DeviceNames } from '../straps/device-names.ts';
import type { EarlierStrap, StrapEvents, StrapHistory } from '../straps/strap-ports.ts';
import type { Strap } from '../straps/strap.ts';
import type { DevicePublisher } from './device-publisher.ts';
import { EarlierStatuses } from './earlier-statuses.ts';
import type { HomeAssistant } from './home-assistant.ts';
import type { LastReadings } from './last-readings.ts';

export interface StrapPublisherOptions {
  devices: DevicePublisher;
  homeAssistant: HomeAssistant;
  lastReadings: Pick<LastReadings, 'take'>;
  names: Pick<DeviceNames, 'all'>;
}

export class StrapPublisher implements StrapHistory {
  readonly #o: StrapPublisherOptions;
  readonly #earlier = new EarlierStatuses();

  constructor(options: StrapPublisherOptions) {
    this.#o = options;
  }

  observe(events: StrapEvents): void {
    events.on('discovered', (strap, renamedFrom) => {
      if (renamedFrom !== undefined) this.unpublish(renamedFrom);
      this.#o.devices.add(strap.device, () => strap.status());
      this.#o.homeAssistant.add(strap.device, strap.status().name);
    });
    events.on('status', (strap) => this.#o.devices.changed(strap.device));
    events.on('dropped', (device) => this.unpublish(device));
  }

  take(device: string): EarlierStrap {
    const status = this.#earlier.take(device);
    const lastReadingAt = this.#o.lastReadings.take(device);
    return { ...(status === undefined ? {} : { status }), ...(lastReadingAt === undefined ? {} : { lastReadingAt }) };
  }

  /**
   * A retained device status that an earlier process left; not that of another bridge. A strap that is known already restores its values
   * from it; one without an advertisement so far is published as lost, and its entities again: an earlier version described them
   * otherwise. The topics of a strap that is not known any more, or that never delivered, are removed: it may never come back.
   * `find` looks a strap up by its device; `isOurs`: this bridge published the status.
   */
  retained(status: DeviceStatus, find: (device: string) => Strap | undefined, isOurs: boolean): void {
    const { device } = status;
    const strap = find(device);
    if (strap !== undefined) return strap.restore({ status });
    const known = this.#o.names.all.find((candidate) => candidate.device === device);
    const delivered = status.readings > 0 || status.last_reading_at !== null;
    if (known !== undefined && (delivered || isEstablished(known))) {
      this.#o.devices.add(device, this.#earlier.keep(status));
      this.#o.homeAssistant.add(device, status.name);
    } else if (known !== undefined || isOurs) this.unpublish(device);
  }

  /** Removes the retained topics of a device; its status last, so that no entity is left without one if the bridge is killed between. */
  unpublish(device: string): void {
    this.#o.homeAssistant.remove(device);
    this.#o.devices.remove(device);
  }

  /** Removes the retained topics of a device, and forgets its earlier status. */
  forget(device: string): void {
    this.#earlier.take(device);
    this.unpublish(device);
  }

  /** The broker is connected; it may have lost its retained messages. */
  up(): void {
    this.#o.devices.up();
    this.#o.homeAssistant.up();
  }
}
