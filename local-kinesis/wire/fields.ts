/**
 * The members of a request. Each is checked before an operation sees it: a value of another type is a SerializationException, one outside
 * of the documented limits a ValidationException, as in Kinesis. A member that the local stream does not support is refused by its name,
 * and so is one that Kinesis does not have: nothing is ignored.
 */
import { invalidArgument, serialization, validation } from '../kinesis-error.ts';
import type { Wire } from './wire.ts';

/** Reads one member; undefined if it is absent. Throws KinesisError, which names `path`. */
export type Field<T> = (value: unknown, path: string, wire: Wire) => T;
export type Fields = Readonly<Record<string, Field<unknown>>>;
/** What an operation gets. */
export type InputOf<F extends Fields> = { readonly [Name in keyof F]: F[Name] extends Field<infer T> ? T : never };

const isAbsent = (value: unknown): value is null | undefined => value === undefined || value === null;

const shown = (value: unknown): string => {
  const text = typeof value === 'string' || typeof value === 'number' ? String(value) : kindOf(value);
  return text.length > 100 ? `${text.slice(0, 100)}...` : text;
};

/** `Records.1.member.PartitionKey`, as messages of Kinesis name it: `records.1.member.partitionKey`. */
const documentedPath = (path: string): string =>
  path
    .split('.')
    .map((part) => part.charAt(0).toLowerCase() + part.slice(1))
    .join('.');

function violated(value: unknown, path: string, constraint: string): Error {
  return validation(
    `1 validation error detected: Value ${isAbsent(value) ? 'null' : `'${shown(value)}'`} at '${documentedPath(path)}' ` +
      `failed to satisfy constraint: ${constraint}`,
  );
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'A list';
  if (value instanceof Uint8Array) return 'A byte string';
  return typeof value === 'object' ? 'A structure' : `A ${typeof value}`;
}

const mistyped = (value: unknown, path: string, wanted: string): Error =>
  serialization(`${kindOf(value)} can not be converted to ${wanted} at '${documentedPath(path)}'`);

/** A member that must be there. */
export function required<T>(field: Field<T | undefined>): Field<T> {
  return (value, path, wire) => {
    const read = field(value, path, wire);
    if (read === undefined) throw violated(null, path, 'Member must not be null');
    return read;
  };
}

/** Text; lengths in code points. `pattern` must match all of it and is written in messages as AWS documents it. */
export function text({ min = 0, max, pattern }: { min?: number; max: number; pattern?: string }): Field<string | undefined> {
  const whole = pattern === undefined ? undefined : new RegExp(`^(?:${pattern})$`, 'u');
  return (value, path) => {
    if (isAbsent(value)) return undefined;
    if (typeof value !== 'string') throw mistyped(value, path, 'a String');
    if (/\p{Surrogate}/u.test(value)) throw serialization(`The text at '${documentedPath(path)}' is not Unicode.`);
    if (value.length < min) throw violated(value, path, `Member must have length greater than or equal to ${min}`);
    if (value.length > max && Array.from(value).length > max)
      throw violated(value, path, `Member must have length less than or equal to ${max}`);
    if (whole?.test(value) === false)
      throw violated(value, path, `Member must satisfy regular expression pattern: ${pattern ?? ''}`);
    return value;
  };
}

export function oneOf<const T extends string>(values: readonly T[]): Field<T | undefined> {
  return (value, path) => {
    if (isAbsent(value)) return undefined;
    if (typeof value !== 'string') throw mistyped(value, path, 'a String');
    const found = values.find((one) => one === value);
    if (found === undefined) throw violated(value, path, `Member must satisfy enum value set: [${values.join(', ')}]`);
    return found;
  };
}

export function integer({ min = -(2 ** 31), max = 2 ** 31 - 1 }: { min?: number; max?: number } = {}): Field<number | undefined> {
  return (value, path) => {
    if (isAbsent(value)) return undefined;
    if (typeof value !== 'number' || !Number.isInteger(value)) throw mistyped(value, path, 'an Integer');
    if (value < min) throw violated(value, path, `Member must have value greater than or equal to ${min}`);
    if (value > max) throw violated(value, path, `Member must have value less than or equal to ${max}`);
    return value;
  };
}

export const boolean: Field<boolean | undefined> = (value, path) => {
  if (isAbsent(value)) return undefined;
  if (typeof value !== 'boolean') throw mistyped(value, path, 'a Boolean');
  return value;
};

/** A time, in ms since the epoch. */
export const time: Field<number | undefined> = (value, path, wire) => (isAbsent(value) ? undefined : wire.msOf(value, path));

export function blob({ maxBytes }: { maxBytes: number }): Field<Buffer | undefined> {
  return (value, path, wire) => {
    if (isAbsent(value)) return undefined;
    const bytes = wire.blobOf(value, path);
    if (bytes.length > maxBytes) throw violated('...', path, `Member must have length less than or equal to ${maxBytes}`);
    return bytes;
  };
}

export function listOf<T>(item: Field<T>, { min, max }: { min: number; max: number }): Field<T[] | undefined> {
  return (value, path, wire) => {
    if (isAbsent(value)) return undefined;
    if (!Array.isArray(value)) throw mistyped(value, path, 'a List');
    if (value.length < min) throw violated('[...]', path, `Member must have length greater than or equal to ${min}`);
    if (value.length > max) throw violated('[...]', path, `Member must have length less than or equal to ${max}`);
    return value.map((one: unknown, index) => item(one, `${path}.${index + 1}.member`, wire));
  };
}

/** A member of the API that the local stream has no use for. */
export const unsupported: Field<undefined> = (value, path) => {
  if (isAbsent(value)) return undefined;
  throw invalidArgument(`${path} is not supported by the local stream.`);
};

/** The names of a decoded structure, and the value of each. Throws SerializationException. */
function membersOf(value: unknown, path: string): { names: Iterable<unknown>; get: (name: string) => unknown } {
  if (value instanceof Map) return { names: value.keys(), get: (name) => value.get(name) as unknown };
  if (typeof value !== 'object' || value === null || Array.isArray(value) || Object.getPrototypeOf(value) !== Object.prototype)
    throw mistyped(value, path === '' ? 'request' : path, 'a Structure');
  const members = value as Record<string, unknown>;
  return { names: Object.keys(members), get: (name) => (Object.hasOwn(members, name) ? members[name] : undefined) };
}

/** The fields of a structure as a list, made once: a request has up to 500 records. */
const entriesOf = new WeakMap<Fields, [string, Field<unknown>][]>();

function readMembers<F extends Fields>(fields: F, value: unknown, path: string, wire: Wire): InputOf<F> {
  const { names, get } = membersOf(value, path);
  const prefix = path === '' ? '' : `${path}.`;
  for (const name of names)
    if (typeof name !== 'string' || !Object.hasOwn(fields, name)) throw validation(`Unknown member ${prefix}${shown(name)}.`);
  let entries = entriesOf.get(fields);
  if (entries === undefined) entriesOf.set(fields, (entries = Object.entries(fields)));
  const input: Record<string, unknown> = {};
  for (const [name, field] of entries) input[name] = field(get(name), prefix + name, wire);
  return input as InputOf<F>;
}

export function structure<F extends Fields>(fields: F): Field<InputOf<F> | undefined> {
  return (value, path, wire) => (isAbsent(value) ? undefined : readMembers(fields, value, path, wire));
}

/** The whole request. Throws KinesisError. */
export function readInput<F extends Fields>(fields: F, request: unknown, wire: Wire): InputOf<F> {
  return readMembers(fields, request, '', wire);
}
