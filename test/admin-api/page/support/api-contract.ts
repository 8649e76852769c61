/** Holds answers of the API to its own description (openapi.json). */
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { ERRORS } from '../../../../service/errors/error-catalogue.ts';

interface Media {
  schema: object;
}
export interface Operation {
  summary: string;
  security?: object[];
  parameters?: { name: string; in: 'query' | 'path'; required?: boolean; schema: object }[];
  requestBody?: { content: Record<string, Media> };
  responses: Record<string, { content?: Record<string, Media> }>;
}
export interface Description {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
}

export interface Answer {
  method: string;
  path: string;
  status: number;
  type: string;
  body: string;
}

export class ApiContract {
  readonly operations: { method: string; path: string; operation: Operation; matches: RegExp }[];
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true });
  readonly #checks = new Map<object, ValidateFunction>();

  constructor(description: Description) {
    this.operations = Object.entries(description.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({
        method: method.toUpperCase(),
        path,
        operation,
        matches: new RegExp(`^${path.replaceAll(/\{[^}]+\}/g, '[^/]+')}$`),
      })),
    );
  }

  #check(schema: object, value: unknown): string | undefined {
    let check = this.#checks.get(schema);
    if (check === undefined) this.#checks.set(schema, (check = this.#ajv.compile(schema)));
    return check(value) ? undefined : this.#ajv.errorsText(check.errors);
  }

  /** What is wrong with an answer; undefined if it matches its description. A path without a route must get a problem. */
  fault({ method, path, status, type, body }: Answer): string | undefined {
    const [address = ''] = path.split('?');
    const operation = this.operations.find(
      (candidate) => candidate.method === method && candidate.matches.test(address),
    )?.operation;
    const described = operation?.responses[String(status)] ?? operation?.responses[`${String(status)[0]}XX`];
    const media = type.split(';')[0] ?? '';
    if (status >= 400 && media === 'application/problem+json') {
      const problem = JSON.parse(body) as { code: string; status: number; hint: string };
      if (!(problem.code in ERRORS)) return `${problem.code} is not in the catalogue`;
      if (problem.status !== status) return `a problem of ${problem.status} in a ${status}`;
    }
    if (operation === undefined)
      return status >= 400 && media !== 'application/problem+json' ? `${status} of ${media}` : undefined;
    if (described === undefined) return `${status} is not described`;
    const schema = described.content?.[media]?.schema;
    if (schema === undefined) return `${status} of ${media === '' ? 'no type' : media} is not described`;
    return media.endsWith('json') ? this.#check(schema, JSON.parse(body)) : undefined;
  }
}
