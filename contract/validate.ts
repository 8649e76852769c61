/**
 * Schemas become validators here: one Ajv for all of contract/. A schema is written once; its type is derived from it
 * (json-schema-to-ts), the same schema validates and documents.
 */
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import type { FromSchema, JSONSchema } from 'json-schema-to-ts';
import type { Static, TSchema } from 'typebox';
import { Compile, type Validator } from 'typebox/compile';

export type Validated<T> = { ok: true; value: T } | { ok: false; reason: string };

const ajv = new Ajv({ allErrors: false, strict: true, allowUnionTypes: true });

function describe(error: ErrorObject | undefined): string {
  if (error === undefined) return 'invalid';
  const field = error.instancePath === '' ? '' : `${error.instancePath.slice(1).replaceAll('/', '.')} `;
  return `${field}${error.message ?? error.keyword}`;
}

/** Makes a checker from a schema whose type is not derived; `reason` names the field and what is wrong with it. Compiled at the first use. */
export function untypedValidatorOf(schema: object): (value: unknown) => Validated<unknown> {
  let validate: ValidateFunction | undefined;
  return (value) => {
    validate ??= ajv.compile(schema);
    return validate(value) ? { ok: true, value } : { ok: false, reason: describe(validate.errors?.[0]) };
  };
}

/** Makes a checker of parsed values whose type is derived from the schema. */
export function validatorOf<const S extends JSONSchema>(schema: S): (value: unknown) => Validated<FromSchema<S>> {
  return untypedValidatorOf(schema as object) as (value: unknown) => Validated<FromSchema<S>>;
}

/** Parses JSON and checks it; never throws. */
export function parseJson<T>(text: string | Buffer, check: (value: unknown) => Validated<T>): Validated<T> {
  let value: unknown;
  try {
    value = JSON.parse(typeof text === 'string' ? text : text.toString('utf8'));
  } catch {
    return { ok: false, reason: 'not JSON' };
  }
  return check(value);
}

/** Makes a checker of parsed values from a TypeBox schema; `reason` names the field and what is wrong with it. Compiled at first use. */
export function checkerOf<const S extends TSchema>(schema: S): (value: unknown) => Validated<Static<S>> {
  let validator: Validator<{}, S> | undefined;
  return (value) => {
    validator ??= Compile(schema);
    if (validator.Check(value)) return { ok: true, value };
    const [error] = validator.Errors(value);
    const field = error === undefined || error.instancePath === '' ? '' : `${error.instancePath.slice(1).replaceAll('/', '.')} `;
    return { ok: false, reason: `${field}${error?.message ?? 'invalid'}` };
  };
}

/** Makes a parser of JSON messages from a TypeBox schema; never throws. */
export function parserOf<const S extends TSchema>(schema: S): (payload: Buffer | string) => Validated<Static<S>> {
  const check = checkerOf(schema);
  return (payload) => parseJson(payload, check);
}
