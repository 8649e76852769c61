/** Finds the adapter that BLE_ADAPTER means, follows it to another number, and says why there is none. */
import {
  adapterExists,
  adapterText,
  chooseAdapter,
  listedAdapters,
  wantedAdapter,
  wantedText,
  type Adapter,
} from '../../../service/bluetooth/adapter.ts';
import { adapterPowers, findAdapters } from '../../../service/bluetooth/hci-socket.ts';
import type { Config } from '../../../service/config/config.ts';
import type { Logger } from '../../../service/log/log.ts';
import type { RadioState } from '../radio.ts';
import { UNAVAILABLE_REASONS } from './noble-errors.ts';

export interface Unavailable {
  state: Exclude<RadioState, 'starting' | 'powered_on'>;
  reason: string;
  /** What to do; undefined: nothing special. */
  hint: string | undefined;
}

export class AdapterSearch {
  readonly #setting: Pick<Config, 'BLE_ADAPTER'>;
  readonly #log: Logger;
  #present: readonly Adapter[] = [];
  #number: number | undefined;
  /** The one that was powered on last. */
  #last: Adapter | undefined;
  /** Adapters that were opened and are not the wanted one. */
  #tries = 0;

  constructor(setting: Pick<Config, 'BLE_ADAPTER'>, log: Logger) {
    this.#setting = setting;
    this.#log = log;
  }

  /** The number of the chosen adapter; undefined if there is none. */
  get number(): number | undefined {
    return this.#number;
  }

  /** Whether the kernel lists the chosen adapter. */
  get isPresent(): boolean {
    return this.#chosen !== undefined;
  }

  /** Whether the kernel lists an adapter that may be the wanted one, or the one in use before with another number. */
  get mayBePresent(): boolean {
    return adapterExists(this.#setting) || (this.#last !== undefined && listedAdapters().length > 0);
  }

  get #chosen(): Adapter | undefined {
    return this.#present.find(({ number }) => number === this.#number);
  }

  /** Asks the kernel, and chooses. */
  async choose(): Promise<number | undefined> {
    this.#present = await findAdapters();
    this.#number = chooseAdapter(this.#setting, this.#present, this.#last, this.#tries);
    return this.#number;
  }

  /** Updates what the kernel reports without its management interface. */
  refresh(): void {
    const known = new Map(this.#present.map((adapter) => [adapter.number, adapter]));
    this.#present = listedAdapters().map((adapter) => ({ ...known.get(adapter.number), ...adapter }));
    if (this.#present.length === 0) return;
    try {
      for (const { devId, devUp } of adapterPowers()) {
        const at = this.#present.find(({ number }) => number === devId);
        if (at !== undefined) at.isUp = devUp ?? undefined;
        else if (devId !== null) this.#present = [...this.#present, { number: devId, isUp: devUp ?? undefined }];
      }
    } catch {
      // Without the socket there are only the names.
    }
  }

  /** The chosen adapter is powered on and has told its address. False if it is not the wanted one. */
  confirm(text: string | undefined): boolean {
    const number = this.#number;
    if (number === undefined) return false;
    const address = text === undefined || text === 'unknown' ? undefined : text.toLowerCase();
    const wanted = wantedAdapter(this.#setting);
    if (wanted !== undefined && 'address' in wanted && address !== undefined && address !== wanted.address) {
      this.#tries += 1;
      this.#present = this.#present.map((adapter) => (adapter.number === number ? { ...adapter, address } : adapter));
      return false;
    }
    const before = this.#last;
    if (before !== undefined && before.number !== number)
      this.#log.warn(
        {
          event: 'adapter_moved',
          adapter: `hci${number}`,
          before: `hci${before.number}`,
          address,
          address_before: before.address,
        },
        before.address === address ? 'the adapter has another number now' : 'using another adapter',
      );
    this.#last = { number, address };
    return true;
  }

  /** Why the chosen adapter cannot be used. */
  unavailable(): Unavailable {
    const chosen = this.#chosen;
    if (chosen === undefined) return this.#missing();
    const name = adapterText(chosen);
    if (chosen.blockedBy === 'hardware')
      return {
        state: 'powered_off',
        reason: `${name} is blocked by a hardware switch (rfkill)`,
        hint: 'Turn on the switch for Bluetooth or radio of this machine.',
      };
    if (chosen.blockedBy === 'software')
      return { state: 'powered_off', reason: `${name} is blocked by software (rfkill)`, hint: 'Run: rfkill unblock bluetooth' };
    const wanted = wantedAdapter(this.#setting);
    if (wanted !== undefined && 'address' in wanted && chosen.address !== undefined && chosen.address !== wanted.address)
      return this.#missing();
    if (chosen.isUp === true)
      return { state: 'powered_off', reason: `${name} is powered on, but does not answer`, hint: undefined };
    return {
      state: 'powered_off',
      reason: `${name} is powered off`,
      hint: `Run: bluetoothctl power on (or hciconfig hci${chosen.number} up)`,
    };
  }

  #missing(): Unavailable {
    const { BLE_ADAPTER } = this.#setting;
    const others = this.#present.map(adapterText).join(', ');
    if (others === '')
      return {
        state: 'missing',
        reason: BLE_ADAPTER === undefined ? UNAVAILABLE_REASONS.missing : `${UNAVAILABLE_REASONS.missing} (${BLE_ADAPTER})`,
        hint: 'Plug in the adapter; it is used as soon as it appears.',
      };
    return {
      state: 'missing',
      reason: `there is no ${wantedText(this.#setting)}; present: ${others}`,
      hint: 'Plug in that adapter, or correct BLE_ADAPTER.',
    };
  }
}
