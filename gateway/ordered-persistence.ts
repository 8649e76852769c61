/**
 * Memory persistence that keeps Aedes' deliveries in the order of arrival. Aedes awaits its persistence before it delivers a retained or a
 * QoS 1 message, so a later QoS 0 message overtakes it; Aedes' dedupe then mistakes the overtaken message for a duplicate and discards it
 * (issues 955 and 994 of Aedes; a status followed by metrics is enough). Here these steps complete synchronously: nothing overtakes.
 */
import { createRequire } from 'node:module';

/** The steps of a publish that Aedes awaits. */
interface PublishSteps {
  storeRetained(packet: { topic: string }): PromiseLike<void>;
  subscriptionsByTopic(topic: string): PromiseLike<readonly never[]>;
  outgoingEnqueueCombi(subscriptions: readonly never[], packet: object): PromiseLike<void>;
}

/** Loaded with require, because the package's types do not declare its function. */
const memory = createRequire(import.meta.url)('aedes-persistence') as () => PublishSteps;

/** Calls the continuation before `then` returns, which a promise never does. */
function done<T>(value: T): PromiseLike<T> {
  return {
    then(proceed) {
      proceed?.(value);
      return done(undefined as never);
    },
  };
}

/** For a broker of clean sessions only: no subscription outlives its connection, so there is no offline queue to fill. */
export function orderedPersistence(): PublishSteps {
  const persistence = memory();
  const store = persistence.storeRetained.bind(persistence);
  const steps: PublishSteps = {
    storeRetained(packet) {
      void store(packet);
      return done(undefined);
    },
    subscriptionsByTopic: () => done([]),
    outgoingEnqueueCombi: () => done(undefined),
  };
  return Object.assign(persistence, steps);
}
