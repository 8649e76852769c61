/**
 * noble behind the radio seam, with workarounds for noble 1.9.2-26:
 * - no request has a timeout: the callers set them;
 * - a cancelled connect may still succeed later: that stray connection is ended as soon as it is established;
 * - disconnect and RSSI of a peripheral that is not connected go out with handle 0, which may be another strap's: they are sent only
 *   while it is connected;
 * - the peripheral object is reused: listeners of an ended link are removed from it;
 * - a lost adapter is reported as 'poweredOff' without a 'disconnect' for its links: noble is recreated when the adapter returns.
 */
import { EventEmitter } from 'node:events';
import type { Config } from '../../../service/config/config.ts';
import type { Logger } from '../../../service/log/log.ts';
import { RadioError } from '../radio-error.ts';
import { AdapterSearch } from './adapter-search.ts';
import { AdvertisingReports } from './advertising-reports.ts';
import { NobleConnection } from './noble-connection.ts';
import { connectErrorOf, startFailureOf, UNAVAILABLE_REASONS } from './noble-errors.ts';
import { surviveLateWrites, surviveMalformedPackets } from './noble-survival.ts';
import { loadNoble, type MakeNoble, type Noble, type NoblePeripheral } from './noble-types.ts';
import type { ConnectOptions, Radio, RadioConnection, RadioEvents, RadioState } from '../radio.ts';

/** Intervals in units of 1.25 ms, as HRP 5.2 recommends: 50-70 ms leave airtime for many straps. Supervision timeout in units of 10 ms. */
const CONNECTION_PARAMETERS = { minInterval: 40, maxInterval: 56, latency: 0, timeout: 300 };
/** Without an adapter noble never reports a state. A working adapter answers within a second. */
const POWER_ON_LIMIT_MS = 4000;
/** Peripherals that sent no advertisement for this long are removed from noble's caches, and the oldest beyond this number. */
const FORGET_AFTER_MS = 120_000;
const PERIPHERALS_MAX = 2000;
/** How often the kernel is asked for the adapter while it cannot be used; how soon one that failed, or is another, is tried again. */
const SEARCH_EVERY_MS = 2000;
const TRY_AGAIN_MS = 30_000;

/** noble's states; others ('unknown', 'resetting') are ignored. */
const STATES: Record<string, Exclude<RadioState, 'starting'>> = {
  poweredOn: 'powered_on',
  poweredOff: 'powered_off',
  unauthorized: 'unauthorized',
  unsupported: 'unsupported',
};

export class NobleRadio implements Radio {
  readonly kind = 'noble';
  readonly events = new EventEmitter<RadioEvents>();
  readonly #log: Logger;
  readonly #search: AdapterSearch;
  readonly #reports = new AdvertisingReports();
  /** The peripheral that noble reported while it handled the current report. */
  #reported: string | undefined;
  readonly #connections = new Set<NobleConnection>();
  #make: MakeNoble | undefined;
  #noble: Noble | undefined;
  #exitListeners: NodeJS.ExitListener[] = [];
  #state: RadioState = 'starting';
  #reason = 'waiting for the adapter to answer';
  #hint: string | undefined;
  #powerOn: NodeJS.Timeout | undefined;
  #searching: NodeJS.Timeout | undefined;
  /** Counts the nobles: what was asked for an earlier one is void. */
  #run = 0;
  /** When noble is started again after a failure (performance.now()); undefined while it runs. */
  #tryAgainAt: number | undefined;
  /** It failed for another reason than a missing adapter: that reason stands. */
  #failedOtherwise = false;
  #stopped = false;

  /** `search` knows the adapter that an earlier radio of this process used. */
  constructor(config: Pick<Config, 'BLE_ADAPTER'>, log: Logger, search = new AdapterSearch(config, log)) {
    this.#log = log;
    this.#search = search;
  }

  get adapter(): string | null {
    const { number } = this.#search;
    return this.#state === 'missing' || number === undefined ? null : `hci${number}`;
  }

  get state(): RadioState {
    return this.#state;
  }

  get stateReason(): string {
    return this.#reason;
  }

  get stateHint(): string | undefined {
    return this.#hint;
  }

  get unresponsive(): boolean {
    // noble reports 'poweredOff' for an adapter that is down or gone, and nothing at all for one that is up and hangs.
    return (this.#state === 'powered_off' || this.#state === 'missing') && this.#noble?._bindings._hci?._isDevUp === true;
  }

  /** Never throws: without an adapter, rights or noble itself, `state` and `stateReason` report it. */
  async start(): Promise<void> {
    this.#searching = setInterval(() => void this.#searchAgain(), SEARCH_EVERY_MS);
    await this.#open();
  }

  /** Chooses an adapter, and starts noble with it. */
  async #open(): Promise<void> {
    const run = (this.#run += 1);
    try {
      this.#make ??= await loadNoble();
    } catch (error) {
      return this.#unusable(error);
    }
    await this.#search.choose();
    if (run === this.#run && !this.#stopped) this.#begin();
  }

  #unusable(error: unknown): void {
    this.#tryAgainAt = performance.now() + TRY_AGAIN_MS;
    const { state, reason, hint } = startFailureOf(error);
    this.#failedOtherwise = reason !== UNAVAILABLE_REASONS.missing;
    if (this.#failedOtherwise) this.#setState(state, reason, hint);
    else this.#unavailable();
    this.#log.debug({ event: 'radio_unusable', err: error }, 'noble could not be started');
  }

  #unavailable(): void {
    const { state, reason, hint } = this.#search.unavailable();
    this.#setState(state, reason, hint);
  }

  /** While the adapter cannot be used: it may be back, with another number, or be missing for another reason than before. */
  async #searchAgain(): Promise<void> {
    if (this.#state === 'powered_on' || this.#state === 'starting' || this.#make === undefined) return;
    const run = this.#run;
    const { number: before, isPresent: wasPresent } = this.#search;
    await this.#search.choose();
    if (run !== this.#run || this.#stopped || this.state === 'powered_on') return;
    const isDue = this.#tryAgainAt !== undefined && (!wasPresent || performance.now() > this.#tryAgainAt);
    if (this.#search.number !== before || (isDue && this.#search.isPresent)) {
      this.#discard();
      this.#begin();
    } else if (!this.#failedOtherwise && (this.#state === 'powered_off' || this.#state === 'missing')) this.#unavailable();
  }

  /** Starts noble with the chosen adapter. The state stays as it is until noble reports one. */
  #begin(): void {
    this.#tryAgainAt = undefined;
    this.#failedOtherwise = false;
    if (this.#search.number === undefined) return this.#unavailable();
    try {
      this.#beginWith(this.#search.number);
    } catch (error) {
      this.#unusable(error);
    }
  }

  #beginWith(deviceId: number): void {
    if (this.#make === undefined) return;
    const before = new Set(process.listeners('exit'));
    const noble = this.#make({ deviceId });
    this.#noble = noble;
    const hci = noble._bindings._hci;
    surviveLateWrites(hci, this.#log);
    surviveMalformedPackets(hci, this.#log);
    // noble reports a peripheral once per scan; we report what it advertises in between, as soon as noble knows the peripheral.
    if (hci !== undefined)
      this.#reports.observe(hci, (address) => {
        const peripheral = noble._peripherals[address.replaceAll(':', '')];
        if (peripheral !== undefined && this.#reported !== address) this.#discovered(peripheral);
        this.#reported = undefined;
      });
    // Without a listener for 'warning' noble writes to the console.
    noble.on('warning', (words: unknown) => this.#log.debug({ event: 'noble_warning', words }, 'warning from noble'));
    noble.on('discover', (peripheral: NoblePeripheral) => this.#discovered(peripheral));
    noble.on('scanStop', () => this.events.emit('scan_stopped'));
    // Reading the state starts noble, and throws if the kernel has no Bluetooth.
    const state = noble.state;
    noble.on('stateChange', (changed: string) => this.#nobleState(noble, changed));
    this.#exitListeners = process.listeners('exit').filter((listener) => !before.has(listener));
    // noble's own SIGINT handler calls process.exit(1) if it is the last one, before straps are disconnected.
    const onSignal = noble._bindings.onSigIntBinded;
    if (onSignal !== undefined) process.removeListener('SIGINT', onSignal);
    this.#powerOn = setTimeout(() => {
      if (this.#state !== 'starting' && this.#state !== 'powered_off') return;
      this.#search.refresh();
      this.#unavailable();
    }, POWER_ON_LIMIT_MS);
    this.#powerOn.unref();
    if (state !== 'unknown') this.#nobleState(noble, state);
  }

  #nobleState(noble: Noble, state: string): void {
    if (noble !== this.#noble) return;
    const known = STATES[state];
    if (known === undefined) return;
    if (known === 'powered_on') this.#poweredOn(noble);
    else if (known === 'powered_off') {
      // The adapter has POWER_ON_LIMIT_MS to answer.
      if (this.#state === 'starting') return;
      this.#search.refresh();
      this.#unavailable();
    } else this.#setState(known, UNAVAILABLE_REASONS[known]);
  }

  #poweredOn(noble: Noble): void {
    clearTimeout(this.#powerOn);
    if (this.#search.confirm(noble.address)) return this.#setState('powered_on', '');
    // Another adapter than the wanted one.
    this.#discard();
    this.#tryAgainAt = performance.now() + TRY_AGAIN_MS;
    this.#unavailable();
  }

  #setState(state: RadioState, reason: string, hint?: string): void {
    if (state === this.#state && reason === this.#reason) return;
    this.#state = state;
    this.#reason = reason;
    this.#hint = hint;
    this.events.emit('state');
  }

  #discovered(peripheral: NoblePeripheral): void {
    const address = peripheral.address.toLowerCase();
    const seen = this.#reports.get(address);
    if (seen === undefined) return;
    this.#reported = address;
    const { name, complete, rssi, connectable, services } = seen;
    const isShortened = name !== undefined && !complete;
    this.events.emit('advertisement', { address, name, isShortened, rssi, connectable, serviceUuids: [...services] });
    // A scan lasts up to half a minute: too long for the advertisements of a crowd.
    if (this.#reports.size > 2 * PERIPHERALS_MAX && this.#noble !== undefined) this.#prune(this.#noble);
  }

  /** noble never removes peripherals: in a busy place its caches would grow for months. */
  #prune(noble: Noble): void {
    const oldest = performance.now() - FORGET_AFTER_MS;
    const { _addresses, _addresseTypes, _connectable, scannable, _gap } = noble._bindings;
    for (const address of this.#reports.outdated(oldest, PERIPHERALS_MAX)) {
      const id = address.replaceAll(':', '');
      const peripheral = noble._peripherals[id];
      if (peripheral !== undefined && peripheral.state !== 'disconnected' && peripheral.state !== 'error') continue;
      this.#reports.delete(address);
      if (_gap?._discoveries !== undefined) delete _gap._discoveries[address];
      for (const cache of [
        noble._peripherals,
        noble._services,
        noble._characteristics,
        noble._descriptors,
        _addresses,
        _addresseTypes,
        _connectable,
        scannable,
      ])
        if (cache !== undefined) delete (cache as Record<string, unknown>)[id];
    }
  }

  async scan(): Promise<void> {
    const noble = this.#noble;
    if (noble === undefined || this.#state !== 'powered_on')
      throw new RadioError('not_powered_on', 'the radio is not powered on');
    this.#prune(noble);
    noble.removeAllListeners('scanStart');
    await new Promise<void>((resolve, reject) => {
      // All advertisements, not only those with 0x180D: some straps are found by name, and any advertisement proves the radio works.
      noble.startScanning([], false, (error) => (error === undefined || error === null ? resolve() : reject(error)));
    });
  }

  async connect(address: string, { signal, onDisconnect }: ConnectOptions): Promise<RadioConnection> {
    const noble = this.#noble;
    const peripheral = noble?._peripherals[address.replaceAll(':', '')];
    if (noble === undefined || peripheral === undefined)
      throw new RadioError('not_in_range', 'this radio has no advertisement of the strap');
    peripheral.removeAllListeners();
    if (peripheral.state === 'connected') {
      // A link without an owner: noble would refuse to connect, and the strap would stay unavailable.
      peripheral.disconnect();
      throw new RadioError('stale_link', 'an earlier link to the strap had to be ended first');
    }
    return await new Promise<RadioConnection>((resolve, reject) => {
      const cancel = (): void => {
        reject(signal.reason as Error);
        peripheral.removeAllListeners();
        // The connection may still be established although it was cancelled: end it then.
        peripheral.once('connect', (error: unknown) => {
          if (error === null || error === undefined) peripheral.disconnect();
        });
        if (peripheral.state === 'connecting') {
          const strays = peripheral.listeners('connect');
          peripheral.removeAllListeners('connect');
          peripheral.cancelConnect();
          for (const stray of strays) peripheral.once('connect', stray as (error: unknown) => void);
        }
      };
      signal.addEventListener('abort', cancel, { once: true });
      peripheral.connect(CONNECTION_PARAMETERS, (error) => {
        signal.removeEventListener('abort', cancel);
        if (signal.aborted) return;
        if (error !== null && error !== undefined) return reject(connectErrorOf(error));
        const link = noble._bindings._gatts?.[peripheral.id];
        if (link === undefined) return reject(new RadioError('link_ended', 'the link ended at once'));
        const connection = new NobleConnection(peripheral, link, (reason) => {
          this.#connections.delete(connection);
          if (reason !== undefined) onDisconnect(reason);
        });
        this.#connections.add(connection);
        resolve(connection);
      });
    });
  }

  async rebuild(): Promise<void> {
    this.#discard();
    this.#setState('starting', 'restarting noble');
    await this.#open();
  }

  /** noble has no `stop()`: its timer, socket and process listeners are removed here. */
  #discard(): void {
    clearTimeout(this.#powerOn);
    const noble = this.#noble;
    this.#noble = undefined;
    for (const connection of this.#connections) connection.abandon();
    this.#connections.clear();
    this.#reports.clear();
    if (noble === undefined) return;
    try {
      // A reset makes the controller end its links and scans; otherwise the old links would stay without an owner.
      if (this.#state === 'powered_on') noble.reset();
      const hci = noble._bindings._hci;
      if (hci !== undefined) {
        hci.pollIsDevUp = () => {};
        hci._socket?.stop?.();
        hci._socket?.removeAllListeners();
        hci._socket?.on('error', () => {});
      }
    } catch (error) {
      this.#log.debug({ event: 'noble_discard_failed', err: error }, 'the previous noble could not be shut down cleanly');
    }
    for (const listener of this.#exitListeners) process.removeListener('exit', listener);
    this.#exitListeners = [];
    noble.removeAllListeners();
    noble.on('warning', () => {});
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#searching);
    try {
      if (this.#state === 'powered_on') this.#noble?.stopScanning();
    } catch {
      // It is discarded anyway.
    }
    this.#discard();
    this.#setState('powered_off', 'stopped');
    await Promise.resolve();
  }
}
