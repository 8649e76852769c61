/**
 * Why a service has no useful connection to the broker: the broker's own answer where it gave one. One trouble at a time, the latest.
 *
 * MQTT 3.1.1 does not say why a connection ends. A broker that replaces client ids, or a second client with the same one, ends each
 * connection as soon as the other connects: that is recognised by accepted connections that end one after the other, while the broker
 * never stops answering.
 */
export type TroubleCode =
  'broker_unreachable' | 'broker_refused' | 'subscription_refused' | 'client_id_conflict' | 'broker_silent';

export interface Trouble {
  code: TroubleCode;
  detail: string;
}

/** An accepted connection that lasts for less counts as cut short. */
const SHORT_MS = 30_000;
/** So many in a row are no accident. */
const SHORT_ONES = 3;

export class LinkTrouble {
  readonly #now: () => number;
  #current: Trouble | undefined;
  #upAtMs: number | undefined;
  #shortOnes = 0;

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
    if (code === 'broker_unreachable') this.#shortOnes = 0;
    this.#current = { code, detail };
  }

  /** Accepted and subscribed. */
  up(): void {
    this.#upAtMs = this.#now();
    if (!this.isCutShort) this.#current = undefined;
  }

  /** Everything that was refused is granted now. */
  granted(): void {
    if (this.#current?.code === 'subscription_refused') this.#current = undefined;
  }

  /** The connection has lasted: what was before is over. To be called now and then while it is up. */
  lasting(): void {
    if (this.#upAtMs === undefined || this.#now() - this.#upAtMs < SHORT_MS) return;
    this.#shortOnes = 0;
    if (this.#current?.code === 'client_id_conflict') this.#current = undefined;
  }

  /** The connection has ended. `byBroker`: the broker ended it, without an error that explains it. */
  down(byBroker: boolean): void {
    const lastedMs = this.#upAtMs === undefined ? undefined : this.#now() - this.#upAtMs;
    this.#upAtMs = undefined;
    if (lastedMs === undefined) return;
    this.#shortOnes = byBroker && lastedMs < SHORT_MS ? this.#shortOnes + 1 : 0;
    if (this.isCutShort)
      this.failed('client_id_conflict', `the broker has ended ${this.#shortOnes} connections soon after it accepted them`);
  }
}
