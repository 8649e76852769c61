/** The parts of @abandonware/noble 1.9.2-26 that are used, as they are at run time: its own types lack `state` and type reasons wrongly. */
import type { EventEmitter } from 'node:events';

export interface NoblePeripheral extends EventEmitter {
  id: string;
  address: string;
  rssi: number;
  connectable: boolean;
  state: string;
  connect(options: object, callback: (error: unknown) => void): void;
  cancelConnect(): void;
  disconnect(): void;
  updateRssiAsync(): Promise<number>;
}

/** The L2CAP channels of a link. Events: 'data' (channel, data), 'encrypt' (enabled), 'encryptFail', 'end'. */
export interface NobleAclStream extends EventEmitter {
  write(channel: number, data: Buffer): void;
  /** Pairs, then encrypts; the result is an event. */
  encrypt(): void;
}

/** noble's GATT client of a link. It sends its MTU request when it is created. */
export interface NobleLink {
  readonly _aclStream: NobleAclStream;
  readonly _desired_mtu: number;
  /** Removes its listeners from the stream. */
  onAclStreamEnd(): void;
}

/** Private parts without a public alternative: the poll timer that never ends, the socket, the caches that are never pruned. */
export interface NobleBindings {
  onSigIntBinded?: NodeJS.SignalsListener;
  _pendingConnectionUuid?: string | null;
  _handles?: Record<string, unknown>;
  /** By peripheral id and by handle, while connected. */
  _gatts?: Record<string, NobleLink | undefined>;
  _addresses?: Record<string, unknown>;
  _addresseTypes?: Record<string, unknown>;
  _connectable?: Record<string, unknown>;
  scannable?: Record<string, unknown>;
  _gap?: { _discoveries?: Record<string, unknown> };
  _hci?: EventEmitter & {
    pollIsDevUp?: () => void;
    flushAcl?: () => Promise<void>;
    onSocketData?: (packet: Buffer) => void;
    /** L2CAP packets that have not arrived completely, by connection handle. */
    _handleBuffers?: Record<number, { length: number; data: Buffer } | undefined>;
    _isDevUp?: boolean | null;
    _socket?: EventEmitter & { stop?: () => void };
  };
}

export interface Noble extends EventEmitter {
  /** Reading it starts noble. */
  readonly state: string;
  /** Of the adapter; 'unknown' before it has told. */
  readonly address?: string;
  startScanning(services: string[], allowDuplicates: boolean, callback: (error?: Error | null) => void): void;
  stopScanning(): void;
  reset(): void;
  _bindings: NobleBindings;
  _peripherals: Record<string, NoblePeripheral>;
  _services: Record<string, unknown>;
  _characteristics: Record<string, unknown>;
  _descriptors: Record<string, unknown>;
}

export type MakeNoble = (options: { deviceId?: number }) => Noble;

/**
 * Loads noble. Nothing else may import it: it is an optional dependency, and it throws without AF_BLUETOOTH. `with-custom-binding`
 * creates an instance at each call; the package's main module would create one at import.
 */
export async function loadNoble(): Promise<MakeNoble> {
  const name = '@abandonware/noble/with-custom-binding.js';
  const loaded = (await import(name)) as { default: MakeNoble };
  return loaded.default;
}
