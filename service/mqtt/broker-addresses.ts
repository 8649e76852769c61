/**
 * Which address of the broker a service tries next. If MQTT_URL is not set, that is the listener for services; a gateway that has none
 * (an earlier release, or its port belongs to another program) is reached at its ordinary listener. The first address is always tried
 * before the second one, so that a gateway that starts meanwhile is found where it should be.
 */
import { ordinaryBrokerUrl } from '../network/broker.ts';
import type { Config } from '../config/config.ts';

/** The first address has failed for so long before the second one is tried. */
const FALLBACK_AFTER_MS = 5000;

export class BrokerAddresses {
  readonly #first: string;
  readonly #second: string | undefined;
  readonly #now: () => number;
  #failingSinceMs: number | undefined;
  #isSecond = false;

  constructor(config: Config, now: () => number = () => performance.now()) {
    this.#first = config.MQTT_URL;
    this.#second = ordinaryBrokerUrl(config);
    this.#now = now;
  }

  get current(): string {
    return this.#isSecond ? (this.#second ?? this.#first) : this.#first;
  }

  /** The broker has accepted a connection to the current address. */
  accepted(): void {
    this.#failingSinceMs = undefined;
  }

  /**
   * A connection has ended. Returns true if the next one should be made without delay, because it goes to the other address.
   */
  ended(wasAccepted: boolean): boolean {
    if (this.#isSecond || wasAccepted || this.#second === undefined) {
      this.#isSecond = false;
      return false;
    }
    this.#failingSinceMs ??= this.#now();
    this.#isSecond = this.#now() - this.#failingSinceMs >= FALLBACK_AFTER_MS;
    return this.#isSecond;
  }
}
