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
import type { People } from './people.ts';

export interface StrapPublisherOptions {
  devices: DevicePublisher;
  homeAssistant: HomeAssistant;
  lastReadings: Pick<LastReadings, 'take'>;
  names: Pick<DeviceNames, 'all'>;
  people: Pick<People, 'of' | 'renamed'>;
}

export class StrapPublisher implements StrapHistory {
  readonly #o: StrapPublisherOptions;
  readonly #earlier = new EarlierStatuses();
  /** The status of each device that is published. */
  readonly #shown = new Map<string, () => DeviceStatus>();

  constructor(options: StrapPublisherOptions) {
    this.#o = options;
  }

  observe(events: StrapEvents): void {
    events.on('discovered', (strap, renamedFrom) => {
      if (renamedFrom !== undefined) {
        this.unpublish(renamedFrom);
        this.#o.people.renamed(renamedFrom, strap.device);
      }
      this.#show(strap.device, () => strap.status());
    });
    events.on('status', (strap) => {
      this.#o.devices.changed(strap.device);
      this.#describe(strap.device);
    });
    events.on('dropped', (device) => this.unpublish(device));
  }

  #show(device: string, status: () => DeviceStatus): void {
    this.#shown.set(device, status);
    this.#o.devices.add(device, status);
    this.#describe(device);
  }

  /** Tells Home Assistant what is known about a strap now: more after the first link, or another name. */
  #describe(device: string): void {
    const status = this.#shown.get(device)?.();
    if (status === undefined) return;
    this.#o.homeAssistant.add(device, { ...status, name: this.#o.people.of(device).name ?? status.name });
  }

  /** An operator entered who wears a strap. */
  personChanged(device: string): void {
    this.#describe(device);
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
      this.#show(device, this.#earlier.keep(status));
    } else if (known !== undefined || isOurs) this.unpublish(device);
  }

  /** Removes the retained topics of a device; its status last, so that no entity is left without one if the bridge is killed between. */
  unpublish(device: string): void {
    this.#shown.delete(device);
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
