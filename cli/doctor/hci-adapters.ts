/** Asks the kernel for its Bluetooth adapters and their power state, by the HCI socket that noble uses. Needs no capability. */
import { createRequire } from 'node:module';

export interface AdapterPower {
  devId: number | null;
  devUp: boolean | null;
}

interface HciSocket {
  getDeviceList(): AdapterPower[];
}

/** Throws if noble is not installed or the kernel has no Bluetooth. */
export function listAdapters(): readonly AdapterPower[] {
  // The socket is a dependency of noble, not ours: it is resolved from noble's folder.
  const noble = createRequire(import.meta.url).resolve('@abandonware/noble/with-custom-binding.js');
  const Socket = createRequire(noble)('@abandonware/bluetooth-hci-socket') as new () => HciSocket;
  return new Socket().getDeviceList();
}
