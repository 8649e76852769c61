/** Device status and gaps (design section 2): retained on `hr/<device>/status`, not retained on `hr/<device>/gap`. */
import Type, { type Static } from 'typebox';
import { countsSchema, countSchema, deviceNameSchema, durationSchema, nullable, textSchema, timeSchema } from './fields.ts';
import { gatewayNameSchema } from './delivery.ts';
import { parserOf } from './validate.ts';

export const DEVICE_STATES = [
  'discovered',
  'connecting',
  'connected',
  'subscribing',
  'streaming',
  'no_pulse',
  'no_contact',
  'silent',
  'unreadable',
  'taken',
  'refused',
  'no_heart_rate_service',
  'lost',
] as const;
export type DeviceState = (typeof DEVICE_STATES)[number];

/** Why a strap is in its state, if the state alone does not tell. */
export const STRAP_REASONS = ['att_error', 'pairing_failed', 'values_unreadable', 'not_connectable', 'too_many_packets'] as const;
export type StrapReasonCode = (typeof STRAP_REASONS)[number];

export const strapReasonSchema = Type.Object({ code: Type.Enum(STRAP_REASONS), detail: textSchema });
export type StrapReason = Static<typeof strapReasonSchema>;

export const deviceStatusSchema = Type.Object({
  device: deviceNameSchema,
  /** Name of the box whose bridge reads the device; bridges of version 1 do not report it. */
  gateway: Type.Optional(gatewayNameSchema),
  state: Type.Enum(DEVICE_STATES),
  /** Bridges of version 1 do not report it. */
  reason: Type.Optional(nullable(strapReasonSchema)),
  since: timeSchema,
  name: nullable(textSchema),
  address: nullable(textSchema),
  battery_percent: nullable(Type.Number()),
  battery_low: Type.Optional(Type.Boolean()),
  rssi: nullable(Type.Number()),
  manufacturer: nullable(textSchema),
  model: nullable(textSchema),
  firmware: nullable(textSchema),
  body_sensor_location: nullable(textSchema),
  last_reading_at: nullable(timeSchema),
  readings: countSchema,
  reconnects: countSchema,
  source: Type.Enum(['noble', 'simulated', 'replay']),
  /** Radio health of this strap since the start of the bridge; the bridge's own status has it for all straps together. */
  adapter_state: Type.Optional(textSchema),
  advertisements_per_minute: Type.Optional(countSchema),
  connects: Type.Optional(countSchema),
  /** Ended links, by reason. */
  disconnects: Type.Optional(countsSchema),
  /** From the loss of the link to the next notification, over the last 500 reconnects. */
  reconnect_ms_p50: Type.Optional(nullable(durationSchema)),
  reconnect_ms_p95: Type.Optional(nullable(durationSchema)),
});
export type DeviceStatus = Static<typeof deviceStatusSchema>;

export const GAP_CAUSES = [
  'out_of_range',
  'ended_by_strap',
  'no_pulse',
  'adapter',
  'sensor_silent',
  'bridge_restart',
  'outbox_full',
  'evicted',
] as const;
export type GapCause = (typeof GAP_CAUSES)[number];

export const gapSchema = Type.Object({
  from: timeSchema,
  to: timeSchema,
  cause: Type.Enum(GAP_CAUSES),
  /** How many readings were lost, if that is known. */
  readings: Type.Optional(countSchema),
});
export type Gap = Static<typeof gapSchema>;

/** Parse a device status or a gap; never throw. */
export const parseDeviceStatus = parserOf(deviceStatusSchema);
export const parseGap = parserOf(gapSchema);
