/**
 * Tables of verbs that a service answers, over the broker (commands.ts) or through its control socket (control.ts): who answers, with which
 * arguments and which result. Arguments are acted on, so unknown ones are refused.
 */
import Type, { type Static, type TSchema } from 'typebox';
import type { ServiceName } from './topics.ts';
import { checkerOf, type Checker } from './validate.ts';

export interface VerbRow {
  /** The service that answers; `every`: each of them. */
  service: ServiceName | 'every';
  args: TSchema;
  result: TSchema;
}
export type VerbTable<T> = Readonly<Record<keyof T, VerbRow>>;

export type ArgsOf<T extends VerbTable<T>, V extends keyof T> = Static<T[V]['args']>;
export type ResultOf<T extends VerbTable<T>, V extends keyof T> = Static<T[V]['result']>;

export const strict = { additionalProperties: false } as const;
export const noArgs = Type.Object({}, strict);

export interface VerbCheckers<T extends VerbTable<T>> {
  /** Makes a checker of a verb's arguments; keep it: each compiles its schema. */
  argsCheckerOf: <V extends keyof T>(verb: V) => Checker<ArgsOf<T, V>>;
  /** Makes a checker of a verb's result. */
  resultCheckerOf: <V extends keyof T>(verb: V) => Checker<ResultOf<T, V>>;
  /** Type guard for the verb of a request. */
  isVerb: (verb: string) => verb is keyof T & string;
}

export function checkersOf<const T extends VerbTable<T>>(table: T): VerbCheckers<T> {
  return {
    argsCheckerOf: <V extends keyof T>(verb: V) => checkerOf<T[V]['args']>(table[verb].args),
    resultCheckerOf: <V extends keyof T>(verb: V) => checkerOf<T[V]['result']>(table[verb].result),
    isVerb: (verb): verb is keyof T & string => Object.hasOwn(table, verb),
  };
}
