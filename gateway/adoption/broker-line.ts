/**
 * The outbox's line inside the broker. A forwarder whose socket fills up is disconnected as a slow subscriber, so the line says how many
 * bytes Aedes has not delivered yet, and the outbox sends no more than a bounded number of them.
 */
import type { DeliveryLine } from '../../outbox/sender.ts';
import type { Broker } from '../broker.ts';

export class BrokerLine implements DeliveryLine {
  readonly #broker: Pick<Broker, 'publish'>;
  #undelivered = 0;

  constructor(broker: Pick<Broker, 'publish'>) {
    this.#broker = broker;
  }

  /** Bytes that were published and not delivered yet. */
  writableLength(): number {
    return this.#undelivered;
  }

  /** Publishes inside the broker; false if it is not running. */
  publish(topic: string, payload: string): boolean {
    const bytes = Buffer.from(payload);
    this.#undelivered += bytes.length;
    const delivered = (): void => {
      this.#undelivered -= bytes.length;
    };
    const isPublished = this.#broker.publish(topic, bytes, { delivered });
    if (!isPublished) delivered();
    return isPublished;
  }
}
