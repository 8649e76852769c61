/**
 * What the admin API answers and sends as events, beside the results of commands (contract/commands.ts). The types of service and
 * page are derived from these schemas, so this file imports only the contract: the page is type-checked with it.
 */
import Type, { type Static } from 'typebox';
import { HEALTH_STATUSES } from '../contract/box-status.ts';
import { bridgeStatusSchema } from '../contract/bridge-status.ts';
import { checkSchema } from '../contract/check.ts';
import { deviceStatusSchema, gapSchema } from '../contract/device-status.ts';
import { anyDeviceNameSchema, countSchema, nullable, timeSchema } from '../contract/fields.ts';
import { forwarderStatusSchema } from '../contract/forwarder-status.ts';
import { gatewayStatusSchema } from '../contract/gateway-status.ts';
import { personFields } from '../contract/person.ts';

const publisherSchema = nullable(
  Type.String({ description: 'The user that publishes it; null: a strap; empty: another client, and the broker does not tell' }),
);
/** Who wears it, and how it is shown: the person's name, else its own, else the name in topics. */
const shownFields = {
  person: personFields.name,
  max_heart_rate: personFields.max_heart_rate,
  publisher: publisherSchema,
};
export const deviceSchema = Type.Object({
  ...deviceStatusSchema.properties,
  device: anyDeviceNameSchema,
  ...shownFields,
  last_gap: nullable(gapSchema),
});
export type KnownDevice = Static<typeof deviceSchema>;

export const healthSchema = Type.Object({ status: Type.Enum(HEALTH_STATUSES), checks: Type.Array(checkSchema) });
export type Health = Static<typeof healthSchema>;

export const queueSchema = Type.Object({
  ...forwarderStatusSchema.properties,
  as_of: Type.String({ ...timeSchema, description: 'When the forwarder published this' }),
  stale: Type.Boolean({ description: 'True: last known values of a forwarder that is offline or has stopped publishing' }),
});
export type QueueAnswer = Static<typeof queueSchema>;

/** Columns of the same length, oldest first. Null: the forwarder was offline or silent at that time. */
export const historySchema = Type.Object({
  at: Type.Array(Type.Number(), { description: 'Seconds since 1970, UTC' }),
  depth: Type.Array(nullable(Type.Number())),
  oldest_age_seconds: Type.Array(nullable(Type.Number())),
});
export type QueueHistory = Static<typeof historySchema>;

/** A reading as it is kept for ten minutes. */
export const recentReadingSchema = Type.Object({
  timestamp: Type.String(),
  heart_rate: Type.Number(),
  sensor_contact: nullable(Type.Boolean()),
  /** Oldest first; empty if it has none. */
  rr_intervals_ms: Type.Array(Type.Number()),
});
export type RecentReading = Static<typeof recentReadingSchema>;
export const readingsSchema = Type.Array(recentReadingSchema);

/** Per second, over the last ten seconds; null if its service is offline or silent. */
export const ratesSchema = Type.Object({
  heard: nullable(Type.Number({ description: 'Readings of straps, received over MQTT' })),
  accepted: nullable(Type.Number({ description: 'Readings that the queue accepted' })),
  shipped: nullable(Type.Number({ description: 'Readings that the stream confirmed' })),
  broker_in: nullable(Type.Number({ description: 'Messages that the broker received from its clients' })),
});
export type Rates = Static<typeof ratesSchema>;

const staleSchema = Type.Boolean({
  description: 'True: last known values of a service that is offline or has stopped publishing',
});
/** Everything that the page shows beside readings. Null: the service has not published a status yet. */
export const overviewSchema = Type.Object({
  gateway_name: Type.String(),
  version: Type.String(),
  now: Type.String({ ...timeSchema, description: "The box's clock: a page on a phone computes ages with it" }),
  health: healthSchema,
  queue: nullable(queueSchema),
  /** Bridges of other boxes that deliver to this one; `held` is null while unknown. */
  other_bridges: Type.Array(
    Type.Object({
      gateway: Type.String(),
      state: Type.Enum(['online', 'offline', 'silent']),
      held: nullable(countSchema),
    }),
  ),
  bridge: nullable(Type.Object({ ...bridgeStatusSchema.properties, stale: staleSchema })),
  gateway: nullable(Type.Object({ ...gatewayStatusSchema.properties, stale: staleSchema })),
  broker_connected: Type.Boolean(),
  rates: ratesSchema,
});
export type Overview = Static<typeof overviewSchema>;

/** The events of /events, by name, with their data. */
export const eventSchemas = {
  overview: overviewSchema,
  reading: Type.Object({ type: Type.Literal('reading'), device: anyDeviceNameSchema, reading: recentReadingSchema }),
  device: Type.Object({
    type: Type.Literal('device'),
    device: anyDeviceNameSchema,
    status: nullable(Type.Object({ ...deviceStatusSchema.properties, device: anyDeviceNameSchema, ...shownFields })),
  }),
};
export type ReadingEvent = Static<typeof eventSchemas.reading>;
export type DeviceEvent = Static<typeof eventSchemas.device>;
