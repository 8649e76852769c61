/** Publishes the offers and packets of runs, as far as the line takes them. */
import { deliveredReadingsTopic, encodePacket, offerTopic } from '../contract/delivery.ts';
import type { HeldRun } from './held-run.ts';

/** How the outbox reaches the broker. */
export interface DeliveryLine {
  /** Publishes with QoS 0. False, and nothing is sent, while the line is down. */
  publish(topic: string, payload: string): boolean;
  /** Bytes of ours that are not yet taken from us: unwritten on a socket, not called back inside the broker. */
  writableLength(): number;
  /** Whether the broker has refused a subscription; left out: never. */
  isRefused?: (filter: string) => boolean;
}

/** The line's own buffer is not filled beyond this. */
const LINE_BYTES_MAX = 1024 * 1024;
/** A busy line is checked again after this. */
const BUSY_LINE_MS = 2;

export class Sender {
  readonly #line: DeliveryLine;
  readonly #runs: () => readonly HeldRun[];
  readonly #now: () => number;
  #isUp = false;
  #isPumping = false;
  #isPumpDue = false;
  #soon: NodeJS.Immediate | undefined;
  #soonTimer: NodeJS.Timeout | undefined;

  constructor(line: DeliveryLine, runs: () => readonly HeldRun[], now: () => number) {
    this.#line = line;
    this.#runs = runs;
    this.#now = now;
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  up(): void {
    this.#isUp = true;
  }

  down(): void {
    this.#isUp = false;
    clearTimeout(this.#soonTimer);
    clearImmediate(this.#soon);
    this.#soonTimer = undefined;
    this.#soon = undefined;
  }

  /** Publishes what is due now. */
  pump(): void {
    if (!this.#isUp || this.#isPumping) return;
    this.#isPumping = true;
    try {
      const now = this.#now();
      for (const run of this.#runs()) {
        const offer = run.protocol.dueOffer(now);
        if (offer !== undefined) this.#line.publish(offerTopic(run.gateway, offer.run), JSON.stringify(offer));
        this.#send(run, now);
      }
    } finally {
      this.#isPumping = false;
    }
  }

  /** Readings that come together leave together: with a packet for each, broker and forwarder spend more on packets than on readings. */
  pumpAtEndOfTurn(): void {
    if (this.#isPumpDue) return;
    this.#isPumpDue = true;
    queueMicrotask(() => {
      this.#isPumpDue = false;
      this.pump();
    });
  }

  /** A reading leaves at once if nothing of ours is unwritten; those that come meanwhile form the next packet. A full one need not wait. */
  #send({ protocol, gateway }: HeldRun, now: number): void {
    for (;;) {
      const unwritten = this.#line.writableLength();
      if (unwritten >= LINE_BYTES_MAX) return this.#pumpSoon();
      const packet = protocol.nextPacket(now, unwritten > 0);
      if (packet === undefined) {
        if (unwritten > 0 && protocol.hasMoreToSend) this.#pumpSoon();
        return;
      }
      this.#line.publish(deliveredReadingsTopic(gateway, protocol.run), encodePacket(packet));
    }
  }

  /** A line is mostly free again at the end of this turn of the event loop. */
  #pumpSoon(): void {
    if (this.#soon !== undefined || this.#soonTimer !== undefined) return;
    this.#soon = setImmediate(() => {
      this.#soon = undefined;
      if (this.#line.writableLength() === 0) return this.pump();
      this.#soonTimer = setTimeout(() => {
        this.#soonTimer = undefined;
        this.pump();
      }, BUSY_LINE_MS);
    });
  }
}
