/** A link as noble hands it over, with a peripheral that the test plays: the product's own ATT and GATT client without a controller. */
import { EventEmitter } from 'node:events';
import type { NobleAclStream, NobleLink, NoblePeripheral } from '../../../ble-bridge/radio/noble/noble-types.ts';
import { NobleConnection } from '../../../ble-bridge/radio/noble/noble-connection.ts';

/** L2CAP channels. */
export const ATT_CHANNEL = 4;
export const SMP_CHANNEL = 6;

class ScriptedStream extends EventEmitter implements NobleAclStream {
  onWrite: (channel: number, data: Buffer) => void = () => {};
  onEncrypt: () => void = () => {};

  write(channel: number, data: Buffer): void {
    this.onWrite(channel, data);
  }

  encrypt(): void {
    this.onEncrypt();
  }
}

class ScriptedPeripheral extends EventEmitter implements NoblePeripheral {
  readonly id = 'c00000000001';
  readonly address = 'c0:00:00:00:00:01';
  readonly rssi = -50;
  readonly connectable = true;
  state = 'connected';

  connect(): void {}

  cancelConnect(): void {}

  disconnect(): void {
    this.state = 'disconnected';
    this.emit('disconnect', 0x16);
  }

  async updateRssiAsync(): Promise<number> {
    return await Promise.resolve(this.rssi);
  }
}

export interface ScriptedLink {
  connection: NobleConnection;
  /** A PDU of the peripheral. */
  deliver(pdu: Buffer, channel?: number): void;
  /** The controller reports the end of the link. */
  endLink(reason?: number): void;
  /** The controller reports the result of an encryption: 1 or 0; undefined: pairing failed. */
  encrypted(result: number | undefined): void;
  /** Reasons for which the link ended. */
  readonly ends: (string | undefined)[];
  readonly peripheral: EventEmitter;
}

/** MTU that noble asks for. */
export const DESIRED_MTU = 256;

/** Starts a link; noble has sent its MTU request. `onWrite` gets what the product sends, `onEncrypt` is called when it pairs. */
export function startScriptedLink(script: {
  onWrite: (data: Buffer, channel: number) => void;
  onEncrypt?: () => void;
}): ScriptedLink {
  const stream = new ScriptedStream();
  const peripheral = new ScriptedPeripheral();
  stream.onWrite = (channel, data) => script.onWrite(data, channel);
  stream.onEncrypt = () => script.onEncrypt?.();
  const link: NobleLink = { _aclStream: stream, _desired_mtu: DESIRED_MTU, onAclStreamEnd: () => {} };
  const ends: (string | undefined)[] = [];
  return {
    connection: new NobleConnection(peripheral, link, (reason) => ends.push(reason)),
    deliver: (pdu, channel = ATT_CHANNEL) => void stream.emit('data', channel, pdu),
    endLink(reason = 0x08) {
      peripheral.state = 'disconnected';
      peripheral.emit('disconnect', reason);
    },
    encrypted: (result) => void (result === undefined ? stream.emit('encryptFail') : stream.emit('encrypt', result)),
    ends,
    peripheral,
  };
}
