/**
 * Reads bodies of requests into memory, each bounded, and all that are unfinished together: beyond that the largest is dropped, so that
 * clients that never finish cannot keep others from sending.
 */
import type { IncomingMessage } from 'node:http';
import { KinesisError } from './kinesis-error.ts';

const BODY_MAX_BYTES = 16 * 1024 * 1024;
const UNFINISHED_MAX_BYTES = 64 * 1024 * 1024;

export class BodyBudget {
  /** Bytes read so far of each unfinished body. */
  readonly #unfinished = new Map<IncomingMessage, number>();
  #bytes = 0;
  readonly #onDropped: (request: IncomingMessage) => void;

  /** `onDropped` is called before the request of a dropped body is destroyed. */
  constructor(onDropped: (request: IncomingMessage) => void) {
    this.#onDropped = onDropped;
  }

  /** The whole body. Throws KinesisError SerializationException if it is too large, or what the socket fails with. */
  async read(request: IncomingMessage): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    this.#unfinished.set(request, 0);
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) {
        bytes += chunk.length;
        if (bytes > BODY_MAX_BYTES) throw new KinesisError('SerializationException', 'The request is too large.', 413);
        chunks.push(chunk);
        this.#unfinished.set(request, bytes);
        this.#bytes += chunk.length;
        if (this.#bytes > UNFINISHED_MAX_BYTES) this.#dropLargest();
      }
    } finally {
      this.#bytes -= this.#unfinished.get(request) ?? 0;
      this.#unfinished.delete(request);
    }
    return Buffer.concat(chunks);
  }

  #dropLargest(): void {
    let largest: IncomingMessage | undefined;
    let most = 0;
    for (const [request, bytes] of this.#unfinished)
      if (bytes > most) {
        largest = request;
        most = bytes;
      }
    if (largest === undefined) return;
    this.#bytes -= most;
    this.#unfinished.delete(largest);
    this.#onDropped(largest);
    largest.destroy();
  }
}
