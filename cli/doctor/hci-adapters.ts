/** Asks the kernel which adapters it has and whether they are on, by the same socket that noble uses. No right is needed for that. */
import { createRequire } from 'node:module';

export interface AdapterPower {
  devId: number | null;
  devUp: boolean | null;
}

interface HciSocket {
  getDeviceList(): AdapterPower[];
}

/** Throws where noble is not installed or the kernel has no Bluetooth. */
export function listAdapters(): readonly AdapterPower[] {
  // The socket is noble's dependency, not ours: it is taken from where noble is.
  const noble = createRequire(import.meta.url).resolve('@abandonware/noble/with-custom-binding.js');
  const Socket = createRequire(noble)('@abandonware/bluetooth-hci-socket') as new () => HciSocket;
  return new Socket().getDeviceList();
}
