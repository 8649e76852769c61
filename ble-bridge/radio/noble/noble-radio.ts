/**
 * noble behind the radio seam, with what facts.md (BLE) says of it: nothing has a time limit (the callers set them), connects are
 * cancelled and strays ended, disconnect and RSSI go out only for a connected strap (else handle 0, which may be another's),
 * listeners of an ended link are removed from the peripheral that noble reuses, and a noble that lost its adapter is replaced.
 */
import { EventEmitter } from 'node:events';
import { adapterExists } from '../../../service/bluetooth/adapter.ts';
import type { Config } from '../../../service/config/config.ts';
import { messageOf, systemCodeOf } from '../../../service/errors/errors.ts';
import type { Logger } from '../../../service/log/log.ts';
import { NobleConnection } from './noble-connection.ts';
import { surviveLateWrites } from './noble-flush.ts';
import { loadNoble, type MakeNoble, type Noble, type NoblePeripheral } from './noble-types.ts';
import type { ConnectOptions, Radio, RadioConnection, RadioEvents, RadioState } from '../radio.ts';

/** In units of 1.25 ms, as HRP 5.2 has it for collectors: 50-70 ms leave air for many straps. The supervision timeout in 10 ms. */
const CONNECTION_PARAMETERS = { minInterval: 40, maxInterval: 56, latency: 0, timeout: 300 };
/** noble says nothing where there is no adapter, and an adapter answers within a second: then it is missing. */
const POWER_ON_LIMIT_MS = 4000;
/** What was not heard for this long leaves noble's caches. */
const FORGET_AFTER_MS = 120_000;

const REASONS: Record<Exclude<RadioState, 'starting' | 'powered_on'>, string> = {
  powered_off: 'the adapter is switched off or unplugged',
  unauthorized: 'this process has no right to the adapter (capabilities NET_ADMIN and NET_RAW, or root)',
  unsupported: 'the adapter does not support Bluetooth Low Energy',
  missing: 'no Bluetooth adapter answers',
};

const STATES: Record<string, RadioState> = {
  poweredOn: 'powered_on',
  poweredOff: 'powered_off',
  unauthorized: 'unauthorized',
  unsupported: 'unsupported',
};

export class NobleRadio implements Radio {
  readonly kind = 'noble';
  readonly events = new EventEmitter<RadioEvents>();
  readonly #config: Pick<Config, 'BLE_ADAPTER'>;
  readonly #log: Logger;
  readonly #heardAt = new Map<string, number>();
  readonly #connections = new Set<NobleConnection>();
  #make: MakeNoble | undefined;
  #noble: Noble | undefined;
  #exitListeners: NodeJS.ExitListener[] = [];
  #state: RadioState = 'starting';
  #reason = 'the adapter is being asked';
  #powerOn: NodeJS.Timeout | undefined;

  constructor(config: Pick<Config, 'BLE_ADAPTER'>, log: Logger) {
    this.#config = config;
    this.#log = log;
  }

  get adapter(): string | null {
    return this.#state === 'missing' ? null : this.#config.BLE_ADAPTER;
  }

  get state(): RadioState {
    return this.#state;
  }

  get stateReason(): string {
    return this.#reason;
  }

  get unresponsive(): boolean {
    // noble says poweredOff of an adapter that is down or gone; of one that is up and hangs it says nothing more.
    return (this.#state === 'powered_off' || this.#state === 'missing') && this.#noble?._bindings._hci?._isDevUp === true;
  }

  /** Whether the kernel knows the adapter at all. */
  static adapterExists(config: Pick<Config, 'BLE_ADAPTER'>): boolean {
    return adapterExists(config);
  }

  /** Never throws: a machine without adapter, rights or noble itself goes on, and says so. */
  async start(): Promise<void> {
    try {
      this.#make = await loadNoble();
      this.#begin();
    } catch (error) {
      this.#unusable(error);
    }
  }

  #unusable(error: unknown): void {
    const code = systemCodeOf(error);
    const words = messageOf(error);
    if (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND')
      this.#setState('missing', 'noble is not installed (it is optional and needs build tools)');
    else if (code === 'EAFNOSUPPORT' || /not supported|EAFNOSUPPORT/i.test(words))
      this.#setState('missing', 'the kernel has no Bluetooth (AF_BLUETOOTH is not supported)');
    else if (code === 'EPERM' || code === 'EACCES' || /not permitted|EPERM/i.test(words))
      this.#setState('unauthorized', REASONS.unauthorized);
    else this.#setState('missing', `Bluetooth cannot be used: ${words}`);
    this.#log.debug({ event: 'radio_unusable', err: error }, 'noble could not be started');
  }

  #begin(): void {
    if (this.#make === undefined) return;
    const deviceId = Number(this.#config.BLE_ADAPTER.slice('hci'.length));
    const before = new Set(process.listeners('exit'));
    const noble = this.#make({ deviceId });
    this.#noble = noble;
    surviveLateWrites(noble._bindings._hci, this.#log);
    // A listener of 'warning' keeps noble from writing to the console.
    noble.on('warning', (words: unknown) => this.#log.debug({ event: 'noble_warning', words }, 'noble warns'));
    noble.on('discover', (peripheral: NoblePeripheral) => this.#discovered(peripheral));
    noble.on('scanStop', () => this.events.emit('scan_stopped'));
    // Reading the state starts noble at once, and throws here where there is no Bluetooth at all.
    const state = noble.state;
    noble.on('stateChange', (changed: string) => this.#nobleState(noble, changed));
    this.#exitListeners = process.listeners('exit').filter((listener) => !before.has(listener));
    // noble's own handler ends the process without a word to anybody when it is the last one.
    const onSignal = noble._bindings.onSigIntBinded;
    if (onSignal !== undefined) process.removeListener('SIGINT', onSignal);
    this.#powerOn = setTimeout(() => {
      if (this.#state === 'starting' || this.#state === 'powered_off') this.#setState(...this.#absent());
    }, POWER_ON_LIMIT_MS);
    this.#powerOn.unref();
    if (state !== 'unknown') this.#nobleState(noble, state);
  }

  #absent(): [RadioState, string] {
    if (this.#noble?._bindings._hci?._isDevUp === true) return ['powered_off', 'the adapter is on, but does not answer'];
    if (NobleRadio.adapterExists(this.#config)) return ['powered_off', REASONS.powered_off];
    return ['missing', `${REASONS.missing} (${this.#config.BLE_ADAPTER})`];
  }

  #nobleState(noble: Noble, state: string): void {
    if (noble !== this.#noble) return;
    const known = STATES[state];
    if (known === undefined) return;
    if (known === 'powered_on') {
      clearTimeout(this.#powerOn);
      this.#setState('powered_on', '');
    } else if (known === 'powered_off' && this.#state === 'starting')
      return; // An adapter gets its time to answer.
    else if (known === 'powered_off' && this.#state !== 'powered_on') this.#setState(...this.#absent());
    else this.#setState(known, REASONS[known as keyof typeof REASONS] ?? known);
  }

  #setState(state: RadioState, reason: string): void {
    if (state === this.#state && reason === this.#reason) return;
    this.#state = state;
    this.#reason = reason;
    this.events.emit('state');
  }

  #discovered(peripheral: NoblePeripheral): void {
    this.#heardAt.set(peripheral.id, performance.now());
    const { localName, serviceUuids } = peripheral.advertisement;
    this.events.emit('advertisement', {
      address: peripheral.address.toLowerCase(),
      name: localName === undefined || localName.trim() === '' ? undefined : localName.trim(),
      rssi: Number.isFinite(peripheral.rssi) ? peripheral.rssi : null,
      serviceUuids: serviceUuids ?? [],
    });
  }

  /** noble never prunes what it heard: in a busy place its caches would grow for months. */
  #prune(noble: Noble): void {
    const oldest = performance.now() - FORGET_AFTER_MS;
    const { _addresses, _addresseTypes, _connectable, scannable, _gap } = noble._bindings;
    for (const [id, heardAt] of this.#heardAt) {
      const peripheral = noble._peripherals[id];
      if (heardAt > oldest || (peripheral !== undefined && peripheral.state !== 'disconnected' && peripheral.state !== 'error'))
        continue;
      this.#heardAt.delete(id);
      if (peripheral !== undefined && _gap?._discoveries !== undefined) delete _gap._discoveries[peripheral.address];
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
    if (noble === undefined || this.#state !== 'powered_on') throw new Error('the radio is not powered on');
    this.#prune(noble);
    noble.removeAllListeners('scanStart');
    await new Promise<void>((resolve, reject) => {
      // All advertisements, not only those with 0x180D: straps without it are found by name, and hearing anything is a sign of life.
      noble.startScanning([], false, (error) => (error === undefined || error === null ? resolve() : reject(error)));
    });
  }

  async connect(address: string, { signal, onDisconnect }: ConnectOptions): Promise<RadioConnection> {
    const noble = this.#noble;
    const peripheral = noble?._peripherals[address.replaceAll(':', '')];
    if (noble === undefined || peripheral === undefined) throw new Error('the strap was not heard by this radio');
    peripheral.removeAllListeners();
    if (peripheral.state === 'connected') {
      // A link that nobody owns: noble would refuse to connect, and the strap would stay taken.
      peripheral.disconnect();
      throw new Error('an old link to the strap had to be ended first');
    }
    return await new Promise<RadioConnection>((resolve, reject) => {
      const cancel = (): void => {
        reject(signal.reason as Error);
        peripheral.removeAllListeners();
        // A connection that comes although it was cancelled is a stray: it is ended as it comes.
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
        if (error !== null && error !== undefined)
          return reject(error instanceof Error ? error : new Error('the connect failed', { cause: error }));
        const connection = new NobleConnection(peripheral, (reason) => {
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
    if (this.#make === undefined) return await this.start();
    this.#setState('starting', 'noble is made anew');
    try {
      this.#begin();
    } catch (error) {
      this.#unusable(error);
    }
    await Promise.resolve();
  }

  /** noble has no end of its own: its timer, socket and process listeners are taken away from it. */
  #discard(): void {
    clearTimeout(this.#powerOn);
    const noble = this.#noble;
    this.#noble = undefined;
    for (const connection of this.#connections) connection.abandon();
    this.#connections.clear();
    this.#heardAt.clear();
    if (noble === undefined) return;
    try {
      // The controller forgets its links and scans; else the old links would stay, owned by nobody.
      if (this.#state === 'powered_on') noble.reset();
      const hci = noble._bindings._hci;
      if (hci !== undefined) {
        hci.pollIsDevUp = () => {};
        hci._socket?.stop?.();
        hci._socket?.removeAllListeners();
        hci._socket?.on('error', () => {});
      }
    } catch (error) {
      this.#log.debug({ event: 'noble_discard_failed', err: error }, 'an old noble could not be ended in order');
    }
    for (const listener of this.#exitListeners) process.removeListener('exit', listener);
    this.#exitListeners = [];
    noble.removeAllListeners();
    noble.on('warning', () => {});
  }

  async stop(): Promise<void> {
    try {
      if (this.#state === 'powered_on') this.#noble?.stopScanning();
    } catch {
      // It is being ended anyway.
    }
    this.#discard();
    this.#setState('powered_off', 'stopped');
    await Promise.resolve();
  }
}
