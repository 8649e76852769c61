/** What a producer of readings (the bridge's straps, the gateway's adoption) needs of the outbox. */
import type { MissedSpan, NumberedReading } from '../contract/delivery.ts';

/** A reading or a numbered refusal before it has gateway, run and seq; it is serialised once, on one line. */
export type UnnumberedReading = Readonly<Record<string, unknown>>;

export interface ReadingSinkEvents {
  /** The forwarder has stored, or accounted for, everything up to this seq. Emitted after `missed` of the same message. */
  stored: [watermark: number];
  /** Seqs that the forwarder recorded as missed: they are not stored and never will be. */
  missed: [span: MissedSpan];
  /** The outbox dropped these seqs before they were stored (disk and memory full, damage). */
  dropped: [span: MissedSpan];
}

export interface ReadingSink {
  /** The run whose seqs `add` gives out. */
  readonly run: string;
  /** Everything up to this seq is stored or accounted for. */
  readonly watermark: number;
  /** Numbers, serialises, holds and sends a reading. Never throws for a full outbox: `dropped` reports what had to go. */
  add(reading: UnnumberedReading): NumberedReading;
  on<E extends keyof ReadingSinkEvents>(event: E, listener: (...args: ReadingSinkEvents[E]) => void): unknown;
  off<E extends keyof ReadingSinkEvents>(event: E, listener: (...args: ReadingSinkEvents[E]) => void): unknown;
}

/** One line of JSON. A refusal has no identity of its own: its line says which seq it is. */
export function lineOf(reading: UnnumberedReading, identity: { gateway: string; run: string; seq: number }): string {
  if ('refused' in reading) return JSON.stringify(reading);
  const { timestamp, heart_rate, device, ...rest } = reading;
  return JSON.stringify({ timestamp, heart_rate, device, ...identity, ...rest });
}
