/**
 * Heart Rate Measurement (0x2A37), after HRS v1.0 section 3.1. Pure; never throws. Little-endian; RFU flag bits are ignored (HRP 4.4).
 */

export interface HeartRateMeasurement {
  /** Beats per minute, 0-65535; 0 means no pulse. */
  bpm: number;
  /** null if the strap does not support contact detection (flag bit 2 clear; bit 1 is then ignored). */
  contact: boolean | null;
  /** kJ since the last reset; null if absent. Stays at 65535, never wraps (HRS 3.1.1.3). */
  energyKj: number | null;
  /** RR intervals in 1/1024 s, oldest first, as sent. */
  rr1024: number[];
}

export type MalformedReason = 'empty' | 'heart_rate_cut_off';
/** What flags announce after the heart rate, but the value does not hold. */
export type CutField = 'energy_cut_off' | 'rr_cut_off';
export type ParsedMeasurement =
  { ok: true; measurement: HeartRateMeasurement; cut: CutField | undefined } | { ok: false; reason: MalformedReason };

const FLAG_UINT16 = 0x01;
const FLAG_CONTACT = 0x02;
const FLAG_CONTACT_SUPPORTED = 0x04;
const FLAG_ENERGY = 0x08;
const FLAG_RR = 0x10;

/**
 * Parses a notification. It is malformed as a whole only without a whole heart rate. If the rest is cut off, the heart rate and what is
 * whole are taken, and `cut` names what is missing; surplus bytes are ignored. The specification gives no heart rate a special meaning:
 * 65535 is a rate like any other (HRS v1.0, 3.1.1.2), and no report of a strap that sends it in another sense was found. Mi Bands send
 * 255 while they do not measure (Tnze/miband-heart-rate#7), but an 8-bit 255 is a rate in the specification, so it is kept.
 */
export function parseHeartRateMeasurement(bytes: Uint8Array): ParsedMeasurement {
  const flags = bytes[0];
  if (flags === undefined) return { ok: false, reason: 'empty' };
  const uint16 = (offset: number): number => (bytes[offset] ?? 0) | ((bytes[offset + 1] ?? 0) << 8);
  const wide = (flags & FLAG_UINT16) !== 0;
  let offset = wide ? 3 : 2;
  if (bytes.length < offset) return { ok: false, reason: 'heart_rate_cut_off' };
  const bpm = wide ? uint16(1) : (bytes[1] ?? 0);
  let energyKj: number | null = null;
  let cut: CutField | undefined;
  if ((flags & FLAG_ENERGY) !== 0) {
    if (bytes.length < offset + 2) cut = 'energy_cut_off';
    else energyKj = uint16(offset);
    offset += 2;
  }
  const rr1024: number[] = [];
  if ((flags & FLAG_RR) !== 0) {
    if (bytes.length < offset + 2 || (bytes.length - offset) % 2 !== 0) cut ??= 'rr_cut_off';
    for (; offset + 1 < bytes.length; offset += 2) rr1024.push(uint16(offset));
  }
  const contact = (flags & FLAG_CONTACT_SUPPORTED) === 0 ? null : (flags & FLAG_CONTACT) !== 0;
  return { ok: true, measurement: { bpm, contact, energyKj, rr1024 }, cut };
}

/** Converts an RR interval of 1/1024 s to ms, the unit of readings. */
export const rrToMs = (rr1024: number): number => (rr1024 * 1000) / 1024;

/** Encodes a measurement as a strap sends it (simulation, replay, tests). uint16 only if the value needs it (HRS 3.1.1.2). */
export function encodeHeartRateMeasurement({ bpm, contact, energyKj, rr1024 }: HeartRateMeasurement): Buffer {
  const wide = bpm > 255;
  let flags = wide ? FLAG_UINT16 : 0;
  if (contact !== null) flags |= FLAG_CONTACT_SUPPORTED | (contact ? FLAG_CONTACT : 0);
  if (energyKj !== null) flags |= FLAG_ENERGY;
  if (rr1024.length > 0) flags |= FLAG_RR;
  const bytes = Buffer.alloc(1 + (wide ? 2 : 1) + (energyKj === null ? 0 : 2) + 2 * rr1024.length);
  let offset = bytes.writeUInt8(flags, 0);
  offset = wide ? bytes.writeUInt16LE(bpm, offset) : bytes.writeUInt8(bpm, offset);
  if (energyKj !== null) offset = bytes.writeUInt16LE(energyKj, offset);
  for (const interval of rr1024) offset = bytes.writeUInt16LE(interval, offset);
  return bytes;
}
