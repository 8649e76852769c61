/**
 * The one narrow seam to Bluetooth. Implementations: noble (noble-radio.ts), simulated straps (simulated-source.ts), a recording
 * (replay-source.ts). A promise of this seam may hang for ever (noble gives no time limit for anything): who calls it sets the limit.
 */
import type { EventEmitter } from 'node:events';

export type RadioState = 'starting' | 'powered_on' | 'powered_off' | 'unauthorized' | 'unsupported' | 'missing';

/** What a strap says of itself while nobody is connected to it. */
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
  /** `radio.state` has changed. */
  state: [];
  advertisement: [Advertisement];
  /** The scan has stopped, asked or unasked. */
  scan_stopped: [];
}

export interface RadioCharacteristic {
  /** 4 hexadecimal digits: `2a37`. */
  readonly uuid: string;
  readonly notifies: boolean;
  readonly readable: boolean;
  read(): Promise<Buffer>;
  write(value: Buffer): Promise<void>;
  /** Writes the CCCD; called again it writes it again. Earlier listeners of this characteristic are replaced. */
  subscribe(onData: (value: Buffer) => void): Promise<void>;
}

export interface RadioConnection {
  /** The characteristics of the services that a bridge uses, optional ones where present. */
  discover(): Promise<RadioCharacteristic[]>;
  readRssi(): Promise<number>;
  /** Ends the link, and resolves when the controller says so; does nothing where it has ended. */
  disconnect(): Promise<void>;
  /** Gives a link up that did not answer `disconnect`: its listeners are removed, and the radio counts it as ended. */
  abandon(): void;
}

export interface ConnectOptions {
  /** Aborted: the attempt is cancelled, the promise rejects. */
  signal: AbortSignal;
  /** The link has ended; the reason is one of the words of `disconnectReason`. Called once, never after `abandon`. */
  onDisconnect: (reason: string) => void;
}

export interface Radio {
  readonly kind: 'noble' | 'simulated' | 'replay';
  /** `hci0`, or null where there is no adapter. */
  readonly adapter: string | null;
  readonly state: RadioState;
  /** For a person: why it is not powered on. */
  readonly stateReason: string;
  /** The adapter is there and switched on, and answers nothing. */
  readonly unresponsive: boolean;
  readonly events: EventEmitter<RadioEvents>;
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Starts the scan anew: straps that were heard before are heard again. Resolves when the controller has answered. */
  scan(): Promise<void>;
  connect(address: string, options: ConnectOptions): Promise<RadioConnection>;
  /** Gives the whole stack up and makes a new one; all connections are gone. */
  rebuild(): Promise<void>;
}

/** Reasons of the Bluetooth Core specification, volume 1 part F, that straps and controllers give. */
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

/** An HCI disconnect reason in words. */
export function disconnectReason(code: unknown): string {
  if (typeof code !== 'number') return 'unknown';
  return REASONS[code] ?? `0x${code.toString(16)}`;
}

/** 16-bit numbers (hexadecimal) of what the bridge uses. */
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
