/** What the parts of the simulated world share. */
import { RefusedMessages } from '../../../service/mqtt/refused-messages.ts';
import { testConfig, testLog } from '../../support/test-config.ts';

export const WINDOW = 40;

export interface Packet {
  topic: string;
  payload: string;
}

export const BRIDGES = ['bridge', 'neighbour'] as const;
export const FORWARDERS = ['forwarder', 'second'] as const;
export type BridgeName = (typeof BRIDGES)[number];
export type ForwarderName = (typeof FORWARDERS)[number];
export type Line = BridgeName | ForwarderName;

/** The world as its clients see it. */
export interface WorldView {
  readonly nowMs: number;
  publish(line: Line, packet: Packet): boolean;
  cut(line: Line): void;
  /** Identities of readings. */
  readonly taken: Set<string>;
  /** Dropped by a full outbox, or neither stored nor on disk when their bridge was killed. */
  readonly gone: Set<string>;
  readonly everStored: Set<string>;
  sent: number;
  offers: number;
}

export const log = testLog(testConfig({}));
export const refused = new RefusedMessages('forwarder', log);
export const identity = (gateway: string, run: string, seq: number): string => `${gateway}/${run} ${seq}`;
