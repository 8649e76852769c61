/**
 * Pairs a link (Just Works) with noble's Security Manager, which knows neither a time limit nor the request of a peripheral: a Fitbit or
 * Pixel Watch ends the link 30 s after a Security Request that nobody answered (support.google.com 16923066).
 */
import type { NobleAclStream } from './noble-types.ts';

/** L2CAP channel of the Security Manager on LE links, and its Security Request (Core, volume 3 part H, 3.6.7). */
const SMP_CHANNEL = 0x0006;
const SECURITY_REQUEST = 0x0b;
/** Pairing takes some ten exchanges, each within two or three connection intervals. */
const LIMIT_MS = 4000;

export class Pairing {
  readonly #stream: NobleAclStream;
  #result: Promise<boolean> | undefined;
  #finish: ((encrypted: boolean) => void) | undefined;

  constructor(stream: NobleAclStream) {
    this.#stream = stream;
  }

  /** A PDU of another channel than ATT's. */
  received(channel: number, data: Buffer): void {
    if (channel === SMP_CHANNEL && data[0] === SECURITY_REQUEST) void this.pair();
  }

  /** Pairs and encrypts the link, once; false if the peripheral refused or did not finish in time. Never rejects. */
  async pair(): Promise<boolean> {
    this.#result ??= new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => this.#finish?.(false), LIMIT_MS);
      this.#finish = (encrypted) => {
        clearTimeout(timer);
        this.#finish = undefined;
        resolve(encrypted);
      };
      this.#stream.once('encrypt', (encrypted: unknown) => this.#finish?.(encrypted !== 0 && encrypted !== false));
      this.#stream.once('encryptFail', () => this.#finish?.(false));
      this.#stream.encrypt();
    });
    return await this.#result;
  }

  /** The link has ended. */
  end(): void {
    this.#finish?.(false);
  }
}
