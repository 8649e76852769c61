/**
 * Answer to a request, on `edge/<gateway>/<service>/response/<id>`. The schema of `result` is in the table of commands, by verb. An answer
 * that some brokers would not take in one message (MQTT_MAX_PACKET_BYTES, `message_size_limit` of Mosquitto) is sent in parts.
 */
import Type, { type Static } from 'typebox';
import { textSchema } from './fields.ts';
import { parserOf } from './validate.ts';

/** Lists of dead letters are the largest answers (DEAD_LETTERS_MAX_BYTES). */
export const RESPONSE_MAX_BYTES = 1024 * 1024;

export const requestIdSchema = Type.String({ pattern: '^[A-Za-z0-9-]{1,64}$' });

/** Why a command was not carried out. */
export const responseErrorSchema = Type.Object({
  /** One of docs/errors.md; a service of a newer version may have others. */
  code: Type.String({ pattern: '^[a-z][a-z0-9_]{0,63}$' }),
  message: Type.String({ maxLength: 4000 }),
  hint: textSchema,
});

export const responseSchema = Type.Union([
  Type.Object({ id: requestIdSchema, ok: Type.Literal(true), result: Type.Unknown() }),
  Type.Object({ id: requestIdSchema, ok: Type.Literal(false), error: responseErrorSchema }),
]);
export type ResponseMessage = Static<typeof responseSchema>;

/** Parses a response without its result; never throws. */
export const parseResponse = parserOf(responseSchema, RESPONSE_MAX_BYTES);

/** A response of more bytes is sent in parts. As base64 and with its envelope a part is smaller than the smallest packet limit. */
export const RESPONSE_PART_BYTES = 1650;
const PARTS_MAX = Math.ceil(RESPONSE_MAX_BYTES / RESPONSE_PART_BYTES);

/** Part `part` of `parts`, from 1 on; in order on the topic. Together `data` is the JSON of the response. */
export const responsePartSchema = Type.Object({
  id: requestIdSchema,
  part: Type.Integer({ minimum: 1, maximum: PARTS_MAX }),
  parts: Type.Integer({ minimum: 2, maximum: PARTS_MAX }),
  /** Base64. */
  data: Type.String({ maxLength: 2 * RESPONSE_PART_BYTES }),
});
export type ResponsePart = Static<typeof responsePartSchema>;

export const parseResponsePart = parserOf(responsePartSchema);

/** The messages that carry a response: itself, or its parts. */
export function responseMessages(response: ResponseMessage): string[] {
  const text = JSON.stringify(response);
  const bytes = Buffer.from(text);
  if (bytes.length <= RESPONSE_PART_BYTES) return [text];
  const parts = Math.ceil(bytes.length / RESPONSE_PART_BYTES);
  return Array.from({ length: parts }, (_, index): string => {
    const data = bytes.toString('base64', index * RESPONSE_PART_BYTES, (index + 1) * RESPONSE_PART_BYTES);
    const message: ResponsePart = { id: response.id, part: index + 1, parts, data };
    return JSON.stringify(message);
  });
}
