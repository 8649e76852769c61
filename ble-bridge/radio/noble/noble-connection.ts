/**
 * One connection of noble behind the radio seam. noble keeps the link (HCI, L2CAP, pairing); its GATT client is replaced by ours
 * (radio/att/): noble's hides the errors that a peripheral answers with, and stalls after answers that it does not expect.
 */
import { cleanName } from '../advertised-name.ts';
import { AttClient } from '../att/att-client.ts';
import { GattClient, type GattCharacteristic, type GattService } from '../att/gatt-client.ts';
import { disconnectReason } from '../disconnect-reasons.ts';
import { RadioError } from '../radio-error.ts';
import { SERVICES, type RadioCharacteristic, type RadioConnection, type Traffic } from '../radio.ts';
import type { NobleLink, NoblePeripheral } from './noble-types.ts';
import { Pairing } from './pairing.ts';

/** L2CAP channel of the Attribute Protocol on LE links. */
const ATT_CHANNEL = 0x0004;
/** Characteristic of the Generic Access service (Core, volume 3 part C, 12.1). */
const DEVICE_NAME = 0x2a00;
const OPTIONAL: ReadonlySet<string> = new Set([SERVICES.battery, SERVICES.deviceInformation]);

class NobleRadioCharacteristic implements RadioCharacteristic {
  readonly uuid: string;
  readonly notifies: boolean;
  readonly readable: boolean;
  readonly #gatt: GattClient;
  readonly #characteristic: GattCharacteristic;

  constructor(gatt: GattClient, characteristic: GattCharacteristic) {
    this.#gatt = gatt;
    this.#characteristic = characteristic;
    this.uuid = characteristic.uuid;
    this.notifies = characteristic.notifies;
    this.readable = characteristic.readable;
  }

  async read(): Promise<Buffer> {
    return await this.#gatt.read(this.#characteristic);
  }

  async write(value: Buffer): Promise<void> {
    await this.#gatt.write(this.#characteristic, value);
  }

  async subscribe(onData: (value: Buffer) => void): Promise<void> {
    await this.#gatt.subscribe(this.#characteristic, onData);
  }
}

export class NobleConnection implements RadioConnection {
  readonly #peripheral: NoblePeripheral;
  /** With a reason: the link has ended. Without: it was abandoned. Called once. */
  readonly #onEnd: (reason: string | undefined) => void;
  readonly #att: AttClient;
  readonly #gatt: GattClient;
  readonly #pairing: Pairing;
  #services: GattService[] = [];
  #ended = false;
  /** What it sent on other channels than ATT's. */
  readonly #signaling = { packets: 0, bytes: 0 };

  constructor(peripheral: NoblePeripheral, link: NobleLink, onEnd: (reason: string | undefined) => void) {
    this.#peripheral = peripheral;
    this.#onEnd = onEnd;
    const stream = link._aclStream;
    this.#pairing = new Pairing(stream);
    this.#att = new AttClient({
      mtu: link._desired_mtu,
      send: (pdu) => {
        if (!this.#ended) stream.write(ATT_CHANNEL, pdu);
      },
      pair: () => this.#pairing.pair(),
      onValue: (handle, value) => this.#gatt.value(handle, value),
    });
    this.#gatt = new GattClient(this.#att);
    // noble's client has sent its MTU request, and is detached before the answer can arrive.
    link.onAclStreamEnd();
    this.#att.expectMtuAnswer();
    stream.on('data', (channel: number, data: Buffer) => {
      if (channel === ATT_CHANNEL) this.#att.receive(data);
      else {
        this.#signaling.packets += 1;
        this.#signaling.bytes += data.length;
        this.#pairing.received(channel, data);
      }
    });
    peripheral.once('disconnect', (code: unknown) => this.#end(disconnectReason(code)));
  }

  get answeredAt(): number {
    return this.#att.answeredAt;
  }

  get unasked(): Traffic {
    const { packets, bytes, others } = this.#att.unasked;
    const { packets: more, bytes: moreBytes } = this.#signaling;
    return { packets: packets + more, bytes: bytes + moreBytes, others: others + more };
  }

  #end(reason: string | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#att.end();
    this.#pairing.end();
    // The peripheral is reused: remaining listeners would never be removed.
    this.#peripheral.removeAllListeners();
    this.#onEnd(reason);
  }

  async discover(): Promise<RadioCharacteristic[]> {
    this.#services = await this.#gatt.services();
    return await this.#characteristicsOf(({ uuid }) => uuid === SERVICES.heartRate);
  }

  async discoverOptional(): Promise<RadioCharacteristic[]> {
    return await this.#characteristicsOf(({ uuid }) => OPTIONAL.has(uuid));
  }

  async #characteristicsOf(wanted: (service: GattService) => boolean): Promise<RadioCharacteristic[]> {
    const found: RadioCharacteristic[] = [];
    for (const service of this.#services.filter(wanted))
      for (const characteristic of await this.#gatt.characteristics(service))
        found.push(new NobleRadioCharacteristic(this.#gatt, characteristic));
    return found;
  }

  async readName(): Promise<string | undefined> {
    const value = await this.#gatt.readFirst(DEVICE_NAME);
    // Some peripherals end it with a zero byte.
    return value === undefined ? undefined : cleanName(value.toString('utf8').replace(/\0[\s\S]*$/, ''));
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
