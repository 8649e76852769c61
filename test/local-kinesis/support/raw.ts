/** Requests as bytes: what no SDK would send, and CBOR, which AWS' SDK for JavaScript does not speak. */
import assert from 'node:assert/strict';
import { decode, encode, Token, Type } from 'cborg';

export interface RawAnswer {
  status: number;
  contentType: string | null;
  body: Record<string, unknown>;
}

/** A time of a request in CBOR. */
export class Ms {
  readonly ms: number;

  constructor(ms: number) {
    this.ms = ms;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

async function post(endpoint: string, operation: string, contentType: string, body: string | Uint8Array): Promise<Response> {
  return await fetch(endpoint, {
    method: 'POST',
    headers: { 'x-amz-target': `Kinesis_20131202.${operation}`, 'content-type': contentType },
    body: typeof body === 'string' ? body : Buffer.from(body),
  });
}

/** `input`: an object, or the text of the body. */
export async function askJson(endpoint: string, operation: string, input: object | string): Promise<RawAnswer> {
  const body = typeof input === 'string' ? input : JSON.stringify(input);
  const answer = await post(endpoint, operation, 'application/x-amz-json-1.1', body);
  const value: unknown = await answer.json();
  assert.ok(isObject(value), `${operation} answers with an object`);
  return { status: answer.status, contentType: answer.headers.get('content-type'), body: value };
}

const EPOCH = 1;

/** `input`: an object (with Buffers and Ms), or the bytes of the body. Times of the answer are Ms. */
export async function askCbor(endpoint: string, operation: string, input: object | Uint8Array): Promise<RawAnswer> {
  const body =
    input instanceof Uint8Array
      ? input
      : encode(input, {
          typeEncoders: {
            Object: (value: unknown) =>
              value instanceof Ms ? [new Token(Type.tag, EPOCH), new Token(Type.uint, value.ms)] : null,
          },
        });
  const answer = await post(endpoint, operation, 'application/x-amz-cbor-1.1', body);
  const bytes = new Uint8Array(await answer.arrayBuffer());
  const tags = { [EPOCH]: (content: () => unknown) => new Ms(Number(content())) };
  const value: unknown = decode(bytes, { tags });
  assert.ok(isObject(value), `${operation} answers with a map`);
  return { status: answer.status, contentType: answer.headers.get('content-type'), body: value };
}

/** The `__type` of an error, or `none`. */
export function typeOf({ body }: RawAnswer): string {
  const type = body['__type'];
  return typeof type === 'string' ? type : 'none';
}
