/**
 * Fields that several messages share.
 *
 * Forward compatibility, for every message of `contract/`: a message of a newer version may have additional fields, and a reader
 * ignores them; so no schema of a status forbids additional properties. A known field that is missing or has the wrong type refuses
 * the whole message. Only what is answered or acted on literally (requests, arguments, the delivery plane) forbids unknown fields.
 */
import Type, { type TSchema, type TUnion } from 'typebox';
import { ANY_DEVICE_PATTERN, DEVICE_PATTERN, RUN_PATTERN } from './topics.ts';

/** Time in UTC as our services write it: `2026-11-22T19:00:00.123Z`. `Date.parse` of it is never NaN. */
export const timeSchema = Type.String({
  pattern: '^\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])T([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,9})?Z$',
});
/** Counts, sizes and sequence numbers. */
export const countSchema = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
/** Durations and ages, of a process that measures with fractions. */
export const durationSchema = Type.Number({ minimum: 0 });
/** The name of a strap's device, as in topics. */
export const deviceNameSchema = Type.String({ pattern: DEVICE_PATTERN.source });
/** A name of any device, those of other clients included, as in topics. */
export const anyDeviceNameSchema = Type.String({ pattern: ANY_DEVICE_PATTERN.source });
/** 16 hexadecimal digits, chosen at random when a sequencer starts. */
export const runSchema = Type.String({ pattern: RUN_PATTERN.source });
/** A short text for display. */
export const textSchema = Type.String({ maxLength: 1000 });
/** Counts by a code or name: `{outbox_full: 3}`. */
export const countsSchema = Type.Record(Type.String({ pattern: '^[\\s\\S]{1,200}$' }), countSchema, {
  additionalProperties: false,
  maxProperties: 200,
});

/** A field that is null while its value is unknown. */
export const nullable = <S extends TSchema>(schema: S): TUnion<[S, ReturnType<typeof Type.Null>]> =>
  Type.Union([schema, Type.Null()]);
