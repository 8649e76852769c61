/**
 * The reading, version 1 (design section 2): what is published on `hr/<device>/bpm`, stored in the queue and, with a newline, sent as a
 * Kinesis record. (gateway, run, seq) is its identity for ever. The first two fields are the record that consumers already know.
 */
import Type, { type Static } from 'typebox';
import { anyDeviceNameSchema, deviceNameSchema, nullable, runSchema } from './fields.ts';
import { parserOf } from './validate.ts';

export const CLOCK_STATES = ['synced', 'unsynced', 'unknown'] as const;

const fields = {
  /** Arrival of the notification at the bridge, UTC, milliseconds. */
  timestamp: Type.String({ pattern: '^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}(\\.\\d{1,9})?Z$', maxLength: 40 }),
  /** Beats a minute. */
  heart_rate: Type.Integer({ minimum: 1, maximum: 65535 }),
};

const details = {
  device: deviceNameSchema,
  gateway: Type.String({ minLength: 1, maxLength: 128 }),
  run: runSchema,
  seq: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  /** raw × 1000 / 1024, oldest first, as sent. */
  rr_intervals_ms: Type.Array(Type.Number({ minimum: 0 })),
  /** null: the strap does not support contact detection. */
  sensor_contact: nullable(Type.Boolean()),
  energy_expended_kj: nullable(Type.Integer({ minimum: 0 })),
  clock: Type.Enum(CLOCK_STATES),
};

const source = Type.Optional(Type.Enum(['simulated', 'replay']));

/** A reading as the bridge publishes it and as the stream holds it. `source` is absent in a real one. */
export const readingSchema = Type.Object({ ...fields, ...details, source });
export type Reading = Static<typeof readingSchema>;

/** A reading as the stream may hold it: an adopted one, or one of an earlier producer, has no more than timestamp and heart_rate. */
export const incomingReadingSchema = Type.Object({
  ...fields,
  ...Type.Partial(Type.Object(details)).properties,
  /** A device of another client may have any name that a topic level may have. */
  device: Type.Optional(anyDeviceNameSchema),
  source,
  /** The user that published it, if it was adopted; absent in a strap's reading. */
  publisher: Type.Optional(Type.String({ maxLength: 256 })),
  /** What that user published, if it was more than a timestamp and a heart rate. */
  original: Type.Optional(Type.String()),
  /** What the forwarder adds on the way to the stream (stream-account.ts). Not checked here: a reading is one whatever stands in them. */
  account: Type.Optional(Type.Unknown()),
  gaps: Type.Optional(Type.Unknown()),
});
export type IncomingReading = Static<typeof incomingReadingSchema>;

/** Largest reading that is accepted, in bytes of JSON; larger ones become dead letters. The record limit of a stream is 1 MiB. */
export const READING_MAX_BYTES = 256 * 1024;

/** Parses and checks a reading's JSON; never throws. `reason` says which field is wrong. */
export const parseReading = parserOf(incomingReadingSchema, READING_MAX_BYTES);
