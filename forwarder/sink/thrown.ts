/** What is known of a thrown value: of an error of the SDK, of Node, of a library. */
import { inspect } from 'node:util';
import type { LOCAL_STREAM_REASON_HEADER } from '../../contract/local-stream-status.ts';
import { maskSecrets } from '../../service/secrets/mask.ts';

export interface Thrown {
  name: string;
  /** Name and message, masked, at most 300 characters. */
  text: string;
  /** Node's code of a network error, if need be from the message; empty without one. */
  code: string;
  /** HTTP status; 0 without an answer. */
  status: number;
  /** Headers of the answer that it came with, in lower case. */
  header: (name: 'date' | 'retry-after' | typeof LOCAL_STREAM_REASON_HEADER) => string | undefined;
}

const TEXT_MAX_LENGTH = 300;
const CODE = /\b(ECONNREFUSED|ECONNRESET|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH)\b/;

/** A member of anything, if it is an object that has it. */
function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && name in value ? (value as Record<string, unknown>)[name] : undefined;
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');
const numberOf = (value: unknown): number => (typeof value === 'number' ? value : 0);

/** Never throws. */
export function factsOf(thrown: unknown): Thrown {
  const isObject = typeof thrown === 'object' && thrown !== null;
  const name = textOf(memberOf(thrown, 'name'));
  const message = isObject ? textOf(memberOf(thrown, 'message')) : inspect(thrown);
  const status = [
    memberOf(memberOf(thrown, '$metadata'), 'httpStatusCode'),
    memberOf(thrown, 'statusCode'),
    memberOf(thrown, 'status'),
  ];
  const headers = memberOf(memberOf(thrown, '$response'), 'headers');
  const date = textOf(memberOf(headers, 'date')) || textOf(memberOf(thrown, 'date'));
  return {
    name,
    // Masked before it is cut: half a session token is recognised by nobody.
    text: maskSecrets(`${name} ${message}`.trim()).slice(0, TEXT_MAX_LENGTH),
    code: textOf(memberOf(thrown, 'code')) || (CODE.exec(message)?.[1] ?? ''),
    status: numberOf(status.find((value) => typeof value === 'number')),
    header: (wanted) => (wanted === 'date' ? date : textOf(memberOf(headers, wanted))) || undefined,
  };
}
