/** A behaviour of a strap as data: how it differs from a common one, who reported it, and what the product has to make of it. */
import type { DeviceState, StrapReasonCode } from '../../../contract/device-status.ts';
import type { StrapSpec } from '../support/virtual-radio.ts';

/** An operation of the virtual radio (hr_farm.py), `afterMs` after the one before. The strap is `id` unless the step names another. */
export interface BehaviourStep {
  op: string;
  afterMs?: number;
  [field: string]: unknown;
}

/** Heart rates over and over, from any of them on; `perSecond` readings arrive in a second, at least half of them on a loaded machine. */
export interface RatesInTurn {
  inTurn: readonly number[];
  perSecond: number;
}

/** What each entry asserts beside this: every value of 0x2A37 that reached noble on a subscribed link is one reading, in order. */
export interface Expectation {
  /** Displayed in the end; `none`: no such device is shown. */
  state: DeviceState | 'none';
  /** Time from the last step, or the strap's appearance, until state and readings are as expected. */
  withinMs: number;
  /** Its heart rates in the stream. A list is without repetitions in a row. */
  rates: readonly number[] | RatesInTurn;
  reason?: StrapReasonCode;
  name?: string | null;
  device?: string;
  /** Links beyond the first, if they are to be counted. */
  reconnects?: number;
  /** The longest pause between two readings must be shorter, in ms; states may change while it stays. */
  pauseMaxMs?: number;
  /** The state has to stay this long after it was reached. */
  staysMs?: number;
  /** Reasons that have to be, and that must not be, among the ends of its links. */
  ended?: string;
  notEnded?: string;
}

export interface Behaviour {
  /** A law: what the strap does, and what follows. */
  law: string;
  /** A public report, or a section of a specification. */
  source: string;
  /** It breaks a rule of the specification, or does what users report as a fault. */
  misbehaves: boolean;
  strap: StrapSpec;
  steps?: readonly BehaviourStep[];
  expect: Expectation;
  /** Straps beside it, present from the start, and what becomes of them. */
  others?: readonly { strap: StrapSpec; expect: Expectation }[];
  /** Takes half a minute or more: only in the long tests. */
  slow?: true;
}

/** AD structures as hex: flags, and what is given. */
export function advertisingData({
  name,
  shortName,
  uuids = [],
}: {
  name?: string;
  shortName?: string;
  uuids?: string[];
}): string {
  const structure = (type: number, value: Buffer): Buffer => Buffer.concat([Buffer.of(value.length + 1, type), value]);
  return Buffer.concat([
    structure(0x01, Buffer.of(0x06)),
    ...uuids.map((uuid) => {
      const value = Buffer.from(uuid.replaceAll('-', ''), 'hex').reverse();
      const types: Readonly<Record<number, number>> = { 2: 0x03, 4: 0x05, 16: 0x07 };
      return structure(types[value.length] ?? 0x07, value);
    }),
    ...(shortName === undefined ? [] : [structure(0x08, Buffer.from(shortName))]),
    ...(name === undefined ? [] : [structure(0x09, Buffer.from(name))]),
  ]).toString('hex');
}
