/** Names for why a link ended, as in a strap's `disconnects`; docs/sensors.md explains them. */

/**
 * By HCI error code (Bluetooth Core, volume 1 part F). A peripheral that ends a link may give 0x05, 0x13, 0x14, 0x15, 0x1a, 0x29 or
 * 0x3b (volume 4 part E, 7.1.6).
 */
const REASONS: Record<number, string> = {
  0x05: 'authentication_failed',
  0x06: 'key_missing',
  0x08: 'out_of_range',
  0x13: 'ended_by_strap',
  0x14: 'ended_by_strap',
  0x15: 'ended_by_strap',
  0x16: 'ended_by_us',
  0x1a: 'unsupported_feature',
  0x1e: 'invalid_parameters',
  0x1f: 'unspecified',
  0x20: 'unsupported_parameters',
  0x22: 'no_answer',
  0x28: 'instant_passed',
  0x29: 'pairing_not_supported',
  0x2a: 'procedure_collision',
  0x3a: 'controller_busy',
  0x3b: 'unacceptable_parameters',
  0x3d: 'integrity',
  0x3e: 'not_established',
};

/** The name of an HCI disconnect reason; `0x..` if it has none here, `unknown` if it is not a number. */
export function disconnectReason(code: unknown): string {
  if (typeof code !== 'number') return 'unknown';
  return REASONS[code] ?? `0x${code.toString(16)}`;
}

/** Names that mean that the strap ended the link. */
export const ENDED_BY_STRAP: ReadonlySet<string> = new Set([
  'authentication_failed',
  'ended_by_strap',
  'unsupported_feature',
  'pairing_not_supported',
  'unacceptable_parameters',
]);
