/**
 * Why a service has no useful connection to the broker: the broker's own answer where it gave one. One trouble at a time, the latest.
 *
 * MQTT 3.1.1 does not say why a connection ends. A broker that replaces client ids, or a second client with the same one, ends each
 * connection as soon as the other connects: that is recognised by accepted connections that end one after the other, while the broker
 * never stops answering. If each of them had published a large message, that is the cause: some brokers end the connection then. If none of
 * them lived to see its subscriptions answered, the broker refuses them by closing the connection, as AWS IoT Core does.
 */
export type TroubleCode =
  'broker_unreachable' | 'broker_refused' | 'broker_silent' | 'broker_size_limit' | 'client_id_conflict' | 'subscription_refused';

export interface Trouble {
  code: TroubleCode;
  detail: string;
}

/** An accepted connection that lasts for less counts as cut short. */
const SHORT_MS = 30_000;
/** So many in a row are no accident. */
const SHORT_ONES = 3;
/** Brokers take at least messages of this size. */
const LARGE_BYTES = 2500;

export class LinkTrouble {
  readonly #now: () => number;
  #current: Trouble | undefined;
  #acceptedAtMs: number | undefined;
  /** The broker has answered the subscriptions of the current connection. */
  #isUp = false;
  #shortOnes = 0;
  /** Of the connections that were cut short, those whose subscriptions were answered. */
  #subscribedOnes = 0;
  /** Of the connections that were cut short, those that had published a large message. */
  #largeOnes = 0;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** The latest trouble; undefined while the connection works. */
  get current(): Trouble | undefined {
    return this.#current;
  }

  /** Connections are cut short again and again: connect again more slowly. */
  get isCutShort(): boolean {
    return this.#shortOnes >= SHORT_ONES;
  }

  /** A connection failed, or the broker refused something. */
  failed(code: TroubleCode, detail: string): void {
    // A broker that is away explains why connections ended.
    if (code === 'broker_unreachable') this.#forgive();
    this.#current = { code, detail };
  }

  /** The broker has accepted the connection. */
  accepted(): void {
    this.#acceptedAtMs = this.#now();
    this.#isUp = false;
  }

  /** The broker has answered the subscriptions. */
  up(): void {
    this.#isUp = true;
    if (!this.isCutShort) this.#current = undefined;
  }

  /** Everything that was refused is granted now. */
  granted(): void {
    if (this.#current?.code === 'subscription_refused') this.#current = undefined;
  }

  /** The connection has lasted: what was before is over. To be called now and then while it is up. */
  lasting(): void {
    if (this.#acceptedAtMs === undefined || this.#now() - this.#acceptedAtMs < SHORT_MS) return;
    this.#forgive();
    if (this.#current?.code === 'client_id_conflict' || this.#current?.code === 'broker_size_limit') this.#current = undefined;
  }

  #forgive(): void {
    this.#shortOnes = 0;
    this.#subscribedOnes = 0;
    this.#largeOnes = 0;
  }

  /**
   * The connection has ended. `byBroker`: the broker ended it, without an error that explains it. `largestBytes`: of what was published
   * on it.
   */
  down(byBroker: boolean, largestBytes: number): void {
    const lastedMs = this.#acceptedAtMs === undefined ? undefined : this.#now() - this.#acceptedAtMs;
    this.#acceptedAtMs = undefined;
    if (lastedMs === undefined) return;
    if (!byBroker || lastedMs >= SHORT_MS) return this.#forgive();
    this.#shortOnes += 1;
    if (this.#isUp) this.#subscribedOnes += 1;
    this.#largeOnes = largestBytes > LARGE_BYTES ? this.#largeOnes + 1 : 0;
    if (!this.isCutShort) return;
    if (this.#largeOnes >= SHORT_ONES)
      this.failed('broker_size_limit', `the broker ends each connection after messages of up to ${largestBytes} bytes`);
    else if (this.#subscribedOnes === 0)
      this.failed('subscription_refused', 'the broker ends each connection instead of answering its subscriptions');
    else this.failed('client_id_conflict', `the broker has ended ${this.#shortOnes} connections soon after it accepted them`);
  }
}
