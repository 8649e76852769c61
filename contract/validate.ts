/**
 * Schemas become validators here. A schema is written once in TypeBox: it validates and documents, and its type is derived from it.
 * What does not match is refused with a reason that names the field, and is never cast.
 */
import type { Static, TSchema } from 'typebox';
import { Compile, type Validator } from 'typebox/compile';

export type Validated<T> = { ok: true; value: T } | { ok: false; reason: string };
export type Checker<T> = (value: unknown) => Validated<T>;
export type Parser<T> = (payload: Buffer | string) => Validated<T>;

/** A message larger than this is refused unparsed, unless its parser allows more. Ours have some kilobytes. */
export const MESSAGE_MAX_BYTES = 256 * 1024;

/** Makes a checker of parsed values from a schema; `reason` names the field and what is wrong with it. Compiled at first use. */
export function checkerOf<const S extends TSchema>(schema: S): Checker<Static<S>> {
  let validator: Validator<{}, S> | undefined;
  return (value) => {
    validator ??= Compile(schema);
    if (validator.Check(value)) return { ok: true, value };
    const [error] = validator.Errors(value);
    const field = error === undefined || error.instancePath === '' ? '' : `${error.instancePath.slice(1).replaceAll('/', '.')} `;
    return { ok: false, reason: `${field}${error?.message ?? 'invalid'}`.slice(0, 500) };
  };
}

/** Parses JSON of at most `maxBytes` and checks it; never throws. */
export function parseJson<T>(payload: Buffer | string, check: Checker<T>, maxBytes = MESSAGE_MAX_BYTES): Validated<T> {
  const bytes = typeof payload === 'string' ? Buffer.byteLength(payload) : payload.length;
  if (bytes > maxBytes) return { ok: false, reason: `${bytes} bytes, at most ${maxBytes} are allowed` };
  let value: unknown;
  try {
    value = JSON.parse(typeof payload === 'string' ? payload : payload.toString('utf8'));
  } catch {
    return { ok: false, reason: 'not JSON' };
  }
  return check(value);
}

/** Makes a parser of JSON messages from a schema; never throws. `maxBytes` as in `parseJson`. */
export function parserOf<const S extends TSchema>(schema: S, maxBytes = MESSAGE_MAX_BYTES): Parser<Static<S>> {
  const check = checkerOf(schema);
  return (payload) => parseJson(payload, check, maxBytes);
}
