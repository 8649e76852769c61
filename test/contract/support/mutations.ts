/** Valid messages, changed in one place so that they no longer match the contract. */
import fc from 'fast-check';

type Path = readonly (string | number)[];

/** Which fields may be null or missing, by the names of the fields on the way to it, without array indexes. */
export interface Exceptions {
  nullable: readonly string[];
  optional: readonly string[];
  /** Maps with free keys: their entries may be missing. */
  maps: readonly string[];
}

export interface Mutation {
  /** What was changed, for the message of a failed test. */
  change: string;
  payload: string;
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

/** Every field of a message, objects included. */
function pathsOf(value: unknown, at: Path = []): Path[] {
  if (!isObject(value)) return [];
  return Object.entries(value).flatMap(([key, child]) => {
    const path = [...at, Array.isArray(value) ? Number(key) : key];
    return [path, ...pathsOf(child, path)];
  });
}

const nameOf = (path: Path): string => path.filter((step) => typeof step === 'string').join('.');

function valueAt(message: unknown, path: Path): unknown {
  return path.reduce<unknown>((value, step) => (isObject(value) ? value[step] : undefined), message);
}

function withValue(message: object, path: Path, change: (parent: Record<string, unknown>, key: string) => void): string {
  const copy: unknown = structuredClone(message);
  const parent = valueAt(copy, path.slice(0, -1));
  if (isObject(parent)) change(parent, String(path.at(-1)));
  return JSON.stringify(copy);
}

const nested = (): unknown => Array.from({ length: 10 }).reduce<unknown>((inner) => ({ inner }), 'x');

function wrongType(value: unknown): unknown {
  if (typeof value === 'string') return 7;
  if (typeof value === 'object') return 'text';
  return typeof value === 'number' ? '7' : 'yes';
}

function mutationsOf(message: object, exceptions: Exceptions): Mutation[] {
  return pathsOf(message).flatMap((path) => {
    const name = nameOf(path);
    const isElement = typeof path.at(-1) === 'number';
    const isMapEntry = exceptions.maps.includes(nameOf(path.slice(0, -1)));
    const set = (what: string, value: unknown): Mutation => ({
      change: `${name} ${what}`,
      payload: withValue(message, path, (parent, key) => (parent[key] = value)),
    });
    const mutations = [
      set('of a wrong type', wrongType(valueAt(message, path))),
      set('nested 10 levels', nested()),
      set('huge', 'x'.repeat(300_000)),
    ];
    if (!exceptions.nullable.includes(name)) mutations.push(set('null', null));
    if (!isElement && !isMapEntry && !exceptions.optional.includes(name))
      mutations.push({ change: `${name} removed`, payload: withValue(message, path, (parent, key) => delete parent[key]) });
    return mutations;
  });
}

/** What is not even an object; a positive integer would be a valid reading. */
const RUBBISH = ['', ' ', 'rubbish', 'null', '[]', '-7', '"text"', '{', '{}', '['.repeat(10_000), 'x'.repeat(300_000)];

/** Any message that must be refused, from a valid one. */
export function refusable(message: object, exceptions: Exceptions): fc.Arbitrary<Mutation> {
  const rubbish = RUBBISH.map((payload) => ({ change: `all of it is ${payload.slice(0, 20)}`, payload }));
  return fc.constantFrom(...mutationsOf(message, exceptions), ...rubbish.filter(({ payload }) => payload !== ''));
}

/** All of them, for readers that take long. */
export const allRefusable = (message: object, exceptions: Exceptions): Mutation[] => mutationsOf(message, exceptions);
