/** Device status and gaps (design section 2): retained on `hr/<device>/status`, not retained on `hr/<device>/gap`. */
import type { FromSchema } from 'json-schema-to-ts';
import { parseJson, validatorOf, type Validated } from './validate.ts';

export const DEVICE_STATES = [
  'discovered',
  'connecting',
  'connected',
  'subscribing',
  'streaming',
  'no_pulse',
  'no_contact',
  'silent',
  'no_heart_rate_service',
  'lost',
] as const;
export type DeviceState = (typeof DEVICE_STATES)[number];

const textOrNull = { type: ['string', 'null'] } as const;
const numberOrNull = { type: ['number', 'null'] } as const;

export const deviceStatusSchema = {
  $id: 'device-status',
  type: 'object',
  properties: {
    device: { type: 'string', pattern: '^[a-z0-9-]{1,64}$' },
    state: { enum: DEVICE_STATES },
    since: { type: 'string' },
    name: textOrNull,
    address: textOrNull,
    battery_percent: numberOrNull,
    battery_low: { type: 'boolean' },
    rssi: numberOrNull,
    manufacturer: textOrNull,
    model: textOrNull,
    firmware: textOrNull,
    body_sensor_location: textOrNull,
    last_reading_at: textOrNull,
    readings: { type: 'integer' },
    reconnects: { type: 'integer' },
    source: { enum: ['noble', 'simulated', 'replay'] },
    /** Radio health of this strap, since the bridge was started; the bridge's own status has it for all straps together. */
    adapter_state: { type: 'string' },
    advertisements_per_minute: { type: 'integer' },
    connects: { type: 'integer' },
    /** Ends of its links, by reason. */
    disconnects: { type: 'object', additionalProperties: { type: 'integer' } },
    /** From the loss of the link to the next notification, of the last 500 times. */
    reconnect_ms_p50: numberOrNull,
    reconnect_ms_p95: numberOrNull,
  },
  required: [
    'device',
    'state',
    'since',
    'name',
    'address',
    'battery_percent',
    'rssi',
    'manufacturer',
    'model',
    'firmware',
    'body_sensor_location',
    'last_reading_at',
    'readings',
    'reconnects',
    'source',
  ],
  additionalProperties: true,
} as const;
export type DeviceStatus = FromSchema<typeof deviceStatusSchema>;

export const GAP_CAUSES = [
  'out_of_range',
  'no_pulse',
  'adapter',
  'sensor_silent',
  'bridge_restart',
  'outbox_full',
  'evicted',
] as const;
export type GapCause = (typeof GAP_CAUSES)[number];

export const gapSchema = {
  $id: 'gap',
  type: 'object',
  properties: { from: { type: 'string' }, to: { type: 'string' }, cause: { enum: GAP_CAUSES } },
  required: ['from', 'to', 'cause'],
  additionalProperties: true,
} as const;
export type Gap = FromSchema<typeof gapSchema>;

const checkDeviceStatus = validatorOf(deviceStatusSchema);
const checkGap = validatorOf(gapSchema);
export const parseDeviceStatus = (payload: Buffer | string): Validated<DeviceStatus> => parseJson(payload, checkDeviceStatus);
export const parseGap = (payload: Buffer | string): Validated<Gap> => parseJson(payload, checkGap);
