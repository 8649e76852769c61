/**
 * The Bluetooth adapters of this machine, and which of them BLE_ADAPTER means. The kernel numbers adapters in the order of their
 * appearance: one that is unplugged and returns may have another number (`hci1`). Its address stays the same.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Config } from '../config/config.ts';

export interface Adapter {
  /** As in `hci0`. */
  number: number;
  /** Lower case, with colons; undefined if the kernel did not report it. */
  address?: string | undefined;
  /** Whether it is powered on, if that is known. */
  isUp?: boolean | undefined;
  /** What blocks it (rfkill). */
  blockedBy?: 'hardware' | 'software' | undefined;
}

/** What BLE_ADAPTER names; undefined: any adapter. */
export type WantedAdapter = { number: number } | { address: string } | undefined;

type Setting = Pick<Config, 'BLE_ADAPTER'>;

const ADAPTER = /^hci\d+$/;
const ADDRESS = /^(?!(?:00:){5}00)(?:[0-9a-f]{2}:){5}[0-9a-f]{2}$/;

/** The folder with an entry for each adapter; absent if the kernel has no Bluetooth. Tests pass another `sys`. */
export function adaptersFolder(sys = '/sys'): string {
  return path.join(sys, 'class/bluetooth');
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return undefined;
  }
}

function namesIn(folder: string, pattern: RegExp): string[] {
  try {
    return readdirSync(folder).filter((name) => pattern.test(name));
  } catch {
    return [];
  }
}

/** The adapter's own switch: `rfkill1` in its folder. */
function blockOf(folder: string): Adapter['blockedBy'] {
  for (const name of namesIn(folder, /^rfkill\d+$/)) {
    if (readText(path.join(folder, name, 'hard')) === '1') return 'hardware';
    if (readText(path.join(folder, name, 'soft')) === '1') return 'software';
  }
  return undefined;
}

/** The adapters that the kernel lists, in the order of their numbers. Kernels before 4.1 list their addresses as well. */
export function listedAdapters(sys = '/sys'): Adapter[] {
  const folder = adaptersFolder(sys);
  const names = namesIn(folder, ADAPTER);
  return (names.length === 0 && existsSync(path.join(folder, 'hci0')) ? ['hci0'] : names)
    .map((name): Adapter => {
      const address = readText(path.join(folder, name, 'address'))?.toLowerCase();
      return {
        number: Number(name.slice('hci'.length)),
        ...(address !== undefined && ADDRESS.test(address) ? { address } : {}),
        blockedBy: blockOf(path.join(folder, name)),
      };
    })
    .sort((a, b) => a.number - b.number);
}

/** Reads BLE_ADAPTER, whose form the configuration has checked: `hci0`, or an address with `:`, `-` or no separators. */
export function wantedAdapter({ BLE_ADAPTER: text }: Setting): WantedAdapter {
  if (text === undefined) return undefined;
  if (ADAPTER.test(text)) return { number: Number(text.slice('hci'.length)) };
  const digits = text.toLowerCase().replace(/[^0-9a-f]/g, '');
  return { address: (digits.match(/../g) ?? []).join(':') };
}

/** How messages name an adapter: `hci0 (00:1a:7d:da:71:13)`. */
export const adapterText = ({ number, address }: Adapter): string =>
  address === undefined ? `hci${number}` : `hci${number} (${address})`;

/** What BLE_ADAPTER names, for messages. */
export function wantedText(setting: Setting): string {
  const wanted = wantedAdapter(setting);
  if (wanted === undefined) return 'Bluetooth adapter';
  return 'number' in wanted ? `Bluetooth adapter hci${wanted.number}` : `Bluetooth adapter with the address ${wanted.address}`;
}

/**
 * True if the kernel lists an adapter that may be the wanted one, whether it is powered on or not. With an address any adapter may be it:
 * the address is known only after the adapter was asked.
 */
export function adapterExists(setting: Setting): boolean {
  const wanted = wantedAdapter(setting);
  if (wanted !== undefined && 'number' in wanted) return existsSync(path.join(adaptersFolder(), `hci${wanted.number}`));
  return listedAdapters().length > 0;
}

/**
 * Which adapter to use. `last`: the one in use before, which is followed to another number, even if BLE_ADAPTER names a number.
 * `tries`: so many adapters of unknown address turned out not to be the wanted one. Undefined: the wanted one is certainly not there.
 */
export function chooseAdapter(setting: Setting, present: readonly Adapter[], last?: Adapter, tries = 0): number | undefined {
  const wanted = wantedAdapter(setting);
  const withAddress = (address: string | undefined): number | undefined =>
    address === undefined ? undefined : present.find((adapter) => adapter.address === address)?.number;
  if (wanted !== undefined && 'address' in wanted) {
    const found = withAddress(wanted.address);
    if (found !== undefined) return found;
    const unknown = present.filter(({ address }) => address === undefined);
    // No list at all: noble tells whether there is an adapter.
    if (present.length === 0) return last?.number ?? 0;
    return unknown[tries % unknown.length]?.number;
  }
  const followed = withAddress(last?.address);
  if (followed !== undefined) return followed;
  if (wanted !== undefined) return wanted.number;
  const same = present.find(({ number, address }) => number === last?.number && address === undefined);
  const [first] = present;
  return (same ?? present.find(({ isUp }) => isUp === true) ?? first)?.number ?? last?.number ?? 0;
}
