/**
 * Bodies are checked as they are: Fastify's own check converts values to the schema's type, which is right for queries, whose values are
 * all text, but would take the number 0 for "remove the name" and the text "true" for "all".
 */
import type { FastifySchemaCompiler, RouteOptions } from 'fastify';
import type { TSchema } from 'typebox';
import { checkerOf } from '../contract/validate.ts';

const compileChecker: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const check = checkerOf(schema);
  return (value: unknown) => {
    const checked = check(value);
    return checked.ok ? { value: checked.value } : { error: new Error(`${httpPart ?? 'request'}: ${checked.reason}`) };
  };
};

/** An `onRoute` hook: routes with a body check all parts of a request unconverted. Their other parts are text. */
export function checkBodiesUnconverted(route: RouteOptions): void {
  if (route.schema?.body !== undefined) route.validatorCompiler = compileChecker as FastifySchemaCompiler<unknown>;
}
