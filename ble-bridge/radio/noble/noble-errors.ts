/**
 * Translates what noble throws and reports into codes. This is the only place that reads noble's messages. noble 1.9.2-26 reports a
 * failed connect as "<name of the HCI status> (0x<status>)" (lib/hci-socket/bindings.js, onLeConnComplete); other failures have
 * messages of their own.
 */
import { messageOf, systemCodeOf } from '../../../service/errors/errors.ts';
import { BUILD_SOCKET_HINT, isSocketNotBuilt, SOCKET_NOT_BUILT } from '../../../service/bluetooth/hci-socket.ts';
import { RadioError } from '../radio-error.ts';
import type { RadioState } from '../radio.ts';

/** Connection limit exceeded, and connection rejected due to limited resources (Bluetooth Core, volume 1 part F). */
const LIMIT_STATUSES: ReadonlySet<number> = new Set([0x09, 0x0d]);
const HCI_STATUS = /\(0x([0-9a-f]{1,2})\)$/i;

/** The error of a failed connect, with the controller's status if noble reported one. */
export function connectErrorOf(error: unknown): RadioError {
  const message = messageOf(error);
  const digits = HCI_STATUS.exec(message)?.[1];
  if (digits === undefined) return new RadioError('connect_failed', message, { cause: error });
  const hciStatus = Number.parseInt(digits, 16);
  return new RadioError(LIMIT_STATUSES.has(hciStatus) ? 'controller_limit' : 'connect_failed', message, {
    hciStatus,
    cause: error,
  });
}

/** Why a radio is not powered on, for the operator. */
export const UNAVAILABLE_REASONS: Record<Exclude<RadioState, 'starting' | 'powered_on'>, string> = {
  powered_off: 'the adapter is switched off or unplugged',
  unauthorized: 'this process has no right to the adapter (capabilities NET_ADMIN and NET_RAW, or root)',
  unsupported: 'the adapter does not support Bluetooth Low Energy',
  missing: 'no Bluetooth adapter answers',
};

/** Why noble could not be loaded or started. Messages are read because its native socket does not set `code` on every platform. */
export function startFailureOf(error: unknown): { state: RadioState; reason: string; hint?: string } {
  const code = systemCodeOf(error);
  const message = messageOf(error);
  if (isSocketNotBuilt(error))
    return {
      state: 'missing',
      reason: `${SOCKET_NOT_BUILT}: noble is not installed, or was compiled for another Node (it is optional and needs build tools)`,
      hint: BUILD_SOCKET_HINT,
    };
  if (code === 'EAFNOSUPPORT' || /not supported|EAFNOSUPPORT/i.test(message))
    return { state: 'missing', reason: 'the kernel has no Bluetooth (AF_BLUETOOTH is not supported)' };
  if (code === 'ENODEV' || /no such device|ENODEV/i.test(message))
    return { state: 'missing', reason: UNAVAILABLE_REASONS.missing };
  if (code === 'EPERM' || code === 'EACCES' || /not permitted|EPERM/i.test(message))
    return { state: 'unauthorized', reason: UNAVAILABLE_REASONS.unauthorized };
  return { state: 'missing', reason: `Bluetooth cannot be used: ${message}` };
}
