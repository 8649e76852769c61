/**
 * Names for why a link ended, as in a strap's `disconnects`, the log and docs/sensors.md (service/errors/strap-catalogue.ts explains them).
 */

/** Names of the HCI error codes (Bluetooth Core, volume 1 part F, 1.3). */
export const HCI_REASONS: Readonly<Record<number, string>> = {
  0x01: 'unknown_command',
  0x02: 'unknown_connection',
  0x03: 'hardware_failure',
  0x04: 'page_timeout',
  0x05: 'authentication_failed',
  0x06: 'key_missing',
  0x07: 'memory_exceeded',
  0x08: 'out_of_range',
  0x09: 'connection_limit',
  0x0a: 'synchronous_connection_limit',
  0x0b: 'connection_exists',
  0x0c: 'command_disallowed',
  0x0d: 'limited_resources',
  0x0e: 'rejected_for_security',
  0x0f: 'address_not_accepted',
  0x10: 'accept_timeout',
  0x11: 'unsupported_parameter',
  0x12: 'invalid_command',
  0x13: 'ended_by_strap',
  0x14: 'ended_by_strap',
  0x15: 'ended_by_strap',
  0x16: 'ended_by_host',
  0x17: 'repeated_attempts',
  0x18: 'pairing_not_allowed',
  0x19: 'unknown_pdu',
  0x1a: 'unsupported_feature',
  0x1b: 'sco_offset_rejected',
  0x1c: 'sco_interval_rejected',
  0x1d: 'sco_air_mode_rejected',
  0x1e: 'invalid_parameters',
  0x1f: 'unspecified',
  0x20: 'unsupported_parameters',
  0x21: 'role_change_not_allowed',
  0x22: 'no_answer',
  0x23: 'transaction_collision',
  0x24: 'pdu_not_allowed',
  0x25: 'encryption_mode_not_acceptable',
  0x26: 'key_not_changeable',
  0x27: 'quality_not_supported',
  0x28: 'instant_passed',
  0x29: 'pairing_not_supported',
  0x2a: 'procedure_collision',
  0x2c: 'quality_not_acceptable',
  0x2d: 'quality_rejected',
  0x2e: 'channel_classification_not_supported',
  0x2f: 'insufficient_security',
  0x30: 'parameter_out_of_range',
  0x32: 'role_switch_pending',
  0x34: 'reserved_slot_violation',
  0x35: 'role_switch_failed',
  0x36: 'inquiry_response_too_large',
  0x37: 'simple_pairing_not_supported',
  0x38: 'busy_pairing',
  0x39: 'no_suitable_channel',
  0x3a: 'controller_busy',
  0x3b: 'unacceptable_parameters',
  0x3c: 'advertising_timeout',
  0x3d: 'integrity',
  0x3e: 'not_established',
  0x3f: 'mac_connection_failed',
  0x40: 'clock_adjustment_rejected',
  0x41: 'submap_not_defined',
  0x42: 'unknown_advertising_identifier',
  0x43: 'limit_reached',
  0x44: 'cancelled_by_host',
  0x45: 'packet_too_long',
};

/** Ends of links and attempts that are no HCI reasons. */
export const OUR_ENDS = [
  'timeout',
  'refused',
  'no_heart_rate_service',
  'silent',
  'too_many_packets',
  'taken',
  'gave_way',
  'bad_answer',
  'failed',
  'adapter',
  'ended_by_us',
] as const;
export type OurEnd = (typeof OUR_ENDS)[number];

/** The name of an HCI disconnect reason; `0x..` if the specification has none, `unknown` if it is not a number. */
export function disconnectReason(code: unknown): string {
  if (typeof code !== 'number') return 'unknown';
  return HCI_REASONS[code] ?? `0x${code.toString(16).padStart(2, '0')}`;
}

/**
 * Codes that this side's controller reports by itself: the strap was not received, did not answer, or broke a rule of the link layer (Core,
 * volume 6 part B, 5.1 and 5.2). Every other code was in the LL_TERMINATE_IND of the strap, which may send more than volume 4 part E, 7.1.6
 * allows it (0x05, 0x13, 0x14, 0x15, 0x1a, 0x29, 0x3b).
 */
const OF_THIS_SIDE: ReadonlySet<number> = new Set([
  0x02, 0x03, 0x08, 0x16, 0x1e, 0x20, 0x22, 0x23, 0x24, 0x28, 0x2a, 0x3d, 0x3e, 0x44,
]);

const OF_STRAP: ReadonlySet<string> = new Set(
  Object.entries(HCI_REASONS).flatMap(([code, name]) => (OF_THIS_SIDE.has(Number(code)) ? [] : [name])),
);

/** Whether a reason means that the strap ended the link; false for ends that are not HCI reasons. */
export const wasEndedByStrap = (reason: string): boolean => OF_STRAP.has(reason) || reason.startsWith('0x');
