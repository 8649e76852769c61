/** What the straps need of the rest of the bridge: a sink for readings and gaps, their history, the clock, and observers. */
import type { DeviceStatus, Gap } from '../../contract/device-status.ts';
import type { Reading } from '../../contract/reading.ts';
import type { Logger } from '../../service/log/log.ts';

/** A reading before the outbox has numbered it. */
export type StrapReading = Omit<Reading, 'gateway' | 'run' | 'seq'>;

/** Takes what straps deliver. */
export interface StrapSink {
  reading(reading: StrapReading): void;
  /** A time without readings has ended. */
  gap(device: string, gap: Gap): void;
}

/** What an earlier process left about a strap. */
export interface EarlierStrap {
  status?: DeviceStatus;
  /** RFC 3339. */
  lastReadingAt?: string;
}

export interface StrapHistory {
  /** Takes what is known about a device; a further call returns nothing. */
  take(device: string): EarlierStrap;
}

/** Whether the box's clock is right (`clock` of a reading). */
export interface StrapClock {
  state(): Reading['clock'];
}

/** A strap as observers see it. */
export interface ObservedStrap {
  readonly device: string;
  status(): DeviceStatus;
}

/** For observers. Nothing depends on an event being handled. */
export interface StrapEventMap {
  /** A strap is new in this process, or its name has become known. `renamedFrom`: the device name that it had before, if it has changed. */
  discovered: [strap: ObservedStrap, renamedFrom: string | undefined];
  /** Something in a strap's status changed that should be visible soon. */
  status: [strap: ObservedStrap];
  /** The device is no longer known here. */
  dropped: [device: string];
  /** The radio, its state or its health changed. */
  radio: [];
}

type Listener<E extends keyof StrapEventMap> = (...args: StrapEventMap[E]) => void;

export class StrapEvents {
  readonly #log: Logger;
  readonly #listeners: { [E in keyof StrapEventMap]: Listener<E>[] } = { discovered: [], status: [], dropped: [], radio: [] };

  constructor(log: Logger) {
    this.#log = log;
  }

  on<E extends keyof StrapEventMap>(event: E, listener: Listener<E>): void {
    this.#listeners[event].push(listener);
  }

  /** Calls all listeners. An exception of one is logged and stops neither the others nor the caller. */
  emit<E extends keyof StrapEventMap>(event: E, ...args: StrapEventMap[E]): void {
    for (const listener of this.#listeners[event])
      try {
        listener(...args);
      } catch (error) {
        this.#log.error(
          { event: 'observer_failed', observed: event, err: error },
          'an observer of the straps threw an exception; what is published may be out of date',
        );
      }
  }
}
