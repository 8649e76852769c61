/**
 * Memory persistence that keeps Aedes' deliveries in the order of arrival. Aedes waits for its persistence before it delivers a retained or
 * a QoS 1 message, so that a plain one that came later overtakes it; its dedupe then takes the overtaken one for a repetition and discards
 * it for good (issues 955 and 994 of Aedes; a status followed by metrics is enough). Here these steps end at once: nothing overtakes.
 */
import { createRequire } from 'node:module';

/** The steps of a publish that Aedes waits for, as it calls them. */
interface PublishSteps {
  storeRetained(packet: { topic: string }): PromiseLike<void>;
  subscriptionsByTopic(topic: string): PromiseLike<readonly never[]>;
  outgoingEnqueueCombi(subscriptions: readonly never[], packet: object): PromiseLike<void>;
}

/** By require: the package exports its function, its types do not. */
const memory = createRequire(import.meta.url)('aedes-persistence') as () => PublishSteps;

/** Calls what goes on before `then` returns, which a promise never does. */
function done<T>(value: T): PromiseLike<T> {
  return {
    then(goOn) {
      goOn?.(value);
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
