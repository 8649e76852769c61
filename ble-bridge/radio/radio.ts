/**
 * The one narrow seam to Bluetooth. Implementations: noble (noble/noble-radio.ts), simulated straps (virtual/simulated-source.ts) and
 * recordings (virtual/replay-source.ts), the last two behind virtual/soft-radio.ts. A promise of this seam may never settle, because
 * noble has no timeouts: the caller sets the limit. Errors are RadioErrors (radio-error.ts).
 */
import type { EventEmitter } from 'node:events';

export type RadioState = 'starting' | 'powered_on' | 'powered_off' | 'unauthorized' | 'unsupported' | 'missing';

/** What a strap advertises while it is not connected. */
export interface Advertisement {
  /** Lower case, with colons: `c0:00:00:00:00:01`. */
  address: string;
  name: string | undefined;
  /** The name is only the beginning of the whole one. */
  isShortened?: boolean;
  /** dBm. */
  rssi: number | null;
  /** Whether its type accepts connections: a strap that another device holds may advertise without (polar-ble-sdk#284). */
  connectable: boolean;
  /** As `canonicalUuid` returns them: `180d`. */
  serviceUuids: readonly string[];
}

export interface RadioEvents {
  /** `radio.state` or `radio.stateReason` has changed. */
  state: [];
  advertisement: [Advertisement];
  /** The scan has stopped, whether requested or not. */
  scan_stopped: [];
}

export interface RadioCharacteristic {
  /** As `canonicalUuid` returns it: `2a37`. */
  readonly uuid: string;
  readonly notifies: boolean;
  readonly readable: boolean;
  read(): Promise<Buffer>;
  write(value: Buffer): Promise<void>;
  /** Writes the CCCD; a further call writes it again. Replaces earlier listeners of this characteristic. */
  subscribe(onData: (value: Buffer) => void): Promise<void>;
}

/** What a peripheral has sent without being asked. */
export interface Traffic {
  readonly packets: number;
  /** Without headers of the link layer and of L2CAP. */
  readonly bytes: number;
  /** Of the packets, those that are no values of a characteristic that was subscribed to: requests, signaling, changed services. */
  readonly others: number;
}

export interface RadioConnection {
  /** When the strap last answered a request on this link (performance.now()). */
  readonly answeredAt: number;
  /** What the strap has sent on this link. */
  readonly unasked: Traffic;
  /** The characteristics of the heart rate service; none if the strap does not have it. */
  discover(): Promise<RadioCharacteristic[]>;
  /** The characteristics of the optional services, as far as present; after `discover`. */
  discoverOptional(): Promise<RadioCharacteristic[]>;
  /** The name that the strap itself has (0x2A00), cleaned; undefined if it has none. No strap is paired for it. */
  readName(): Promise<string | undefined>;
  readRssi(): Promise<number>;
  /** Ends the link; resolves when the controller confirms it. Does nothing if the link has ended. */
  disconnect(): Promise<void>;
  /** Drops a link whose `disconnect` was not answered: removes its listeners and treats it as ended. */
  abandon(): void;
}

export interface ConnectOptions {
  /** Aborting it cancels the attempt and rejects the promise. */
  signal: AbortSignal;
  /** The link has ended; `reason` is a result of `disconnectReason` (disconnect-reasons.ts). Called once, never after `abandon`. */
  onDisconnect: (reason: string) => void;
}

export interface Radio {
  readonly kind: 'noble' | 'simulated' | 'replay';
  /** `hci0`, or null without an adapter. */
  readonly adapter: string | null;
  readonly state: RadioState;
  /** Why it is not powered on, for the operator. */
  readonly stateReason: string;
  /** What to do about it, if that is known. */
  readonly stateHint?: string | undefined;
  /** The adapter is present and powered on, but does not answer. */
  readonly unresponsive: boolean;
  readonly events: EventEmitter<RadioEvents>;
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Restarts the scan, so that straps are reported again. Resolves when the controller has answered. */
  scan(): Promise<void>;
  connect(address: string, options: ConnectOptions): Promise<RadioConnection>;
  /** Discards the whole driver stack and creates a new one; all connections are lost. */
  rebuild(): Promise<void>;
}

/** 16-bit UUIDs (hexadecimal) that the bridge uses. */
export const SERVICES = { heartRate: '180d', battery: '180f', deviceInformation: '180a' } as const;
export const CHARACTERISTICS = {
  heartRateMeasurement: '2a37',
  bodySensorLocation: '2a38',
  heartRateControlPoint: '2a39',
  batteryLevel: '2a19',
  manufacturer: '2a29',
  model: '2a24',
  firmware: '2a26',
} as const;
