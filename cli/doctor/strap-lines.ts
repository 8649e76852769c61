/** What the doctor says about each strap: its state, what that means, and what to do. */
import { parseDeviceStatus, type DeviceStatus } from '../../contract/device-status.ts';
import { STRAP_STATES, explain } from '../../service/errors/strap-catalogue.ts';
import { ok, warn, type DoctorLine } from './check-line.ts';

/** In a place with many straps the others are only counted. */
const LINES_MAX = 50;

/** A device status of our bridges; undefined for an empty payload and for what does not match the contract. */
export function strapOf(payload: Buffer): DeviceStatus | undefined {
  if (payload.length === 0) return undefined;
  const status = parseDeviceStatus(payload);
  return status.ok ? status.value : undefined;
}

/** One line per real strap; simulated and replayed ones need no advice. A strap without readings is never a failing line. */
export function strapLines(straps: Iterable<DeviceStatus>): DoctorLine[] {
  const real = [...straps].filter(({ source }) => source === 'noble').sort((a, b) => a.device.localeCompare(b.device));
  const lines = real.slice(0, LINES_MAX).map(({ device, state, reason, since, last_reading_at }): DoctorLine => {
    const { meaning, advice } = explain(state, reason);
    const found = `${state} since ${since}: ${meaning}; last reading ${last_reading_at ?? 'never'}`;
    return STRAP_STATES[state].kind === 'good' ? ok(device, found) : warn(device, found, advice);
  });
  const more = real.length - lines.length;
  return more > 0 ? [...lines, ok('straps', `${more} more; GET /devices lists all of them`)] : lines;
}
