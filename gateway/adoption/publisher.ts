/**
 * One other client, known by user and client id, over all its connections: what it published and what is not acknowledged yet.
 *
 * - A reading is *held* from its arrival until it is stored, missed or dropped.
 * - A message is *settled* when its reading is stored and the client may still send it again: the connection was gone when the PUBACK was
 *   due, or it is a QoS 2 publish, which ends with a PUBREL that the gateway does not see.
 *
 * `held` and `settled` have the newest message of each message id; an older one with the same id is counted, but never acknowledged.
 */
import type { PublisherConnection } from './publisher-connection.ts';

/** A publish of QoS 1 or 2, by which a redelivery is recognised. */
export interface Message {
  messageId: number;
  qos: 1 | 2;
  /** Hash of topic and payload. */
  digest: string;
  /** The payload carries a timestamp of its own. */
  timed: boolean;
}

export interface HeldMessage extends Message {
  publisher: Publisher;
  seq: number;
  bytes: number;
  heldSinceMs: number;
  /** Missed or dropped: it is no longer counted, and must not be acknowledged. */
  isLost: boolean;
}

const SETTLED_MAX = 500;

export class Publisher {
  /** Authenticated user. */
  readonly user: string;
  readonly clientId: string;
  connection: PublisherConnection | undefined;
  heldCount = 0;
  heldBytes = 0;
  /** When a held reading was last stored, on the monotonic clock. */
  progressAtMs = Number.NEGATIVE_INFINITY;
  readonly #held = new Map<number, HeldMessage>();
  readonly #settled = new Map<number, Message>();

  constructor(user: string, clientId: string) {
    this.user = user;
    this.clientId = clientId;
  }

  /** Nothing of this publisher needs to be remembered. */
  get isForgettable(): boolean {
    return this.connection === undefined && this.heldCount === 0 && this.#settled.size === 0;
  }

  /**
   * Whether this publish is one that was received before and is not acknowledged: same id, topic and payload, and either DUP is set or
   * the payload has its own timestamp. `settled`: its reading is stored, it can be acknowledged at once.
   */
  redeliveryOf(message: Message, dup: boolean): 'held' | 'settled' | undefined {
    const isSame = (known: Message | undefined): boolean =>
      known !== undefined && known.digest === message.digest && known.qos === message.qos && (dup || known.timed);
    if (isSame(this.#held.get(message.messageId))) return 'held';
    return isSame(this.#settled.get(message.messageId)) ? 'settled' : undefined;
  }

  hold(held: HeldMessage): void {
    this.heldCount += 1;
    this.heldBytes += held.bytes;
    this.#held.set(held.messageId, held);
    this.#settled.delete(held.messageId);
  }

  /** A message with this id needs no storing: nothing older with it may be acknowledged any more. */
  supersede(messageId: number): void {
    this.#held.delete(messageId);
    this.#settled.delete(messageId);
  }

  #release(held: HeldMessage): boolean {
    this.heldCount -= 1;
    this.heldBytes -= held.bytes;
    const isNewest = this.#held.get(held.messageId) === held;
    if (isNewest) this.#held.delete(held.messageId);
    return isNewest;
  }

  /** A held reading is stored: acknowledges it if it is the newest with its message id. */
  stored(held: HeldMessage, nowMs: number): void {
    this.progressAtMs = nowMs;
    if (this.#release(held)) this.acknowledge(held);
  }

  /** Acknowledges a message that needs no storing, or whose reading is stored. */
  acknowledge(message: Message): void {
    const isWritten = this.connection?.acknowledge(message.messageId, message.qos) === true;
    this.#settled.delete(message.messageId);
    if (isWritten && message.qos === 1) return;
    const { messageId, qos, digest, timed } = message;
    this.#settled.set(messageId, { messageId, qos, digest, timed });
    const [oldest] = this.#settled.keys();
    if (this.#settled.size > SETTLED_MAX && oldest !== undefined) this.#settled.delete(oldest);
  }

  /** A held reading was missed or dropped: a redelivery of it is a new reading. */
  lost(held: HeldMessage): void {
    held.isLost = true;
    this.#release(held);
  }

  /** The client cannot come back under this client id: nothing that is settled needs to be remembered. */
  forgetSettled(): void {
    this.#settled.clear();
  }
}
