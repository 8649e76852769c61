/** What the gateway reports of itself beside its checks: the broker. Part of its service status. */
import Type, { type Static } from 'typebox';
import { countsSchema, countSchema } from './fields.ts';

export const gatewayStatusSchema = Type.Object({
  clients: countSchema,
  /** URLs that the broker listens on. */
  listeners: Type.Array(Type.String({ maxLength: 300 }), { maxItems: 20 }),
  /** How often clients exceeded a limit since the start, by name of the limit. */
  breaches: countsSchema,
  messages_in: countSchema,
  messages_out: countSchema,
});
export type GatewayStatus = Static<typeof gatewayStatusSchema>;
