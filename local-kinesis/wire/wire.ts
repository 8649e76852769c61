/**
 * The two forms in which Kinesis' clients write a request and read its answer: JSON (`application/x-amz-json-1.1`), and CBOR
 * (`application/x-amz-cbor-1.1`, the default of AWS' SDKs for Java). They differ in blobs (base64 text, byte strings) and in times
 * (seconds, tag 1 with whole milliseconds).
 */
import { isUtf8 } from 'node:buffer';
import { decode, encode, Token, Type } from 'cborg';
import { KinesisError, serialization } from '../kinesis-error.ts';

/** Bytes of an answer. */
export class Blob {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  toJSON(): string {
    return Buffer.from(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length).toString('base64');
  }
}

/** A time of an answer, or of a request in CBOR. */
export class Timestamp {
  /** ms since the epoch. */
  readonly ms: number;

  constructor(ms: number) {
    this.ms = ms;
  }

  toJSON(): number {
    return this.ms / 1000;
  }
}

export interface Wire {
  readonly contentType: string;
  /** What a request's body contains; structures are objects or Maps. Throws SerializationException. */
  decode(body: Buffer): unknown;
  encode(answer: object): Buffer;
  /** The bytes of a decoded blob. Throws SerializationException. */
  blobOf(value: unknown, path: string): Buffer;
  /** The ms since the epoch of a decoded time. Throws SerializationException. */
  msOf(value: unknown, path: string): number;
}

export const json: Wire = {
  contentType: 'application/x-amz-json-1.1',
  decode(body) {
    if (body.length === 0) return {};
    if (!isUtf8(body)) throw serialization('The request is not UTF-8.');
    try {
      return JSON.parse(body.toString());
    } catch {
      throw serialization('The request is not JSON.');
    }
  },
  encode: (answer) => Buffer.from(JSON.stringify(answer)),
  blobOf(value, path) {
    const bytes = typeof value === 'string' ? Buffer.from(value, 'base64') : undefined;
    // Node skips what is not base64: only what it writes itself was read completely.
    if (bytes === undefined || bytes.toString('base64') !== value) throw serialization(`The value at '${path}' is not base64.`);
    return bytes;
  },
  msOf(value, path) {
    if (typeof value !== 'number') throw serialization(`The value at '${path}' is not a time in seconds since the epoch.`);
    // Rounded: 1459799926.480 * 1000 is a fraction less than what the client wrote.
    return inRange(Math.round(value * 1000), path);
  },
};

const EPOCH_TAG = 1;

function inRange(ms: number, path: string): number {
  if (Math.abs(ms) > 8.64e15) throw serialization(`The value at '${path}' is not a time.`);
  return ms;
}

export const cbor: Wire = {
  contentType: 'application/x-amz-cbor-1.1',
  decode(body) {
    if (body.length === 0) return {};
    try {
      return decode(body, {
        useMaps: true,
        rejectDuplicateMapKeys: true,
        tags: { [EPOCH_TAG]: (content: () => unknown) => new Timestamp(Number(content())) },
      });
    } catch (error) {
      throw serialization(`The request is not CBOR: ${error instanceof Error ? error.message : String(error)}`);
    }
  },
  encode: (answer) =>
    Buffer.from(
      encode(answer, {
        typeEncoders: {
          Object: (value: unknown) => {
            if (value instanceof Blob) return [new Token(Type.bytes, value.bytes)];
            if (value instanceof Timestamp)
              return [new Token(Type.tag, EPOCH_TAG), new Token(Type.uint, Math.max(0, Math.round(value.ms)))];
            return null;
          },
        },
      }),
    ),
  blobOf(value, path) {
    if (!(value instanceof Uint8Array)) throw serialization(`The value at '${path}' is not a byte string.`);
    return Buffer.from(value.buffer, value.byteOffset, value.length);
  },
  msOf(value, path) {
    const ms = value instanceof Timestamp ? value.ms : value;
    if (typeof ms !== 'number' || !Number.isInteger(ms))
      throw serialization(`The value at '${path}' is not a time in whole milliseconds since the epoch.`);
    return inRange(ms, path);
  },
};

/** The form of a request with this Content-Type. Throws UnknownOperationException for a type that Kinesis does not take. */
export function wireOf(contentType: string | undefined): Wire {
  switch (contentType?.split(';')[0]?.trim().toLowerCase()) {
    case cbor.contentType:
      return cbor;
    case json.contentType:
    case 'application/json':
      return json;
    default:
      throw new KinesisError(
        'UnknownOperationException',
        `Content-Type must be ${json.contentType} or ${cbor.contentType}, not ${contentType ?? 'missing'}.`,
        404,
      );
  }
}
