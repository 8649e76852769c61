/**
 * One strap's link: a state machine. The state is changed in `#enter` only. Every step towards the strap has a time limit; an
 * answer that belongs to an earlier attempt (`#generation`) is ignored; a link is ended only by the attempt that owns it.
 *
 *   discovered → connecting → connected → subscribing → streaming ⇄ no_pulse ⇄ no_contact ⇄ silent → lost → connecting …
 *                                 └→ no_heart_rate_service → lost
 *
 * A strap in `lost` is connected again when it was heard since, and its backoff is over. Silence is answered by writing the CCCD
 * again, then by a new connection; what stands above a single strap is the recovery ladder's.
 */
import type { DeviceState } from '../../contract/device-status.ts';
import { Backoff } from '../../service/pacing/backoff.ts';
import { messageOf } from '../../service/errors/errors.ts';
import type { Logger } from '../../service/log/log.ts';
import { NoPlace, type ConnectQueue } from '../radio/connect-queue.ts';
import { parseHeartRateMeasurement, type HeartRateMeasurement, type MalformedReason } from '../gatt/hrm-parser.ts';
import { CHARACTERISTICS, type Radio, type RadioCharacteristic, type RadioConnection } from '../radio/radio.ts';
import { readStrapInformation, type StrapInformation } from './strap-information.ts';

/** All in ms. */
export interface LinkLimits {
  discover: number;
  subscribe: number;
  /** Reads and writes of a single value. */
  request: number;
  disconnect: number;
  /** No valid notification for this long: silent. */
  silence: number;
  backoffMin: number;
  backoffMax: number;
  /** How often the battery is read where it does not notify, and the signal strength. */
  battery: number;
  rssi: number;
}

export const DEFAULT_LIMITS: LinkLimits = {
  discover: 10_000,
  subscribe: 5000,
  request: 5000,
  disconnect: 2000,
  silence: 10_000,
  backoffMin: 500,
  backoffMax: 60_000,
  battery: 600_000,
  rssi: 30_000,
};

export interface SensorLinkOptions {
  address: string;
  radio: Radio;
  queue: ConnectQueue;
  log: Logger;
  limits: LinkLimits;
  /** False: no connect now (the controller's limit is reached, the radio is off). Asked before the strap queues up to be connected. */
  mayConnect: () => boolean;
  /** Asked again when its turn has come: the last place may have been taken, or the limit learnt, meanwhile. */
  hasPlace: () => boolean;
  /** Only valid measurements. */
  onMeasurement: (measurement: HeartRateMeasurement) => void;
  onMalformed: (reason: MalformedReason, bytes: Buffer) => void;
  onState: (state: DeviceState, before: DeviceState) => void;
  onInformation: (information: Partial<StrapInformation>) => void;
  onConnected: () => void;
  /** The link ended or never came to be; `reason` as in the status' disconnects. */
  onEnded: (reason: string, error: unknown) => void;
  /** The controller did not confirm the end of a link: its picture of the world and ours may differ. */
  onUnconfirmedDisconnect: () => void;
}

const TRANSITIONS: Record<DeviceState, readonly DeviceState[]> = {
  discovered: ['connecting', 'lost'],
  connecting: ['connected', 'lost'],
  connected: ['subscribing', 'no_heart_rate_service', 'lost'],
  subscribing: ['streaming', 'no_pulse', 'no_contact', 'silent', 'lost'],
  streaming: ['no_pulse', 'no_contact', 'silent', 'lost'],
  no_pulse: ['streaming', 'no_contact', 'silent', 'lost'],
  no_contact: ['streaming', 'no_pulse', 'silent', 'lost'],
  silent: ['streaming', 'no_pulse', 'no_contact', 'lost'],
  no_heart_rate_service: ['lost', 'connecting'],
  lost: ['connecting'],
};

/** What a state needs: an attempt under way, a connection. no_heart_rate_service outlives its link: the strap is still there, only of no use. */
const NEEDS: Record<Exclude<DeviceState, 'no_heart_rate_service'>, { attempt: boolean; connection: boolean }> = {
  discovered: { attempt: false, connection: false },
  connecting: { attempt: true, connection: false },
  connected: { attempt: true, connection: true },
  subscribing: { attempt: true, connection: true },
  streaming: { attempt: true, connection: true },
  no_pulse: { attempt: true, connection: true },
  no_contact: { attempt: true, connection: true },
  silent: { attempt: true, connection: true },
  lost: { attempt: false, connection: false },
};

export class StepTimeout extends Error {
  override readonly name = 'StepTimeout';
}

/** What a valid measurement says of the strap. */
function stateOf(measurement: HeartRateMeasurement): 'streaming' | 'no_pulse' | 'no_contact' {
  if (measurement.bpm === 0) return 'no_pulse';
  return measurement.contact === false ? 'no_contact' : 'streaming';
}

export class SensorLink {
  readonly #o: SensorLinkOptions;
  readonly #backoff: Backoff;
  #state: DeviceState = 'discovered';
  /** Counts attempts; whatever comes back with an older number is of the past. */
  #generation = 0;
  #attempt: AbortController | undefined;
  #connection: RadioConnection | undefined;
  #measurement: RadioCharacteristic | undefined;
  #characteristics: RadioCharacteristic[] = [];
  #heard = false;
  #notBefore = 0;
  #lastValidAt = 0;
  #resubscribed = false;
  #readAgainAt = 0;
  #reading = false;
  #ending: Promise<void> | undefined;
  #stopped = false;

  constructor(options: SensorLinkOptions) {
    this.#o = options;
    this.#backoff = new Backoff({ minMs: options.limits.backoffMin, maxMs: options.limits.backoffMax });
  }

  get address(): string {
    return this.#o.address;
  }

  get state(): DeviceState {
    return this.#state;
  }

  /** True from the connection to its end. */
  get connected(): boolean {
    return this.#connection !== undefined;
  }

  /** True from the moment it queues up to be connected to the end of the link: it has a place, or asks for one. */
  get occupied(): boolean {
    return this.#attempt !== undefined;
  }

  /** True where the strap should be sending and has been for long enough to be believed. */
  get receiving(): boolean {
    return this.#state === 'streaming' || this.#state === 'no_pulse' || this.#state === 'no_contact';
  }

  /** The strap advertises: it can be connected. */
  advertised(): void {
    this.#heard = true;
    this.#connectWhenDue();
  }

  /** To be called about once a second: time limits that have no timer of their own. */
  tick(): void {
    this.#connectWhenDue();
    if (this.#connection === undefined || this.#measurement === undefined) return;
    const now = performance.now();
    const quietMs = now - this.#lastValidAt;
    if (quietMs > 2 * this.#o.limits.silence)
      this.#fail(this.#generation, 'silent', new StepTimeout(`no notification for ${Math.round(quietMs)} ms`));
    else if (quietMs > this.#o.limits.silence && !this.#resubscribed) this.#goSilent(this.#generation);
    else if (now > this.#readAgainAt && this.receiving) void this.#readAgain(this.#generation);
  }

  #connectWhenDue(): void {
    const waits = this.#state === 'discovered' || this.#state === 'lost' || this.#state === 'no_heart_rate_service';
    if (this.#stopped || !waits || !this.#heard || this.#attempt !== undefined || this.#ending !== undefined) return;
    if (performance.now() < this.#notBefore || !this.#o.mayConnect()) return;
    this.#heard = false;
    void this.#connect();
  }

  /** The only place that changes the state. */
  #enter(state: DeviceState): void {
    const before = this.#state;
    if (before === state) return;
    if (!TRANSITIONS[before].includes(state))
      throw new Error(`sensor link ${this.#o.address}: ${before} → ${state} is no transition`);
    const needs = state === 'no_heart_rate_service' ? undefined : NEEDS[state];
    if (
      needs !== undefined &&
      (needs.attempt !== (this.#attempt !== undefined) || needs.connection !== (this.#connection !== undefined))
    )
      throw new Error(
        `sensor link ${this.#o.address}: ${state} with ${this.#attempt === undefined ? 'no' : 'an'} attempt and ${this.#connection === undefined ? 'no' : 'a'} connection`,
      );
    this.#state = state;
    this.#o.onState(state, before);
  }

  async #connect(): Promise<void> {
    const { radio, queue, address, limits } = this.#o;
    const generation = (this.#generation += 1);
    const attempt = new AbortController();
    this.#attempt = attempt;
    try {
      const onDisconnect = (reason: string): void => this.#ended(generation, reason, undefined);
      const begin = (): void => this.#enter('connecting');
      const connection = await queue.run(
        (signal) => radio.connect(address, { signal, onDisconnect }),
        attempt.signal,
        begin,
        () => this.#o.hasPlace(),
      );
      if (generation !== this.#generation) return connection.abandon();
      this.#connection = connection;
      this.#enter('connected');
      this.#o.onConnected();
      const characteristics = await this.#step(generation, 'discovery', limits.discover, () => connection.discover());
      this.#characteristics = characteristics;
      const measurement = characteristics.find(({ uuid, notifies }) => uuid === CHARACTERISTICS.heartRateMeasurement && notifies);
      if (measurement === undefined) return this.#noHeartRate(generation);
      this.#enter('subscribing');
      await this.#step(generation, 'subscribe', limits.subscribe, () =>
        measurement.subscribe((bytes) => this.#notified(generation, bytes)),
      );
      this.#measurement = measurement;
      this.#lastValidAt = Math.max(this.#lastValidAt, performance.now());
      this.#resubscribed = false;
      await this.#readInformation(generation, connection, true);
    } catch (error) {
      if (error instanceof NoPlace) return this.#standBack(generation);
      this.#fail(
        generation,
        error instanceof StepTimeout || (error as Error).name === 'ConnectTimeout' ? 'timeout' : 'failed',
        error,
      );
    }
  }

  /** There was no place when the turn came: nothing was tried, so nothing ended. It queues up again when it is heard and there is one. */
  #standBack(generation: number): void {
    if (generation !== this.#generation) return;
    this.#generation += 1;
    this.#attempt = undefined;
  }

  /** A step of an attempt: its own time limit, and over at once when the link ends. */
  async #step<T>(generation: number, what: string, limitMs: number, run: () => Promise<T>): Promise<T> {
    const signal = this.#attempt?.signal;
    if (signal === undefined || generation !== this.#generation) throw new Error(`${what}: the link has ended`);
    return await new Promise<T>((resolve, reject) => {
      const end = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', lost);
      };
      const lost = (): void => {
        end();
        reject(new Error(`${what}: the link has ended`));
      };
      const timer = setTimeout(() => {
        end();
        reject(new StepTimeout(`${what}: no answer in ${limitMs} ms`));
      }, limitMs);
      signal.addEventListener('abort', lost);
      run().then(
        (value) => {
          end();
          if (generation === this.#generation) resolve(value);
          else reject(new Error(`${what}: the link has ended`));
        },
        (error: unknown) => {
          end();
          reject(error instanceof Error ? error : new Error(String(error)));
        },
      );
    });
  }

  #notified(generation: number, bytes: Buffer): void {
    // Nothing may throw in here: it would become an uncaught exception in noble (facts.md, BLE 11).
    try {
      if (generation !== this.#generation || this.#stopped) return;
      const parsed = parseHeartRateMeasurement(bytes);
      if (!parsed.ok) return this.#o.onMalformed(parsed.reason, bytes);
      this.#lastValidAt = performance.now();
      this.#resubscribed = false;
      this.#backoff.reset();
      if (this.#state === 'connected' || this.#state === 'connecting') return;
      const state = stateOf(parsed.measurement);
      this.#enter(state);
      this.#o.onMeasurement(parsed.measurement);
    } catch (error) {
      this.#o.log.error(
        { event: 'notification_failed', address: this.#o.address, err: error },
        'a notification could not be handled',
      );
    }
  }

  #noHeartRate(generation: number): void {
    this.#enter('no_heart_rate_service');
    this.#fail(generation, 'no_heart_rate_service', undefined, this.#o.limits.backoffMax);
  }

  /** Silent: the subscription is written again; a strap may have forgotten it. */
  #goSilent(generation: number): void {
    this.#resubscribed = true;
    this.#enter('silent');
    const measurement = this.#measurement;
    if (measurement === undefined) return;
    this.#step(generation, 'subscribe again', this.#o.limits.subscribe, () =>
      measurement.subscribe((bytes) => this.#notified(generation, bytes)),
    ).catch((error: unknown) => this.#fail(generation, 'silent', error));
  }

  async #readInformation(generation: number, connection: RadioConnection, first: boolean): Promise<void> {
    this.#reading = true;
    this.#readAgainAt = performance.now() + this.#o.limits.rssi;
    try {
      const step = <T>(what: string, run: () => Promise<T>): Promise<T> =>
        this.#step(generation, what, this.#o.limits.request, run);
      await readStrapInformation({
        connection,
        characteristics: this.#characteristics,
        step,
        first,
        batteryEveryMs: this.#o.limits.battery,
        onInformation: this.#o.onInformation,
      });
    } catch (error) {
      // Battery and device information are optional: a strap that does not answer is found out by its silence.
      this.#o.log.debug(
        { event: 'strap_information_failed', address: this.#o.address, reason: messageOf(error) },
        'a strap did not answer a read',
      );
    } finally {
      if (generation === this.#generation) this.#reading = false;
    }
  }

  async #readAgain(generation: number): Promise<void> {
    const connection = this.#connection;
    if (this.#reading || connection === undefined) return;
    await this.#readInformation(generation, connection, false);
  }

  /** Gives an attempt up from our side: the link is ended where it stands, within its time limit. */
  #fail(generation: number, reason: string, error: unknown, notBeforeMs?: number): void {
    if (generation !== this.#generation || this.#attempt === undefined) return;
    const connection = this.#connection;
    this.#ended(generation, reason, error, notBeforeMs);
    if (connection !== undefined) this.#disconnect(connection);
  }

  #disconnect(connection: RadioConnection): void {
    const limitMs = this.#o.limits.disconnect;
    const ending = new Promise<void>((resolve) => {
      const timer = setTimeout(() => {
        connection.abandon();
        this.#o.onUnconfirmedDisconnect();
        resolve();
      }, limitMs);
      const over = (): void => {
        clearTimeout(timer);
        resolve();
      };
      // An error counts as an end too: there was no link any more.
      void connection.disconnect().then(over, over);
    }).finally(() => {
      if (this.#ending === ending) this.#ending = undefined;
      this.#connectWhenDue();
    });
    this.#ending = ending;
  }

  /** The attempt is over, however it ended. */
  #ended(generation: number, reason: string, error: unknown, notBeforeMs?: number): void {
    if (generation !== this.#generation || this.#attempt === undefined) return;
    this.#generation += 1;
    const attempt = this.#attempt;
    this.#attempt = undefined;
    this.#connection = undefined;
    this.#measurement = undefined;
    this.#characteristics = [];
    this.#reading = false;
    // Heard before the link ended says nothing of now: a connect to a strap that has gone would hold up all others.
    this.#heard = false;
    this.#notBefore = performance.now() + (notBeforeMs ?? this.#backoff.nextDelayMs());
    attempt.abort(new Error('the link has ended'));
    // It stays readable that a strap has no heart rate service: it is still there, only of no use.
    if (this.#state !== 'no_heart_rate_service') this.#enter('lost');
    this.#o.onEnded(reason, error);
  }

  /** The radio was made anew or lost its power: the link is gone without a word of the controller. */
  radioLost(): void {
    if (this.#attempt === undefined) return;
    this.#connection?.abandon();
    this.#ended(this.#generation, 'adapter', undefined);
    this.#notBefore = 0;
  }

  /** Connects again as soon as the strap is heard, without waiting for the backoff to end. */
  retryNow(): void {
    this.#notBefore = 0;
    this.#backoff.reset();
    this.#connectWhenDue();
  }

  /** The energy characteristic of a connected strap, to write to, with a time limit. Undefined where there is none. */
  async writeControlPoint(value: Buffer): Promise<'done' | 'not_connected' | 'not_supported'> {
    if (this.#measurement === undefined) return 'not_connected';
    const control = this.#characteristics.find(({ uuid }) => uuid === CHARACTERISTICS.heartRateControlPoint);
    if (control === undefined) return 'not_supported';
    await this.#step(this.#generation, 'reset energy', this.#o.limits.request, () => control.write(value));
    return 'done';
  }

  /** Ends the link for good, in order: an unclean end can lock a Polar H10 for a minute (facts.md, BLE 15). */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#fail(this.#generation, 'ended_by_us', undefined);
    await this.#ending;
  }
}
