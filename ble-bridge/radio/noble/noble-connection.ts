/** One connection of noble behind the radio seam. */
import { RadioError } from '../radio-error.ts';
import { disconnectReason, SERVICES, type RadioCharacteristic, type RadioConnection } from '../radio.ts';
import type { NobleCharacteristic, NoblePeripheral, NobleService } from './noble-types.ts';

const WANTED = new Set<string>(Object.values(SERVICES));

class NobleRadioCharacteristic implements RadioCharacteristic {
  readonly uuid: string;
  readonly notifies: boolean;
  readonly readable: boolean;
  readonly #characteristic: NobleCharacteristic;

  constructor(characteristic: NobleCharacteristic) {
    this.#characteristic = characteristic;
    this.uuid = characteristic.uuid;
    this.notifies = characteristic.properties.includes('notify') || characteristic.properties.includes('indicate');
    this.readable = characteristic.properties.includes('read');
  }

  async read(): Promise<Buffer> {
    return await this.#characteristic.readAsync();
  }

  async write(value: Buffer): Promise<void> {
    await this.#characteristic.writeAsync(value, false);
  }

  async subscribe(onData: (value: Buffer) => void): Promise<void> {
    this.#characteristic.removeAllListeners();
    this.#characteristic.on('data', (value: Buffer, isNotification: boolean) => {
      if (isNotification) onData(value);
    });
    await this.#characteristic.subscribeAsync();
  }

  silence(): void {
    this.#characteristic.removeAllListeners();
  }
}

export class NobleConnection implements RadioConnection {
  readonly #peripheral: NoblePeripheral;
  /** With a reason: the link has ended. Without: it was abandoned. Called once. */
  readonly #onEnd: (reason: string | undefined) => void;
  #services: NobleService[] = [];
  #characteristics: NobleRadioCharacteristic[] = [];
  #ended = false;

  constructor(peripheral: NoblePeripheral, onEnd: (reason: string | undefined) => void) {
    this.#peripheral = peripheral;
    this.#onEnd = onEnd;
    peripheral.once('disconnect', (code: unknown) => this.#end(disconnectReason(code)));
  }

  #end(reason: string | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    // Characteristics are new objects at each discovery, and the peripheral is reused: remaining listeners would never be removed.
    for (const characteristic of this.#characteristics) characteristic.silence();
    this.#characteristics = [];
    for (const service of this.#services) service.removeAllListeners();
    this.#services = [];
    this.#peripheral.removeAllListeners();
    this.#onEnd(reason);
  }

  async discover(): Promise<RadioCharacteristic[]> {
    // Discover all services: a request for some rejects if one of them is missing, and battery and device information are optional.
    const services = await this.#peripheral.discoverServicesAsync([]);
    this.#services = services.filter(({ uuid }) => WANTED.has(uuid));
    const found: NobleRadioCharacteristic[] = [];
    for (const service of this.#services) {
      if (this.#ended) break;
      for (const characteristic of await service.discoverCharacteristicsAsync([]))
        found.push(new NobleRadioCharacteristic(characteristic));
    }
    this.#characteristics = found;
    return found;
  }

  async readRssi(): Promise<number> {
    if (this.#ended || this.#peripheral.state !== 'connected') throw new RadioError('link_ended', 'not connected');
    return await this.#peripheral.updateRssiAsync();
  }

  async disconnect(): Promise<void> {
    if (this.#ended || this.#peripheral.state !== 'connected') return;
    await new Promise<void>((resolve) => {
      this.#peripheral.once('disconnect', () => resolve());
      this.#peripheral.disconnect();
    });
  }

  abandon(): void {
    if (this.#ended) return;
    this.#end(undefined);
    // noble still considers the link open and would refuse the next connect with "Peripheral already connected".
    this.#peripheral.state = 'disconnected';
  }
}
