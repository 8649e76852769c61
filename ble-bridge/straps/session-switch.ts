/** Replaces the radio in use, with its straps: at most one radio session exists at a time. */
import type { BridgeStatus } from '../../contract/bridge-status.ts';
import type { CheckReport } from '../../service/health/check-report.ts';
import type { Radio } from '../radio/radio.ts';
import { RadioSession, type RadioSessionOptions } from './radio-session.ts';
import type { Strap } from './strap.ts';

const NO_RADIO: BridgeStatus['radio'] = {
  adapter: null,
  state: 'missing',
  advertisements_per_minute: 0,
  connects: 0,
  disconnects: {},
  reconnect_ms_p50: null,
  reconnect_ms_p95: null,
  straps_limit: null,
};

export class SessionSwitch {
  readonly #o: Omit<RadioSessionOptions, 'radio'>;
  #current: RadioSession | undefined;
  #stopped = false;

  constructor(options: Omit<RadioSessionOptions, 'radio'>) {
    this.#o = options;
  }

  get source(): BridgeStatus['source'] {
    return this.#current?.radio.kind ?? 'none';
  }

  find(device: string): Strap | undefined {
    return this.#current?.straps.find(device);
  }

  status(): BridgeStatus['radio'] {
    return this.#current?.status() ?? NO_RADIO;
  }

  /** The checks of the radio in use; undefined without one. */
  checks(): CheckReport[] | undefined {
    return this.#current?.checks();
  }

  /** Stops the session in use and starts one with this radio; undefined: none. */
  async use(radio: Radio | undefined): Promise<void> {
    const { events, names } = this.#o;
    const old = this.#current;
    this.#current = undefined;
    if (old !== undefined) {
      await old.stop();
      if (old.radio.kind !== radio?.kind) for (const { device } of old.straps.all) events.emit('dropped', device);
    }
    if (radio !== undefined && !this.#stopped) {
      // Virtual straps that an earlier process left do not exist for another source.
      for (const { device, source } of names.all)
        if (source !== radio.kind && source !== 'noble') {
          names.forget(device);
          events.emit('dropped', device);
        }
      this.#current = new RadioSession({ ...this.#o, radio });
      await this.#current.start();
    }
    events.emit('radio');
  }

  /** Restarts the scan; false without a radio, or if it is off or refused. */
  async scanNow(): Promise<boolean> {
    return (await this.#current?.scanNow()) ?? false;
  }

  /** Disconnects a strap and forgets it; false if it is not known. */
  async forget(device: string): Promise<boolean> {
    const strap = this.find(device);
    if (strap === undefined) return false;
    await this.#current?.straps.forget(strap);
    return true;
  }

  /** Disconnects all straps. No session is started afterwards. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#current?.stop();
  }
}
