/**
 * Hands each reading to the bridge's outbox, which numbers it, delivers it to the forwarder and publishes it live. The only place where
 * the bridge uses the outbox for readings.
 */
import type { Gap } from '../../contract/device-status.ts';
import type { StrapReading, StrapSink } from '../straps/strap-ports.ts';
import type { BridgeOutbox } from './bridge-outbox.ts';
import type { DevicePublisher } from './device-publisher.ts';
import type { LastReadings } from './last-readings.ts';

export interface ReadingPublisherOptions {
  outbox: Pick<BridgeOutbox, 'accept'>;
  devices: Pick<DevicePublisher, 'gap'>;
  lastReadings: Pick<LastReadings, 'read'>;
}

export class ReadingPublisher implements StrapSink {
  readonly #o: ReadingPublisherOptions;

  constructor(options: ReadingPublisherOptions) {
    this.#o = options;
  }

  reading(reading: StrapReading): void {
    this.#o.outbox.accept(reading);
    this.#o.lastReadings.read(reading.device, reading.timestamp);
  }

  gap(device: string, gap: Gap): void {
    this.#o.devices.gap(device, gap);
  }
}
