/** Looks at the Bluetooth adapter from the system's side: no radio is opened, so a running bridge is not disturbed. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Config } from '../../service/config.ts';
import { fail, ok, warn, type DoctorLine } from './check-line.ts';

/** Folders that the system shows its state in; replaced in tests. */
export interface SystemFolders {
  sys: string;
  proc: string;
}

const CAP_NET_ADMIN = 12n;
const CAP_NET_RAW = 13n;

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return undefined;
  }
}

function adapterLine(config: Config, folders: SystemFolders): DoctorLine {
  const folder = path.join(folders.sys, 'class/bluetooth');
  if (!existsSync(folder)) return config.BLE_SOURCE === 'noble'
    ? fail('adapter', 'the kernel has no Bluetooth', 'Plug in an adapter, load the module (modprobe btusb), or set BLE_SOURCE=simulated.')
    : warn('adapter', 'the kernel has no Bluetooth: straps are simulated while the target is local', 'Plug in an adapter to hear real straps.');
  const adapters = readdirSync(folder).filter((name) => /^hci\d+$/.test(name));
  if (adapters.includes(config.BLE_ADAPTER)) return ok('adapter', `${config.BLE_ADAPTER} is present`);
  if (adapters.length > 0) return fail('adapter', `no ${config.BLE_ADAPTER}; there is ${adapters.join(', ')}`, `Set BLE_ADAPTER=${adapters[0]}.`);
  return warn('adapter', 'no adapter is plugged in', 'Plug in a Bluetooth adapter; on a Raspberry Pi check that it is not disabled in config.txt.');
}

function rfkillLine(folders: SystemFolders): DoctorLine {
  const folder = path.join(folders.sys, 'class/rfkill');
  if (!existsSync(folder)) return ok('rfkill', 'no switch blocks the radio');
  for (const name of readdirSync(folder)) {
    const at = path.join(folder, name);
    if (read(path.join(at, 'type')) !== 'bluetooth') continue;
    if (read(path.join(at, 'hard')) === '1') return fail('rfkill', 'Bluetooth is blocked by a hardware switch', 'Turn the switch of the machine on.');
    if (read(path.join(at, 'soft')) === '1') return fail('rfkill', 'Bluetooth is blocked by software', 'Run: rfkill unblock bluetooth');
  }
  return ok('rfkill', 'no switch blocks the radio');
}

function capabilityLine(config: Config, folders: SystemFolders): DoctorLine {
  const effective = /^CapEff:\s*([0-9a-f]+)/m.exec(read(path.join(folders.proc, 'self/status')) ?? '')?.[1];
  const bits = BigInt(`0x${effective ?? '0'}`);
  const has = (capability: bigint): boolean => ((bits >> capability) & 1n) === 1n;
  if (has(CAP_NET_RAW) && has(CAP_NET_ADMIN)) return ok('capabilities', 'CAP_NET_RAW and CAP_NET_ADMIN are there');
  const words = 'this user may not open HCI sockets (CAP_NET_RAW, CAP_NET_ADMIN are missing)';
  const advice = 'Run as the systemd unit or in the container, which have both; or as root to try.';
  return config.BLE_SOURCE === 'noble' ? fail('capabilities', words, advice) : warn('capabilities', words, advice);
}

function processNames(folders: SystemFolders): string[] {
  try {
    return readdirSync(folders.proc).filter((name) => /^\d+$/.test(name)).flatMap((pid) => read(path.join(folders.proc, pid, 'comm')) ?? []);
  } catch {
    return [];
  }
}

function contentionLine(folders: SystemFolders): DoctorLine {
  if (!processNames(folders).includes('bluetoothd')) return ok('bluetoothd', 'does not run');
  return warn('bluetoothd', 'runs and may take the adapter or its connections', 'If straps connect and drop: systemctl disable --now bluetooth');
}

function networkLine(folders: SystemFolders): DoctorLine {
  const inContainer = existsSync('/.dockerenv');
  if (!inContainer) return ok('host network', 'not in a container');
  if (existsSync(path.join(folders.sys, 'class/net/docker0')) || existsSync(path.join(folders.sys, 'class/bluetooth'))) return ok('host network', 'the container sees the host\'s network');
  return warn('host network', 'this container has a network of its own: HCI sockets exist only in the host\'s', 'Run the doctor in the ble-bridge container, which has network_mode: host.');
}

/** Everything about the radio that can be seen without opening it. */
export function radioLines(config: Config, folders: SystemFolders = { sys: '/sys', proc: '/proc' }): DoctorLine[] {
  return [adapterLine(config, folders), rfkillLine(folders), capabilityLine(config, folders), contentionLine(folders), networkLine(folders)];
}
