/** Where the kernel lists Bluetooth adapters, and whether it lists the configured one. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import type { Config } from '../config/config.ts';

/** The folder with an entry for each adapter; absent if the kernel has no Bluetooth. Tests pass another `sys`. */
export function adaptersFolder(sys = '/sys'): string {
  return path.join(sys, 'class/bluetooth');
}

/** The number of the adapter, as the kernel and noble count: 0 for `hci0`. */
export const adapterNumber = ({ BLE_ADAPTER: name }: Pick<Config, 'BLE_ADAPTER'>): number => Number(name.slice('hci'.length));

/** True if the kernel lists the adapter, whether it is powered on or not. */
export function adapterExists(config: Pick<Config, 'BLE_ADAPTER'>): boolean {
  return existsSync(path.join(adaptersFolder(), config.BLE_ADAPTER));
}
