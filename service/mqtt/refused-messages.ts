/**
 * What becomes of messages that do not match the contract: they are counted by kind of message, logged once a minute and kind, and
 * have no other effect. Every service has one, shared by all its readers.
 */
import type { ValuedMetric } from '../../contract/metrics.ts';
import type { ServiceName } from '../../contract/topics.ts';
import type { Parser } from '../../contract/validate.ts';
import { RepeatLimiter, type Logger } from '../log/log.ts';
import { Counter } from '../metrics/metrics.ts';
import type { MessageHandler } from './subscription-routes.ts';

/** Kinds of messages, as label values. */
export type MessageKind =
  | 'reading'
  | 'device_status'
  | 'gap'
  | 'service_status'
  | 'metrics'
  | 'person'
  | 'request'
  | 'response'
  | 'source'
  | 'stored'
  | 'offer'
  | 'readings'
  | 'sync';

/** Where a reader reports messages that do not match the contract. */
export interface MessageRefusals {
  refuse(message: MessageKind, topic: string, reason: string): void;
}

export class RefusedMessages implements MessageRefusals {
  readonly #service: ServiceName;
  readonly #repeats: RepeatLimiter;
  readonly #counter = new Counter('hr_gateway_contract_refused_total', 'Messages that do not match the contract, by kind');
  #total = 0;

  constructor(service: ServiceName, log: Logger) {
    this.#service = service;
    this.#repeats = new RepeatLimiter(log);
  }

  /** Messages refused since the start. */
  get total(): number {
    return this.#total;
  }

  /** Counts a refused message. `reason` names the field. */
  refuse(message: MessageKind, topic: string, reason: string): void {
    this.#total += 1;
    this.#counter.add(1, { service: this.#service, message });
    this.#repeats.warn(
      message,
      { event: 'message_refused', message, topic: topic.slice(0, 200), reason },
      'ignoring a message that does not match the contract',
    );
  }

  /** Makes a subscription's handler that gets only messages that match. Empty payloads (removed retained ones) are ignored. */
  reader<T>(
    message: MessageKind,
    parse: Parser<T>,
    handle: (topic: string, value: T, retained: boolean) => void,
  ): MessageHandler {
    return (topic, payload, retained) => {
      if (payload.length === 0) return;
      const parsed = parse(payload);
      if (parsed.ok) handle(topic, parsed.value, retained);
      else this.refuse(message, topic, parsed.reason);
    };
  }

  read(): ValuedMetric {
    return this.#counter.read();
  }
}
