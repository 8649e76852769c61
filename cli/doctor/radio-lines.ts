/** Checks the Bluetooth adapter through the kernel's files: no radio is opened, so a running bridge is not disturbed. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Config } from '../../service/config/config.ts';
import { adapterNumber, adaptersFolder } from '../../service/bluetooth/adapter.ts';
import { messageOf } from '../../service/errors/errors.ts';
import { doctorInContainer, fail, ok, warn, type DoctorLine } from './check-line.ts';
import { listAdapters, type AdapterPower } from './hci-adapters.ts';
import { insideContainer, SYSTEM, type System } from './system.ts';

const CAP_NET_ADMIN = 12n;
const CAP_NET_RAW = 13n;

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return undefined;
  }
}

function adapterLine(config: Config, folders: System): DoctorLine {
  const folder = adaptersFolder(folders.sys);
  if (!existsSync(folder))
    return config.BLE_SOURCE === 'noble'
      ? fail(
          'adapter',
          'the kernel has no Bluetooth',
          'Plug in an adapter, load the module (modprobe btusb), or set BLE_SOURCE=simulated.',
        )
      : warn(
          'adapter',
          'the kernel has no Bluetooth: straps are simulated as long as the target is the local stream',
          'Plug in an adapter to receive readings of real straps.',
        );
  const adapters = readdirSync(folder).filter((name) => /^hci\d+$/.test(name));
  if (adapters.includes(config.BLE_ADAPTER)) return ok('adapter', `${config.BLE_ADAPTER} is present`);
  if (adapters.length > 0)
    return fail(
      'adapter',
      `${config.BLE_ADAPTER} is missing; present: ${adapters.join(', ')}`,
      `Set BLE_ADAPTER=${adapters[0]}.`,
    );
  return warn(
    'adapter',
    'no adapter is plugged in',
    'Plug in a Bluetooth adapter; on a Raspberry Pi check that config.txt does not disable it.',
  );
}

/** Whether the adapter is powered on, as the kernel reports it. */
function powerLine(config: Config, adapters: () => readonly AdapterPower[]): DoctorLine {
  const id = adapterNumber(config);
  try {
    const adapter = adapters().find(({ devId }) => devId === id);
    if (adapter === undefined)
      return fail(
        'power',
        `the kernel does not list ${config.BLE_ADAPTER}`,
        'Unplug the adapter, plug it in again, and check dmesg.',
      );
    if (adapter.devUp === true) return ok('power', `${config.BLE_ADAPTER} is powered on`);
    return fail(
      'power',
      `${config.BLE_ADAPTER} is powered off`,
      `Run: rfkill unblock bluetooth; bluetoothctl power on (or hciconfig ${config.BLE_ADAPTER} up)`,
    );
  } catch (error) {
    return warn(
      'power',
      `unknown: ${messageOf(error)}`,
      'Install the optional package @abandonware/noble (npm ci with python3, make and g++), and see the other radio lines.',
    );
  }
}

function rfkillLine(folders: System): DoctorLine {
  const folder = path.join(folders.sys, 'class/rfkill');
  if (!existsSync(folder)) return ok('rfkill', 'Bluetooth is not blocked');
  for (const name of readdirSync(folder)) {
    const at = path.join(folder, name);
    if (read(path.join(at, 'type')) !== 'bluetooth') continue;
    if (read(path.join(at, 'hard')) === '1')
      return fail('rfkill', 'Bluetooth is blocked by a hardware switch', 'Turn on the hardware switch of this machine.');
    if (read(path.join(at, 'soft')) === '1')
      return fail('rfkill', 'Bluetooth is blocked by software', 'Run: rfkill unblock bluetooth');
  }
  return ok('rfkill', 'Bluetooth is not blocked');
}

function capabilityLine(config: Config, folders: System): DoctorLine {
  const effective = /^CapEff:\s*([0-9a-f]+)/m.exec(read(path.join(folders.proc, 'self/status')) ?? '')?.[1];
  const bits = BigInt(`0x${effective ?? '0'}`);
  const has = (capability: bigint): boolean => ((bits >> capability) & 1n) === 1n;
  if (has(CAP_NET_RAW) && has(CAP_NET_ADMIN)) return ok('capabilities', 'CAP_NET_RAW and CAP_NET_ADMIN are present');
  const found = 'this process may not open HCI sockets: it lacks CAP_NET_RAW or CAP_NET_ADMIN';
  const advice = 'Run it as the systemd unit or in the container, which have both; for a trial run it as root.';
  return config.BLE_SOURCE === 'noble' ? fail('capabilities', found, advice) : warn('capabilities', found, advice);
}

function processNames(folders: System): string[] {
  try {
    return readdirSync(folders.proc)
      .filter((name) => /^\d+$/.test(name))
      .flatMap((pid) => read(path.join(folders.proc, pid, 'comm')) ?? []);
  } catch {
    return [];
  }
}

function contentionLine(folders: System): DoctorLine {
  // A container does not see the processes of the host.
  if (insideContainer(folders))
    return warn(
      'bluetoothd',
      'not visible from inside a container',
      'On the host: systemctl is-active bluetooth. If it is, and straps connect and drop: systemctl disable --now bluetooth',
    );
  if (!processNames(folders).includes('bluetoothd')) return ok('bluetoothd', 'not running');
  return warn(
    'bluetoothd',
    'running: it may take over the adapter or its connections',
    'If straps connect and drop: systemctl disable --now bluetooth',
  );
}

/** A container's own network has only ends of veth pairs, whose peers (`iflink`) are outside; a host has other interfaces too. */
function hasHostNetwork(folders: System): boolean {
  const folder = path.join(folders.sys, 'class/net');
  const interfaces = existsSync(folder) ? readdirSync(folder).filter((name) => name !== 'lo') : [];
  return interfaces.some((name) => read(path.join(folder, name, 'ifindex')) === read(path.join(folder, name, 'iflink')));
}

function networkLine(folders: System): DoctorLine {
  if (!insideContainer(folders)) return ok('host network', 'not in a container');
  if (hasHostNetwork(folders)) return ok('host network', "this container uses the host's network");
  return warn(
    'host network',
    "this container has its own network, and HCI sockets exist only in the host's",
    `If this is the ble-bridge, give it network_mode: host. Otherwise run: ${doctorInContainer('ble-bridge')}`,
  );
}

/** Everything about the radio that can be checked without opening it. `folders` and `adapters` are replaced in tests. */
export function radioLines(
  config: Config,
  folders: System = SYSTEM,
  adapters: () => readonly AdapterPower[] = listAdapters,
): DoctorLine[] {
  const adapter = adapterLine(config, folders);
  const power = adapter.status === 'ok' ? [powerLine(config, adapters)] : [];
  return [adapter, ...power, rfkillLine(folders), capabilityLine(config, folders), contentionLine(folders), networkLine(folders)];
}
