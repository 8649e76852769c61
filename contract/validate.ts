/**
 * Schemas become validators here: one Ajv for all of contract/. A schema is written once; its type is derived from it
 * (json-schema-to-ts), the same schema validates and documents.
 */
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import type { FromSchema, JSONSchema } from 'json-schema-to-ts';

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
