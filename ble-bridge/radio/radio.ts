/**
 * The one narrow seam to Bluetooth. Implementations: noble (noble/noble-radio.ts), simulated straps (virtual/simulated-source.ts) and
 * a recording (virtual/replay-source.ts), the last two behind virtual/soft-radio.ts. A promise of this seam may never settle, because
 * noble has no timeouts: the caller sets the limit. Errors are RadioErrors (radio-error.ts).
 */
import type { EventEmitter } from 'node:events';

export type RadioState = 'starting' | 'powered_on' | 'powered_off' | 'unauthorized' | 'unsupported' | 'missing';

/** What a strap advertises while it is not connected. */
export interface Advertisement {
  /** Lower case, with colons: `c0:00:00:00:00:01`. */
  address: string;
  name: string | undefined;
  /** dBm. */
  rssi: number | null;
  /** 16-bit services as 4 hexadecimal digits (`180d`). */
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
  /** 4 hexadecimal digits: `2a37`. */
  readonly uuid: string;
  readonly notifies: boolean;
  readonly readable: boolean;
  read(): Promise<Buffer>;
  write(value: Buffer): Promise<void>;
  /** Writes the CCCD; a further call writes it again. Replaces earlier listeners of this characteristic. */
  subscribe(onData: (value: Buffer) => void): Promise<void>;
}

export interface RadioConnection {
  /** The characteristics of the services that the bridge uses; the optional ones only if present. */
  discover(): Promise<RadioCharacteristic[]>;
  readRssi(): Promise<number>;
  /** Ends the link; resolves when the controller confirms it. Does nothing if the link has ended. */
  disconnect(): Promise<void>;
  /** Drops a link whose `disconnect` was not answered: removes its listeners and treats it as ended. */
  abandon(): void;
}

export interface ConnectOptions {
  /** Aborting it cancels the attempt and rejects the promise. */
  signal: AbortSignal;
  /** The link has ended; `reason` is a result of `disconnectReason`. Called once, never after `abandon`. */
  onDisconnect: (reason: string) => void;
}

export interface Radio {
  readonly kind: 'noble' | 'simulated' | 'replay';
  /** `hci0`, or null without an adapter. */
  readonly adapter: string | null;
  readonly state: RadioState;
  /** Why it is not powered on, for the operator. */
  readonly stateReason: string;
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

/** Disconnect reasons of straps and controllers (Bluetooth Core, volume 1 part F). */
const REASONS: Record<number, string> = {
  0x08: 'out_of_range',
  0x13: 'ended_by_strap',
  0x14: 'ended_by_strap',
  0x15: 'ended_by_strap',
  0x16: 'ended_by_us',
  0x22: 'no_answer',
  0x3d: 'integrity',
  0x3e: 'not_established',
};

/** The name of an HCI disconnect reason; `0x..` if it has none here, `unknown` if it is not a number. */
export function disconnectReason(code: unknown): string {
  if (typeof code !== 'number') return 'unknown';
  return REASONS[code] ?? `0x${code.toString(16)}`;
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
