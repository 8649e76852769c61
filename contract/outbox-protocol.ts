/**
 * Messages of the end-to-end acknowledgement between bridge and forwarder (design section 1).
 * Bridge → `edge/source/<run>` and `edge/resend/<run>`; forwarder → `edge/stored/<run>` and `edge/sync`.
 */
import type { FromSchema } from 'json-schema-to-ts';
import { parseJson, validatorOf, type Validated } from './validate.ts';

const seqSchema = { type: 'integer', minimum: 0, maximum: 9007199254740991 } as const;

/** Why readings between two seqs are not held any more. */
export const DROP_CAUSES = ['outbox_full', 'damaged'] as const;
export type DropCause = (typeof DROP_CAUSES)[number];

export const sourceSchema = {
  $id: 'source',
  type: 'object',
  properties: {
    run: { type: 'string', pattern: '^[0-9a-f]{16}$' },
    /** Oldest seq held; last + 1 where nothing is held. */
    from: { ...seqSchema, minimum: 1 },
    /** Newest seq given out in this run (0: none yet). */
    last: seqSchema,
    /** Readings of this run that were dropped before they were stored, by cause. */
    dropped: { type: 'object', additionalProperties: seqSchema },
    /** Counts up with each source of a process; only the answer with the current one starts a resend. */
    sync: seqSchema,
  },
  required: ['run', 'from', 'last', 'dropped', 'sync'],
  additionalProperties: false,
} as const;
export type SourceMessage = FromSchema<typeof sourceSchema>;

export const storedSchema = {
  $id: 'stored',
  type: 'object',
  properties: {
    /** All seqs up to this one are stored or accounted for. */
    stored: seqSchema,
    /** The next seq that the forwarder wants; only in an answer to a source. */
    next: seqSchema,
    sync: seqSchema,
  },
  required: ['stored'],
  additionalProperties: false,
} as const;
export type StoredMessage = FromSchema<typeof storedSchema>;

const checkSource = validatorOf(sourceSchema);
const checkStored = validatorOf(storedSchema);
export const parseSource = (payload: Buffer | string): Validated<SourceMessage> => parseJson(payload, checkSource);
export const parseStored = (payload: Buffer | string): Validated<StoredMessage> => parseJson(payload, checkStored);

/** Readings in one resend packet: 20 lift the backlog rate from 38k to 69k/s (facts.md). */
export const RESEND_PACKET_READINGS = 20;
/** A resend packet is closed before it grows over this; one larger reading goes alone. */
export const RESEND_PACKET_BYTES = 64 * 1024;

export interface NumberedPayload {
  seq: number;
  /** The reading's JSON, without line breaks. */
  payload: string;
}

/** A resend packet: lines of `<seq> <payload>`. */
export function encodeResend(readings: readonly NumberedPayload[]): string {
  return readings.map(({ seq, payload }) => `${seq} ${payload}`).join('\n');
}

/** Takes a resend packet apart; lines without a seq are left out (their seq is asked for again). */
export function decodeResend(packet: Buffer | string): NumberedPayload[] {
  const readings: NumberedPayload[] = [];
  for (const line of packet.toString().split('\n')) {
    const space = line.indexOf(' ');
    const seq = space < 1 ? Number.NaN : Number(line.slice(0, space));
    if (Number.isSafeInteger(seq) && seq > 0) readings.push({ seq, payload: line.slice(space + 1) });
  }
  return readings;
}
