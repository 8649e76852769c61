/** Whether the machine has the Bluetooth adapter that BLE_ADAPTER names. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import type { Config } from '../../service/config/config.ts';

/** True if the kernel lists the adapter, whether it is powered on or not. */
export function adapterExists(config: Pick<Config, 'BLE_ADAPTER'>): boolean {
  return existsSync(path.join('/sys/class/bluetooth', config.BLE_ADAPTER));
}

/** The adapter's number, as the kernel counts them: 0 for `hci0`. */
export function adapterNumber(config: Pick<Config, 'BLE_ADAPTER'>): number {
  return Number(config.BLE_ADAPTER.slice('hci'.length));
}
