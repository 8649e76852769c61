/** Answer to a request, on `edge/<service>/response/<id>`. The schema of `result` is in the table of commands, by verb. */
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
