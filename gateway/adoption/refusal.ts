/** A numbered refusal: what another client published under `hr/` and what cannot become a reading. It becomes a dead letter. */
import { isUtf8 } from 'node:buffer';
import type { AdoptionRefusal } from '../../contract/dead-letter.ts';
import type { UnnumberedReading } from '../../outbox/reading-sink.ts';

/** Larger payloads are refused with an excerpt. */
export const PAYLOAD_MAX_BYTES = 64 * 1024;
const EXCERPT_BYTES = 1024;

export interface Refusal {
  code: AdoptionRefusal;
  /** What exactly is wrong, for a person. */
  detail: string;
}

export interface RefusalOptions extends Refusal {
  /** From the topic; undefined if the topic names none. */
  device: string | undefined;
  publisher: string;
  arrivedAt: Date;
  payload: Buffer;
}

/** The payload as text if that is exact and short in JSON, else in base64. */
function payloadFields(payload: Buffer): Record<string, unknown> {
  if (payload.length > PAYLOAD_MAX_BYTES)
    return { payload_bytes: payload.length, payload_base64: payload.subarray(0, EXCERPT_BYTES).toString('base64') };
  const text = isUtf8(payload) ? payload.toString('utf8') : undefined;
  // A control character takes six bytes in JSON: a payload of them would outgrow what a reading may have.
  return text === undefined || /[^\P{Cc}\t\n\r]/u.test(text) ? { payload_base64: payload.toString('base64') } : { payload: text };
}

export function refusalOf(options: RefusalOptions): UnnumberedReading {
  const { code, detail, device, publisher, arrivedAt, payload } = options;
  return {
    refused: { code, detail },
    device: device ?? '',
    publisher,
    timestamp: arrivedAt.toISOString(),
    ...payloadFields(payload),
  };
}
