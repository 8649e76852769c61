/**
 * Memory persistence that keeps Aedes' deliveries in the order of arrival. Aedes awaits its persistence before it delivers a retained or a
 * QoS 1 message, so a later QoS 0 message overtakes it; Aedes' dedupe then mistakes the overtaken message for a duplicate and discards it
 * (issues 955 and 994 of Aedes; a status followed by metrics is enough). Here these steps complete synchronously: nothing overtakes.
 * Retained messages are in a store of our own, and are sent to new subscriptions by gateway/retained-replay.ts, not by Aedes.
 */
import { createRequire } from 'node:module';
import type { RetainedStore } from './retained-store.ts';

/** The steps of a publish and of a subscription that Aedes takes with its persistence. */
interface PersistenceSteps {
  storeRetained(packet: { topic: string; payload: Buffer; qos: 0 | 1 | 2 }): PromiseLike<void>;
  subscriptionsByTopic(topic: string): PromiseLike<readonly never[]>;
  outgoingEnqueueCombi(subscriptions: readonly never[], packet: object): PromiseLike<void>;
  createRetainedStreamCombi(filters: readonly string[]): { pipe(): void };
}

/** Loaded with require, because the package's types do not declare its function. */
const memory = createRequire(import.meta.url)('aedes-persistence') as () => object;

/** Calls the continuation before `then` returns, which a promise never does. */
function done<T>(value: T): PromiseLike<T> {
  return {
    then(proceed) {
      proceed?.(value);
      return done(undefined as never);
    },
  };
}

/** Aedes pipes it to the client that has subscribed. */
const NO_STREAM = { pipe: () => undefined };

/** For a broker of clean sessions only: no subscription outlives its connection, so there is no offline queue to fill. */
export function orderedPersistence(retained: RetainedStore): PersistenceSteps {
  const steps: PersistenceSteps = {
    storeRetained({ topic, payload, qos }) {
      if (payload.length === 0) retained.delete(topic);
      // A copy: the payload is a part of what was read from the socket at once, which would be kept as a whole.
      else retained.set({ topic, payload: Buffer.from(payload), qos });
      return done(undefined);
    },
    subscriptionsByTopic: () => done([]),
    outgoingEnqueueCombi: () => done(undefined),
    createRetainedStreamCombi: () => NO_STREAM,
  };
  return Object.assign(memory(), steps);
}
