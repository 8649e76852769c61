/** What the gateway reports of itself beside its checks: the broker. Part of its service status. */
import Type, { type Static } from 'typebox';
import { anyDeviceNameSchema, countsSchema, countSchema } from './fields.ts';

/** What became of other clients' messages under `hr/` since the start; each message has one outcome or one refusal code. */
export const adoptionStatusSchema = Type.Object({
  /** A PUBACK waits until its reading is stored. */
  holding: Type.Boolean(),
  /** Readings whose PUBACK waits, and their bytes. */
  held: countSchema,
  held_bytes: countSchema,
  outcomes: countsSchema,
  /** By code. */
  refused: countsSchema,
  /** Connections that were closed because none of their readings was stored for 30 s. */
  stalled_connections: countSchema,
  /** Devices whose readings were adopted, and the user that published the last one; the most recent ones. */
  devices: Type.Optional(
    Type.Array(Type.Object({ device: anyDeviceNameSchema, publisher: Type.String({ maxLength: 256 }) }), { maxItems: 200 }),
  ),
});
export type AdoptionStatus = Static<typeof adoptionStatusSchema>;

export const gatewayStatusSchema = Type.Object({
  clients: countSchema,
  /** URLs that the broker listens on. */
  listeners: Type.Array(Type.String({ maxLength: 300 }), { maxItems: 20 }),
  /** How often clients exceeded a limit since the start, by name of the limit. */
  breaches: countsSchema,
  messages_in: countSchema,
  messages_out: countSchema,
  adoption: Type.Optional(adoptionStatusSchema),
});
export type GatewayStatus = Static<typeof gatewayStatusSchema>;
