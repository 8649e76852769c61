/** Looks at the Bluetooth adapter from the system's side: no radio is opened, so a running bridge is not disturbed. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Config } from '../../service/config/config.ts';
import { adaptersFolder } from '../../service/bluetooth/adapter.ts';
import { messageOf } from '../../service/errors/errors.ts';
import { fail, ok, warn, type DoctorLine } from './check-line.ts';
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
          'the kernel has no Bluetooth: straps are simulated while the target is local',
          'Plug in an adapter to hear real straps.',
        );
  const adapters = readdirSync(folder).filter((name) => /^hci\d+$/.test(name));
  if (adapters.includes(config.BLE_ADAPTER)) return ok('adapter', `${config.BLE_ADAPTER} is present`);
  if (adapters.length > 0)
    return fail('adapter', `no ${config.BLE_ADAPTER}; there is ${adapters.join(', ')}`, `Set BLE_ADAPTER=${adapters[0]}.`);
  return warn(
    'adapter',
    'no adapter is plugged in',
    'Plug in a Bluetooth adapter; on a Raspberry Pi check that it is not disabled in config.txt.',
  );
}

/** Whether the adapter is switched on, as the kernel says; nothing where there is no adapter to ask for. */
function powerLine(config: Config, adapters: () => readonly AdapterPower[]): DoctorLine {
  const id = Number(config.BLE_ADAPTER.slice('hci'.length));
  try {
    const adapter = adapters().find(({ devId }) => devId === id);
    if (adapter === undefined)
      return fail('power', `the kernel lists no ${config.BLE_ADAPTER}`, 'Plug the adapter in again, and look at dmesg.');
    if (adapter.devUp === true) return ok('power', `${config.BLE_ADAPTER} is switched on`);
    return fail(
      'power',
      `${config.BLE_ADAPTER} is switched off`,
      `Run: rfkill unblock bluetooth; bluetoothctl power on (or hciconfig ${config.BLE_ADAPTER} up)`,
    );
  } catch (error) {
    return warn(
      'power',
      `cannot be asked: ${messageOf(error)}`,
      'Install the optional package @abandonware/noble (npm ci with python3, make and g++), and see the lines beside this one.',
    );
  }
}

function rfkillLine(folders: System): DoctorLine {
  const folder = path.join(folders.sys, 'class/rfkill');
  if (!existsSync(folder)) return ok('rfkill', 'no switch blocks the radio');
  for (const name of readdirSync(folder)) {
    const at = path.join(folder, name);
    if (read(path.join(at, 'type')) !== 'bluetooth') continue;
    if (read(path.join(at, 'hard')) === '1')
      return fail('rfkill', 'Bluetooth is blocked by a hardware switch', 'Turn the switch of the machine on.');
    if (read(path.join(at, 'soft')) === '1')
      return fail('rfkill', 'Bluetooth is blocked by software', 'Run: rfkill unblock bluetooth');
  }
  return ok('rfkill', 'no switch blocks the radio');
}

function capabilityLine(config: Config, folders: System): DoctorLine {
  const effective = /^CapEff:\s*([0-9a-f]+)/m.exec(read(path.join(folders.proc, 'self/status')) ?? '')?.[1];
  const bits = BigInt(`0x${effective ?? '0'}`);
  const has = (capability: bigint): boolean => ((bits >> capability) & 1n) === 1n;
  if (has(CAP_NET_RAW) && has(CAP_NET_ADMIN)) return ok('capabilities', 'CAP_NET_RAW and CAP_NET_ADMIN are there');
  const words = 'this user may not open HCI sockets (CAP_NET_RAW, CAP_NET_ADMIN are missing)';
  const advice = 'Run as the systemd unit or in the container, which have both; or as root to try.';
  return config.BLE_SOURCE === 'noble' ? fail('capabilities', words, advice) : warn('capabilities', words, advice);
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
  // A container has processes of its own: those of the host are not seen.
  if (insideContainer(folders))
    return warn(
      'bluetoothd',
      'cannot be seen from inside a container',
      'On the host: systemctl is-active bluetooth. If it is, and straps connect and drop: systemctl disable --now bluetooth',
    );
  if (!processNames(folders).includes('bluetoothd')) return ok('bluetoothd', 'does not run');
  return warn(
    'bluetoothd',
    'runs and may take the adapter or its connections',
    'If straps connect and drop: systemctl disable --now bluetooth',
  );
}

/** A network of its own is nothing but ends of pairs, whose other ends (`iflink`) are outside; a host has something of its own. */
function hasHostNetwork(folders: System): boolean {
  const folder = path.join(folders.sys, 'class/net');
  const interfaces = existsSync(folder) ? readdirSync(folder).filter((name) => name !== 'lo') : [];
  return interfaces.some((name) => read(path.join(folder, name, 'ifindex')) === read(path.join(folder, name, 'iflink')));
}

function networkLine(folders: System): DoctorLine {
  if (!insideContainer(folders)) return ok('host network', 'not in a container');
  if (hasHostNetwork(folders)) return ok('host network', "the container is in the host's network");
  return warn(
    'host network',
    "this container has a network of its own: HCI sockets exist only in the host's",
    'Where this is the ble-bridge, give it network_mode: host. Else: docker compose run --rm --no-deps ble-bridge node dist/cli/doctor/main.js',
  );
}

/** Everything about the radio that can be seen without opening it. */
export function radioLines(
  config: Config,
  folders: System = SYSTEM,
  adapters: () => readonly AdapterPower[] = listAdapters,
): DoctorLine[] {
  const adapter = adapterLine(config, folders);
  const power = adapter.status === 'ok' ? [powerLine(config, adapters)] : [];
  return [adapter, ...power, rfkillLine(folders), capabilityLine(config, folders), contentionLine(folders), networkLine(folders)];
}
