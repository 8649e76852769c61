/** Checks the Bluetooth adapter through the kernel's files: no radio is opened, so a running bridge is not disturbed. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Config } from '../../service/config/config.ts';
import {
  adaptersFolder,
  adapterText,
  chooseAdapter,
  listedAdapters,
  wantedAdapter,
  type Adapter,
} from '../../service/bluetooth/adapter.ts';
import {
  adapterPowers,
  BUILD_SOCKET_HINT,
  isSocketNotBuilt,
  SOCKET_NOT_BUILT,
  type AdapterPower,
} from '../../service/bluetooth/hci-socket.ts';
import { messageOf } from '../../service/errors/errors.ts';
import { doctorInContainer, fail, ok, warn, type DoctorLine } from './check-line.ts';
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

function noBluetoothLine(config: Config): DoctorLine {
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
}

/** The adapter that the bridge would use, and the line about it. */
function adapterLine(config: Config, folders: System, present: readonly Adapter[]): { line: DoctorLine; chosen?: Adapter } {
  if (!existsSync(adaptersFolder(folders.sys))) return { line: noBluetoothLine(config) };
  const wanted = wantedAdapter(config);
  const chosen = present.find(({ number }) => number === chooseAdapter(config, present));
  const names = present.map(adapterText).join(', ');
  if (chosen === undefined || (wanted !== undefined && 'address' in wanted && chosen.address !== wanted.address)) {
    if (present.length === 0)
      return {
        line: warn(
          'adapter',
          'no adapter is plugged in',
          'Plug in a Bluetooth adapter; on a Raspberry Pi check that config.txt does not disable it.',
        ),
      };
    const [first] = present;
    const unknown = wanted !== undefined && 'address' in wanted && present.some(({ address }) => address === undefined);
    if (unknown)
      return {
        line: warn(
          'adapter',
          `the addresses of these adapters are unknown: ${names}`,
          'Run the doctor as root or with CAP_NET_ADMIN; the bridge itself asks each adapter for its address.',
        ),
      };
    const name = `hci${first?.number ?? 0}`;
    const advice =
      first?.address === undefined ? `Set BLE_ADAPTER=${name}.` : `Set BLE_ADAPTER=${name}, or BLE_ADAPTER=${first.address}.`;
    return { line: fail('adapter', `${config.BLE_ADAPTER} is missing; present: ${names}`, advice) };
  }
  return { line: ok('adapter', `${adapterText(chosen)} is present`), chosen };
}

/** Whether the adapter is powered on, as the kernel reports it. */
function powerLine({ number, isUp }: Adapter, problem: string | undefined): DoctorLine {
  const name = `hci${number}`;
  if (problem !== undefined) return warn('power', `unknown: ${problem}`, 'See the other radio lines.');
  if (isUp === undefined)
    return fail('power', `the kernel does not list ${name}`, 'Unplug the adapter, plug it in again, and check dmesg.');
  if (isUp) return ok('power', `${name} is powered on`);
  return fail(
    'power',
    `${name} is powered off`,
    `Run: rfkill unblock bluetooth; bluetoothctl power on (or hciconfig ${name} up)`,
  );
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

/** The adapters of sysfs, with the power states that the socket reports; `problem`: why it reports none. */
function adaptersWithPower(
  folders: System,
  adapters: () => readonly AdapterPower[],
): { present: Adapter[]; problem: string | undefined; isBuilt: boolean } {
  const present = listedAdapters(folders.sys);
  try {
    const powers = adapters();
    return {
      present: present.map((adapter) => {
        const power = powers.find(({ devId }) => devId === adapter.number);
        const address = adapter.address ?? power?.address;
        return { ...adapter, ...(address === undefined ? {} : { address }), isUp: power?.devUp ?? undefined };
      }),
      problem: undefined,
      isBuilt: true,
    };
  } catch (error) {
    return { present, problem: messageOf(error), isBuilt: !isSocketNotBuilt(error) };
  }
}

/** Everything about the radio that can be checked without opening it. `folders` and `adapters` are replaced in tests. */
export function radioLines(
  config: Config,
  folders: System = SYSTEM,
  adapters: () => readonly AdapterPower[] = adapterPowers,
): DoctorLine[] {
  const { present, problem, isBuilt } = adaptersWithPower(folders, adapters);
  const { line, chosen } = adapterLine(config, folders, present);
  // What is not built is said once.
  const power = chosen === undefined || !isBuilt ? [] : [powerLine(chosen, problem)];
  const socket = isBuilt ? [] : [(config.BLE_SOURCE === 'noble' ? fail : warn)('socket', SOCKET_NOT_BUILT, BUILD_SOCKET_HINT)];
  return [
    line,
    ...socket,
    ...power,
    rfkillLine(folders),
    capabilityLine(config, folders),
    contentionLine(folders),
    networkLine(folders),
  ];
}
