/**
 * Connects one strap, subscribes to its heart rate and keeps the link; link-state.ts names the states. Every request has a timeout.
 * What arrives for an earlier attempt is ignored, and only the attempt that owns a link ends it: an attempt is identified by its
 * AbortController, which is aborted when the link ends.
 *
 * A lost strap is connected again once an advertisement arrived after the loss and its backoff is over. A silent strap is subscribed
 * again first, then connected again. Faults of the radio as a whole are handled by the recovery ladder.
 */
import type { DeviceState } from '../../contract/device-status.ts';
import { messageOf } from '../../service/errors/errors.ts';
import type { Logger } from '../../service/log/log.ts';
import { Backoff } from '../../service/pacing/backoff.ts';
import { parseHeartRateMeasurement, type HeartRateMeasurement, type MalformedReason } from '../gatt/hrm-parser.ts';
import { ConnectTimeout, NoSlot, type ConnectQueue } from '../radio/connect-queue.ts';
import { CHARACTERISTICS, type Radio, type RadioCharacteristic, type RadioConnection } from '../radio/radio.ts';
import type { ConnectSlots } from './connection-slots.ts';
import { LinkState } from './link-state.ts';
import { runStep, StepTimeout } from './link-step.ts';
import { readStrapInformation, type StrapInformation } from './strap-information.ts';

/** Timeouts and intervals of a link. */
export interface LinkLimits {
  discoverMs: number;
  subscribeMs: number;
  /** Reads and writes of a single value. */
  requestMs: number;
  disconnectMs: number;
  /** Without a valid notification for this long a strap is silent. */
  silenceMs: number;
  backoffMinMs: number;
  backoffMaxMs: number;
  /** Interval for reading the battery level, if it does not notify, and the signal strength. */
  batteryMs: number;
  rssiMs: number;
}

export const DEFAULT_LIMITS: LinkLimits = {
  discoverMs: 10_000,
  subscribeMs: 5000,
  requestMs: 5000,
  disconnectMs: 2000,
  silenceMs: 10_000,
  backoffMinMs: 500,
  backoffMaxMs: 60_000,
  batteryMs: 600_000,
  rssiMs: 30_000,
};

/** What a link reports to its strap. */
export interface LinkObserver {
  stateChanged(state: DeviceState, before: DeviceState): void;
  connected(): void;
  /** A valid measurement; heart rate 0 included. */
  measurement(measurement: HeartRateMeasurement): void;
  malformed(reason: MalformedReason, bytes: Buffer): void;
  information(information: Partial<StrapInformation>): void;
  /** The link ended or an attempt failed; `reason` as in the status' `disconnects`. */
  ended(reason: string, error: unknown): void;
  /** The controller did not confirm the end of a link: its state and ours may differ. */
  disconnectUnconfirmed(): void;
}

export interface SensorLinkOptions {
  address: string;
  radio: Pick<Radio, 'connect'>;
  queue: ConnectQueue;
  log: Logger;
  limits: LinkLimits;
  slots: ConnectSlots;
  observer: LinkObserver;
}

/** The state that a valid measurement stands for. */
function stateOf(measurement: HeartRateMeasurement): 'streaming' | 'no_pulse' | 'no_contact' {
  if (measurement.bpm === 0) return 'no_pulse';
  return measurement.contact === false ? 'no_contact' : 'streaming';
}

export class SensorLink {
  readonly #o: SensorLinkOptions;
  readonly #backoff: Backoff;
  readonly #state: LinkState;
  /** From queueing for a connect to the end of the link. */
  #attempt: AbortController | undefined;
  #connection: RadioConnection | undefined;
  /** Set once it is subscribed. */
  #measurement: RadioCharacteristic | undefined;
  #characteristics: RadioCharacteristic[] = [];
  /** An advertisement has arrived since the last attempt. */
  #advertised = false;
  /** performance.now(), as the other times here. */
  #notBefore = 0;
  #lastValidAt = 0;
  #resubscribed = false;
  #readAgainAt = 0;
  #reading = false;
  /** A disconnect in progress. */
  #ending: Promise<void> | undefined;
  #stopped = false;

  constructor(options: SensorLinkOptions) {
    this.#o = options;
    this.#backoff = new Backoff({ minMs: options.limits.backoffMinMs, maxMs: options.limits.backoffMaxMs });
    this.#state = new LinkState(options.address, (state, before) => options.observer.stateChanged(state, before));
  }

  get address(): string {
    return this.#o.address;
  }

  get state(): DeviceState {
    return this.#state.current;
  }

  /** True from the connection to its end. */
  get connected(): boolean {
    return this.#connection !== undefined;
  }

  /** True while it uses a slot or waits for one: from queueing for a connect to the end of the link. */
  get occupied(): boolean {
    return this.#attempt !== undefined;
  }

  /** True while the strap delivers notifications. */
  get receiving(): boolean {
    return this.#state.receiving;
  }

  /** The strap advertises, so it can be connected. */
  advertised(): void {
    this.#advertised = true;
    this.#connectWhenDue();
  }

  /** To be called about once a second: checks the limits that have no timer of their own. */
  tick(): void {
    this.#connectWhenDue();
    const attempt = this.#attempt;
    if (attempt === undefined || this.#connection === undefined || this.#measurement === undefined) return;
    const now = performance.now();
    const quietMs = now - this.#lastValidAt;
    if (quietMs > 2 * this.#o.limits.silenceMs)
      this.#fail(attempt, 'silent', new StepTimeout(`no notification for ${Math.round(quietMs)} ms`));
    else if (quietMs > this.#o.limits.silenceMs && !this.#resubscribed) this.#resubscribe(attempt, this.#measurement);
    else if (now > this.#readAgainAt && this.receiving && !this.#reading)
      void this.#readInformation(attempt, this.#connection, false);
  }

  #connectWhenDue(): void {
    if (this.#stopped || !this.#state.idle || !this.#advertised) return;
    if (this.#attempt !== undefined || this.#ending !== undefined) return;
    if (performance.now() < this.#notBefore || !this.#o.slots.mayQueue()) return;
    this.#advertised = false;
    void this.#connect();
  }

  #enter(state: DeviceState): void {
    this.#state.enter(state, { attempt: this.#attempt !== undefined, connection: this.#connection !== undefined });
  }

  async #connect(): Promise<void> {
    const { radio, queue, address, limits, slots, observer } = this.#o;
    const attempt = new AbortController();
    const { signal } = attempt;
    this.#attempt = attempt;
    try {
      const connection = await queue.run(
        (queueSignal) =>
          radio.connect(address, {
            signal: queueSignal,
            onDisconnect: (reason) => this.#ended(attempt, reason, undefined),
          }),
        signal,
        () => this.#enter('connecting'),
        () => slots.hasFree(),
      );
      if (attempt !== this.#attempt) return connection.abandon();
      this.#connection = connection;
      this.#enter('connected');
      observer.connected();
      const discovery = { what: 'discovery', limitMs: limits.discoverMs, signal };
      this.#characteristics = await runStep(discovery, () => connection.discover());
      const measurement = this.#characteristics.find(
        ({ uuid, notifies }) => uuid === CHARACTERISTICS.heartRateMeasurement && notifies,
      );
      if (measurement === undefined) return this.#noHeartRate(attempt);
      this.#enter('subscribing');
      await this.#subscribe(attempt, measurement, 'subscribe');
      this.#measurement = measurement;
      this.#lastValidAt = Math.max(this.#lastValidAt, performance.now());
      this.#resubscribed = false;
      await this.#readInformation(attempt, connection, true);
    } catch (error) {
      if (error instanceof NoSlot) return this.#yieldTurn(attempt);
      const timedOut = error instanceof StepTimeout || error instanceof ConnectTimeout;
      this.#fail(attempt, timedOut ? 'timeout' : 'failed', error);
    }
  }

  /** No slot was free at its turn: nothing was attempted, so nothing ended. It queues again at an advertisement, once a slot is free. */
  #yieldTurn(attempt: AbortController): void {
    if (attempt === this.#attempt) this.#attempt = undefined;
  }

  async #subscribe({ signal }: AbortController, measurement: RadioCharacteristic, what: string): Promise<void> {
    await runStep({ what, limitMs: this.#o.limits.subscribeMs, signal }, () =>
      measurement.subscribe((bytes) => this.#notified(signal, bytes)),
    );
  }

  #notified(signal: AbortSignal, bytes: Buffer): void {
    // Nothing may throw in here: noble calls it from an event handler, where an exception would end the process.
    try {
      if (signal.aborted || this.#stopped) return;
      const parsed = parseHeartRateMeasurement(bytes);
      if (!parsed.ok) return this.#o.observer.malformed(parsed.reason, bytes);
      this.#lastValidAt = performance.now();
      this.#resubscribed = false;
      this.#backoff.reset();
      if (this.state === 'connected' || this.state === 'connecting') return;
      this.#enter(stateOf(parsed.measurement));
      this.#o.observer.measurement(parsed.measurement);
    } catch (error) {
      this.#o.log.error(
        { event: 'notification_failed', address: this.#o.address, err: error },
        'handling a notification failed; its reading may be lost',
      );
    }
  }

  #noHeartRate(attempt: AbortController): void {
    this.#enter('no_heart_rate_service');
    this.#fail(attempt, 'no_heart_rate_service', undefined, this.#o.limits.backoffMaxMs);
  }

  /** Writes the subscription of a silent strap again; the strap may have lost it. */
  #resubscribe(attempt: AbortController, measurement: RadioCharacteristic): void {
    this.#resubscribed = true;
    this.#enter('silent');
    this.#subscribe(attempt, measurement, 'subscribe again').catch((error: unknown) => this.#fail(attempt, 'silent', error));
  }

  async #readInformation(attempt: AbortController, connection: RadioConnection, first: boolean): Promise<void> {
    const { limits, observer, log, address } = this.#o;
    this.#reading = true;
    this.#readAgainAt = performance.now() + limits.rssiMs;
    try {
      await readStrapInformation({
        connection,
        characteristics: this.#characteristics,
        step: (what, run) => runStep({ what, limitMs: limits.requestMs, signal: attempt.signal }, run),
        first,
        batteryEveryMs: limits.batteryMs,
        onInformation: (information) => observer.information(information),
      });
    } catch (error) {
      // Battery and device information are optional; a strap that stopped answering will be detected by its silence.
      log.debug({ event: 'strap_information_failed', address, reason: messageOf(error) }, 'a strap did not answer a read');
    } finally {
      if (attempt === this.#attempt) this.#reading = false;
    }
  }

  /** Ends an attempt from our side, and its link, within the disconnect limit. */
  #fail(attempt: AbortController, reason: string, error: unknown, backoffMs?: number): void {
    if (attempt !== this.#attempt) return;
    const connection = this.#connection;
    this.#ended(attempt, reason, error, backoffMs);
    if (connection !== undefined) this.#disconnect(connection);
  }

  #disconnect(connection: RadioConnection): void {
    const ending = new Promise<void>((resolve) => {
      const timer = setTimeout(() => {
        connection.abandon();
        this.#o.observer.disconnectUnconfirmed();
        resolve();
      }, this.#o.limits.disconnectMs);
      const confirmed = (): void => {
        clearTimeout(timer);
        resolve();
      };
      // An error counts as an end, too: there was no link any more.
      void connection.disconnect().then(confirmed, confirmed);
    }).finally(() => {
      if (this.#ending === ending) this.#ending = undefined;
      this.#connectWhenDue();
    });
    this.#ending = ending;
  }

  /** The attempt is over, for whatever reason. */
  #ended(attempt: AbortController, reason: string, error: unknown, backoffMs?: number): void {
    if (attempt !== this.#attempt) return;
    this.#attempt = undefined;
    this.#connection = undefined;
    this.#measurement = undefined;
    this.#characteristics = [];
    this.#reading = false;
    // Advertisements from before the end do not count: a connect to a strap that has left would block all others.
    this.#advertised = false;
    this.#notBefore = performance.now() + (backoffMs ?? this.#backoff.nextDelayMs());
    attempt.abort();
    // The missing heart rate service stays visible until the next attempt.
    if (this.state !== 'no_heart_rate_service') this.#enter('lost');
    this.#o.observer.ended(reason, error);
  }

  /** The radio was rebuilt or lost its power: the link is gone, and the controller did not report it. */
  radioLost(): void {
    if (this.#attempt === undefined) return;
    this.#connection?.abandon();
    this.#ended(this.#attempt, 'adapter', undefined);
    this.#notBefore = 0;
  }

  /** Connects again at the next advertisement, without waiting for the backoff. */
  retryNow(): void {
    this.#notBefore = 0;
    this.#backoff.reset();
    this.#connectWhenDue();
  }

  /**
   * Writes to the heart rate control point (0x2A39). `not_supported`: the strap has none. Rejects with StepTimeout, or RadioError
   * `link_ended`.
   */
  async writeControlPoint(value: Buffer): Promise<'done' | 'not_connected' | 'not_supported'> {
    if (this.#attempt === undefined || this.#measurement === undefined) return 'not_connected';
    const control = this.#characteristics.find(({ uuid }) => uuid === CHARACTERISTICS.heartRateControlPoint);
    if (control === undefined) return 'not_supported';
    const step = { what: 'reset energy', limitMs: this.#o.limits.requestMs, signal: this.#attempt.signal };
    await runStep(step, () => control.write(value));
    return 'done';
  }

  /** Disconnects for good. An unclean end can leave a Polar H10 unreachable for a minute (bleakheart#5), so this waits for it. */
  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#attempt !== undefined) this.#fail(this.#attempt, 'ended_by_us', undefined);
    await this.#ending;
  }
}
