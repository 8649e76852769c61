/**
 * Connects one strap, subscribes to its heart rate and keeps the link; link-state.ts names the states. Every request has a timeout.
 * What arrives for an earlier attempt is ignored, and only the attempt that owns a link ends it: its AbortController identifies it.
 *
 * A lost strap is connected again once an advertisement arrived after the loss and its backoff is over, if it is still received then. A
 * silent strap is subscribed again first, then connected again. Faults of the radio as a whole are handled by the recovery ladder.
 */
import type { DeviceState, StrapReason } from '../../contract/device-status.ts';
import type { Logger } from '../../service/log/log.ts';
import { parseHeartRateMeasurement } from '../gatt/hrm-parser.ts';
import { ConnectTimeout, GaveWay, NoSlot, type ConnectQueue } from '../radio/connect-queue.ts';
import type { OurEnd } from '../radio/disconnect-reasons.ts';
import type { RadioError } from '../radio/radio-error.ts';
import { CHARACTERISTICS, type Radio, type RadioCharacteristic, type RadioConnection } from '../radio/radio.ts';
import type { ConnectSlots } from './connection-slots.ts';
import { disconnectWithin, endReasonOf, isRefusal, reasonOfEnd, refusalOf, UNREADABLE } from './link-end.ts';
import type { LinkLimits } from './link-limits.ts';
import { servicesText, type LinkObserver } from './link-observer.ts';
import { LinkRetry } from './link-retry.ts';
import { LinkState, OUTLASTING, stateOf, type Shown } from './link-state.ts';
import { runStep, StepTimeout, type LinkStep } from './link-step.ts';
import { NameReader } from './name-reader.ts';
import { PacketBudget } from './packet-budget.ts';
import { InformationReader } from './strap-information.ts';

export interface SensorLinkOptions {
  address: string;
  radio: Pick<Radio, 'connect'>;
  queue: ConnectQueue;
  log: Logger;
  limits: LinkLimits;
  slots: ConnectSlots;
  /** Whether an alias or BLE_ALLOW names the strap. */
  isListed?: () => boolean;
  /** Whether what the strap advertises holds no name, or only the beginning of one. */
  lacksName?: () => boolean;
  observer: LinkObserver;
}

/** A strap without a link that has not advertised for this long is lost, whatever its last attempt showed. */
const UNSEEN_MS = 60_000;

/**
 * A strap that has not been received for this long is not tried: it may have left, and its connect would keep all others waiting. While a
 * strap is missing, scans report it again every 5 s.
 */
const RECEIVED_WITHIN_MS = 6000;

/** Some straps refuse the subscription and send anyway; this long they are given the chance. */
const SENDS_ANYWAY_MS = 1500;

export class SensorLink {
  readonly #o: SensorLinkOptions;
  readonly #retry: LinkRetry;
  readonly #state: LinkState;
  readonly #information: InformationReader;
  readonly #name: NameReader;
  /** From queueing for a connect to the end of the link. */
  #attempt: AbortController | undefined;
  #connection: RadioConnection | undefined;
  /** Set once it is subscribed. */
  #measurement: RadioCharacteristic | undefined;
  #characteristics: RadioCharacteristic[] = [];
  /** An advertisement has arrived since the last attempt. */
  #advertised = false;
  /** What its last advertisement said. */
  #connectable = true;
  #advertisedAt = -Infinity;
  /** performance.now(), as the other times here. */
  #notBefore = 0;
  #lastValidAt = 0;
  /** Last notification, valid or not. */
  #lastValueAt = -Infinity;
  /** Called at the next valid notification. */
  #onValid: () => void = () => {};
  #resubscribed = false;
  readonly #packets = new PacketBudget();
  /** A disconnect in progress. */
  #ending: Promise<void> | undefined;
  #stopped = false;

  constructor(options: SensorLinkOptions) {
    this.#o = options;
    this.#retry = new LinkRetry(options.limits, options.isListed);
    const { observer, address, log, limits } = options;
    this.#name = new NameReader(options);
    this.#information = new InformationReader({
      address,
      log,
      limits,
      onInformation: (information) => observer.information(information),
    });
    this.#state = new LinkState(
      address,
      (state, before) => observer.stateChanged(state, before),
      () => observer.shownChanged?.(),
    );
  }

  get state(): DeviceState {
    return this.#state.current;
  }

  /** The state that people see, and why if the state alone does not tell: while a strap is tried again, what it did before. */
  get shown(): Shown {
    return this.#state.shown;
  }

  get reason(): StrapReason | null {
    return this.shown.reason;
  }

  /** The strap has delivered heart rates, in this process or an earlier one. */
  get proven(): boolean {
    return this.#retry.proven;
  }

  /** The strap delivered readings to an earlier process. */
  deliveredBefore(): void {
    this.#retry.deliveredBefore();
  }

  /** True from the connection to its end. */
  get connected(): boolean {
    return this.#connection !== undefined;
  }

  /** True from queueing for a connect to the end of the link: it uses a slot, or waits for one. */
  get occupied(): boolean {
    return this.#attempt !== undefined;
  }

  /** True while the strap delivers notifications. */
  get receiving(): boolean {
    return this.#state.receiving;
  }

  /** An advertisement, and whether its type accepts connections. A strap that accepts none waits until that changes. */
  advertised(connectable = true): void {
    this.#advertised = connectable;
    this.#connectable = connectable;
    this.#advertisedAt = performance.now();
    if (!connectable) return this.#taken();
    // Its earlier failures were those of a strap that another device held.
    if (this.state === 'taken') this.#notBefore = 0;
    this.#connectWhenDue();
  }

  #taken(): void {
    if (this.#connection !== undefined || this.#stopped) return;
    // A connect in progress cannot succeed, and would keep others waiting.
    if (this.state === 'connecting' && this.#attempt !== undefined) this.#fail(this.#attempt, 'taken', undefined, 0);
    if (!this.#state.idle || this.#attempt !== undefined || this.#ending !== undefined || this.state === 'taken') return;
    this.#enter('taken', { reason: { code: 'not_connectable', detail: 'it advertises that it accepts no connection' } });
  }

  /** To be called about once a second: checks the limits that have no timer of their own. */
  tick(): void {
    this.#connectWhenDue();
    if (this.#state.idle && this.#attempt === undefined && performance.now() - this.#advertisedAt > UNSEEN_MS)
      this.#enter('lost');
    const attempt = this.#attempt;
    if (attempt === undefined || this.#connection === undefined) return;
    const now = performance.now();
    const excess = this.#packets.exceeded(this.#connection.unasked, now);
    if (excess !== undefined) return this.#fail(attempt, 'too_many_packets', new Error(excess), this.#retry.afterExcessMs());
    if (this.#measurement === undefined) return;
    const quietMs = now - this.#lastValidAt;
    const { silenceMs } = this.#o.limits;
    // It sends, but no heart rates. Another link would bring the same.
    if (quietMs > silenceMs && now - this.#lastValueAt < silenceMs) this.#enter('unreadable', { reason: UNREADABLE });
    else if (quietMs > 2 * silenceMs && now - this.#lastValueAt > 2 * silenceMs)
      this.#fail(attempt, 'silent', new StepTimeout(`no notification for ${Math.round(quietMs)} ms`));
    else if (quietMs > silenceMs && !this.#resubscribed) this.#resubscribe(attempt, this.#connection, this.#measurement);
    else if (this.receiving && this.#information.isDue) void this.#readInformation(attempt, this.#connection, false);
  }

  get #isReceived(): boolean {
    return performance.now() - this.#advertisedAt < RECEIVED_WITHIN_MS;
  }

  #connectWhenDue(): void {
    if (this.#stopped || !this.#state.idle || !this.#advertised || !this.#isReceived) return;
    if (this.#attempt !== undefined || this.#ending !== undefined) return;
    if (performance.now() < this.#notBefore || !this.#o.slots.mayQueue(this.#retry.isOwn)) return;
    this.#advertised = false;
    void this.#connect();
  }

  #enter(state: DeviceState, options: { reason?: StrapReason; nothingLearned?: boolean } = {}): void {
    this.#state.enter(state, { attempt: this.#attempt !== undefined, connection: this.#connection !== undefined }, options);
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
        () => this.#connectable && this.#isReceived && slots.hasFree(this.#retry.isOwn),
        this.#retry.claim,
      );
      if (attempt !== this.#attempt) return connection.abandon();
      this.#connection = connection;
      this.#packets.newLink();
      this.#retry.connected();
      this.#enter('connected');
      observer.connected();
      const discovery: LinkStep = {
        what: 'discovery',
        limitMs: limits.discoverMs,
        signal,
        answeredAt: () => connection.answeredAt,
      };
      this.#characteristics = await runStep(discovery, () => connection.discover());
      observer.servicesFound?.(servicesText(this.#characteristics));
      const measurement = this.#characteristics.find(
        ({ uuid, notifies }) => uuid === CHARACTERISTICS.heartRateMeasurement && notifies,
      );
      if (measurement === undefined) return this.#noHeartRate(attempt);
      await this.#name.learn(connection, signal);
      if (attempt !== this.#attempt) return;
      this.#enter('subscribing');
      await this.#subscribe(attempt, connection, measurement, 'subscribe');
      this.#state.accepted();
      this.#measurement = measurement;
      this.#lastValidAt = Math.max(this.#lastValidAt, performance.now());
      this.#resubscribed = false;
      await this.#readInformation(attempt, connection, true);
    } catch (error) {
      if (error instanceof NoSlot) return this.#yieldTurn(attempt);
      if (attempt !== this.#attempt) return;
      // Another strap came first: no failure, and no pause.
      if (error instanceof GaveWay) return this.#fail(attempt, 'gave_way', error, 0);
      if (error instanceof ConnectTimeout) return this.#fail(attempt, 'timeout', error, this.#retry.afterConnectTimeoutMs());
      if (isRefusal(error)) return this.#refused(attempt, error);
      this.#fail(attempt, endReasonOf(error), error);
    }
  }

  /** The strap answered that it will not. It is tried again after a longer pause. */
  #refused(attempt: AbortController, error: RadioError): void {
    this.#enter('refused', { reason: refusalOf(error) });
    this.#fail(attempt, 'refused', error, this.#retry.afterRefusalMs());
  }

  /**
   * No slot was free at its turn, or it was not received any more: nothing was attempted, so nothing ended. It queues again at an
   * advertisement, once a slot is free.
   */
  #yieldTurn(attempt: AbortController): void {
    if (attempt === this.#attempt) this.#attempt = undefined;
  }

  /** Resolves when the strap has confirmed it, or with the first valid notification: then it is subscribed, whatever it answered. */
  async #subscribe(
    { signal }: AbortController,
    connection: RadioConnection,
    measurement: RadioCharacteristic,
    what: string,
  ): Promise<void> {
    const valid = new Promise<void>((resolve) => {
      this.#onValid = resolve;
    });
    const step: LinkStep = { what, limitMs: this.#o.limits.subscribeMs, signal, answeredAt: () => connection.answeredAt };
    const confirmed = runStep(step, () => measurement.subscribe((bytes) => this.#notified(signal, bytes)));
    try {
      await Promise.race([confirmed, valid]);
      confirmed.catch(() => {});
    } catch (error) {
      if (!isRefusal(error)) throw error;
      await runStep({ what, limitMs: SENDS_ANYWAY_MS, signal }, () => valid).catch(() => {
        throw error;
      });
    }
  }

  #notified(signal: AbortSignal, bytes: Buffer): void {
    // Nothing may throw in here: noble calls it from an event handler, where an exception would end the process.
    try {
      if (this.#stopped || (signal.aborted && this.#attempt !== undefined)) return;
      const parsed = parseHeartRateMeasurement(bytes);
      // It takes a while until a link that we end has ended; what the strap sends until then are readings.
      if (signal.aborted) return parsed.ok ? this.#o.observer.measurement(parsed.measurement) : undefined;
      this.#lastValueAt = performance.now();
      if (!parsed.ok) return this.#o.observer.malformed(parsed.reason, bytes);
      if (parsed.cut !== undefined) this.#o.observer.malformed(parsed.cut, bytes);
      this.#lastValidAt = this.#lastValueAt;
      this.#resubscribed = false;
      this.#retry.delivered();
      this.#onValid();
      if (this.state === 'connected' || this.state === 'connecting') return;
      this.#enter(stateOf(parsed.measurement));
      this.#o.observer.measurement(parsed.measurement);
    } catch (error) {
      const { log, address } = this.#o;
      log.error({ event: 'notification_failed', address, err: error }, 'handling a notification failed; a reading may be lost');
    }
  }

  #noHeartRate(attempt: AbortController): void {
    this.#enter('no_heart_rate_service');
    this.#fail(attempt, 'no_heart_rate_service', undefined, this.#retry.afterRefusalMs());
  }

  /** Writes the subscription of a silent strap again; the strap may have lost it. */
  #resubscribe(attempt: AbortController, connection: RadioConnection, measurement: RadioCharacteristic): void {
    this.#resubscribed = true;
    this.#enter('silent');
    this.#subscribe(attempt, connection, measurement, 'subscribe again').catch((error: unknown) =>
      this.#fail(attempt, 'silent', error),
    );
  }

  async #readInformation({ signal }: AbortController, connection: RadioConnection, first: boolean): Promise<void> {
    await this.#information.read({ connection, signal, characteristics: this.#characteristics }, first);
  }

  /** Ends an attempt from our side, and its link, within the disconnect limit. */
  #fail(attempt: AbortController, reason: OurEnd, error: unknown, backoffMs?: number): void {
    if (attempt !== this.#attempt) return;
    const connection = this.#connection;
    this.#ended(attempt, reason, error, backoffMs);
    if (connection !== undefined) this.#disconnect(connection);
  }

  #disconnect(connection: RadioConnection): void {
    const ending = disconnectWithin(connection, this.#o.limits.disconnectMs).then((confirmed) => {
      if (!confirmed) this.#o.observer.disconnectUnconfirmed();
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
    // Advertisements from before the end do not count: a connect to a strap that has left would block all others.
    this.#advertised = false;
    this.#notBefore = performance.now() + (backoffMs ?? this.#retry.afterLossMs());
    attempt.abort();
    // An attempt that gave way says nothing about the strap.
    if (!OUTLASTING.has(this.state))
      this.#enter('lost', { nothingLearned: reason === 'gave_way', ...reasonOfEnd(reason, error) });
    this.#o.observer.ended(reason, error);
  }

  /** The radio was rebuilt or lost its power: the link is gone, and the controller did not report it. */
  radioLost(): void {
    if (this.#attempt === undefined) return;
    this.#connection?.abandon();
    this.#ended(this.#attempt, 'adapter', undefined);
    this.#notBefore = 0;
  }

  /** Ends the link of a strap that has delivered nothing: another one needs its slot. */
  giveWay(): void {
    if (this.#attempt !== undefined) this.#fail(this.#attempt, 'gave_way', undefined, this.#retry.afterRefusalMs());
  }

  /** Connects again at the next advertisement, without waiting for the backoff. */
  retryNow(): void {
    this.#notBefore = 0;
    this.#retry.reset();
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
