/** Dead letters: refused readings that wait for an operator. Crosses processes in answers to `list-dead-letters` and in counts. */
import Type, { type Static } from 'typebox';
import { countSchema, nullable, timeSchema } from './fields.ts';

/** Why the gateway refused what another client published under `hr/` (docs/mqtt.md, "Publish from your own app"). */
export const ADOPTION_REFUSALS = [
  'payload_not_json',
  'payload_not_a_reading',
  'payload_not_finite',
  'payload_duplicate_names',
  'payload_lone_surrogate',
  'payload_too_deep',
  'payload_not_utf8',
  'payload_byte_order_mark',
  'payload_too_large',
  'heart_rate_missing',
  'heart_rate_type',
  'heart_rate_not_integer',
  'heart_rate_out_of_range',
  'timestamp_type',
  'timestamp_epoch',
  'timestamp_invalid',
  'timestamp_without_offset',
  'timestamp_impossible',
  'topic',
  'device_claimed',
] as const;
export type AdoptionRefusal = (typeof ADOPTION_REFUSALS)[number];

/** Why a reading was refused: by the forwarder, by a sequencer, or by the stream. */
export const DEAD_LETTER_REASONS = [
  'invalid',
  'too_large',
  'identity',
  'too_large_for_broker',
  'refused_by_stream',
  ...ADOPTION_REFUSALS,
] as const;
export type DeadLetterReason = (typeof DEAD_LETTER_REASONS)[number];

/** Why an accepted reading was dropped. */
export const EVICTED_CAUSES = ['queue_full', 'dead_letters_full', 'discarded', 'damaged', 'test_reading'] as const;
export type EvictedCause = (typeof EVICTED_CAUSES)[number];

/** A refused payload is kept whole up to this size: it can be retried. */
export const DEAD_LETTER_KEPT_BYTES = 64 * 1024;
/** At most this many characters of it are listed. */
export const DEAD_LETTER_PAYLOAD_MAX = 4096;

export const deadLetterSchema = Type.Object({
  id: countSchema,
  /** When it was refused. */
  at: timeSchema,
  /** Reason code (docs/errors.md); queues of older versions may hold others. */
  reason: Type.String(),
  /** What was found, for a person. */
  detail: Type.String(),
  device: Type.String(),
  /** The sequencer's gateway; null in letters of an older version. */
  gateway: nullable(Type.String()),
  run: nullable(Type.String()),
  seq: nullable(countSchema),
  /** The user that published it; null for a strap's reading, and where the broker does not tell. */
  publisher: nullable(Type.String()),
  /** Size of the payload as it was received. */
  bytes: countSchema,
  payload: Type.String({ maxLength: DEAD_LETTER_PAYLOAD_MAX, description: 'At most 4,096 characters of it' }),
  whole: Type.Boolean({ description: 'The payload is kept whole, so that it can be retried' }),
});
export type DeadLetter = Static<typeof deadLetterSchema>;

/** A list is cut before its entries exceed this many bytes of JSON, but has at least one entry: so much is sent at once. */
export const DEAD_LETTERS_MAX_BYTES = 256 * 1024;

export const deadLettersSchema = Type.Object({
  total: countSchema,
  dead_letters: Type.Array(deadLetterSchema, { maxItems: 500 }),
  next_before: Type.Union([countSchema, Type.Null()], {
    description: 'Value of `before` that lists the next entries; null if there are no more',
  }),
});
export type DeadLetters = Static<typeof deadLettersSchema>;
