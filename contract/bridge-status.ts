/** What the bridge reports of itself beside its checks: source, radio, outbox. Part of its service status. */
import Type, { type Static } from 'typebox';
import { countsSchema, countSchema, durationSchema, nullable, runSchema, textSchema } from './fields.ts';

export const bridgeStatusSchema = Type.Object({
  source: Type.Enum(['noble', 'simulated', 'replay', 'none']),
  /** Run of the current process. */
  run: runSchema,
  radio: Type.Object({
    /** `hci0`; null if there is none. */
    adapter: nullable(textSchema),
    state: textSchema,
    advertisements_per_minute: countSchema,
    connects: countSchema,
    /** Ended links, by reason. */
    disconnects: countsSchema,
    /** From the loss of a link to the next notification, over the last 500 reconnects. */
    reconnect_ms_p50: nullable(durationSchema),
    reconnect_ms_p95: nullable(durationSchema),
    /** How many straps the adapter connects at once; null until it refused one. */
    straps_limit: nullable(countSchema),
  }),
  outbox: Type.Object({
    held: countSchema,
    spilled: countSchema,
    spill_bytes: countSchema,
    dropped: countSchema,
    last_seq: countSchema,
    stored_seq: countSchema,
  }),
});
export type BridgeStatus = Static<typeof bridgeStatusSchema>;
