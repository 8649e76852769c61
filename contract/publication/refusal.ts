/**
 * A numbered refusal: what another client published under `hr/` and what cannot become a reading, as a line of the delivery plane. The
 * forwarder makes it a dead letter.
 */
import Type, { type Static } from 'typebox';
import type { AdoptionRefusal } from '../dead-letter.ts';
import { countSchema, timeSchema } from '../fields.ts';
import { parserOf } from '../validate.ts';
import { exactText } from './payload-text.ts';

/** Larger payloads are refused with an excerpt. */
export const PAYLOAD_MAX_BYTES = 64 * 1024;
const EXCERPT_BYTES = 1024;

export interface Refusal {
  code: AdoptionRefusal;
  /** What exactly is wrong, for a person. */
  detail: string;
}

export const refusedLineSchema = Type.Object({
  refused: Type.Object({ code: Type.String({ pattern: '^[a-z][a-z0-9_]{0,63}$' }), detail: Type.String({ maxLength: 1000 }) }),
  /** From the topic; empty if the topic names none. */
  device: Type.Optional(Type.String({ maxLength: 256 })),
  /** Absent if a strap's reading was refused. */
  publisher: Type.Optional(Type.String({ maxLength: 256 })),
  /** When it arrived. */
  timestamp: Type.Optional(timeSchema),
  /** The payload as text if that is exact, else in base64. */
  payload: Type.Optional(Type.String()),
  payload_base64: Type.Optional(Type.String()),
  /** Size of the payload if the line holds only an excerpt of it. */
  payload_bytes: Type.Optional(countSchema),
});
export type RefusedLine = Static<typeof refusedLineSchema>;

/** Parses the line of a refusal; never throws. */
export const parseRefusedLine = parserOf(refusedLineSchema);

export interface RefusalOptions extends Refusal {
  /** From the topic; undefined if the topic names none. */
  device: string | undefined;
  publisher: string;
  arrivedAt: Date;
  payload: Buffer;
}

/** The payload as text if that is exact and short in JSON, else in base64. */
function payloadFields(payload: Buffer): Pick<RefusedLine, 'payload' | 'payload_base64' | 'payload_bytes'> {
  if (payload.length > PAYLOAD_MAX_BYTES)
    return { payload_bytes: payload.length, payload_base64: payload.subarray(0, EXCERPT_BYTES).toString('base64') };
  const text = exactText(payload);
  // A control character takes six bytes in JSON: a payload of them would outgrow what a reading may have.
  return text === undefined || /[^\P{Cc}\t\n\r]/u.test(text) ? { payload_base64: payload.toString('base64') } : { payload: text };
}

export function refusalOf(options: RefusalOptions): RefusedLine {
  const { code, detail, device, publisher, arrivedAt, payload } = options;
  return {
    refused: { code, detail },
    device: device ?? '',
    publisher,
    timestamp: arrivedAt.toISOString(),
    ...payloadFields(payload),
  };
}
