/**
 * Asks the kernel for its Bluetooth adapters by the HCI socket that noble uses: power state (an ioctl, which needs no capability), and
 * addresses by the management interface (BlueZ, doc/mgmt-api.txt), because sysfs does not have them.
 */
import type { EventEmitter } from 'node:events';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { systemCodeOf } from '../errors/errors.ts';
import { adaptersFolder, listedAdapters, type Adapter } from './adapter.ts';

export interface AdapterPower {
  devId: number | null;
  devUp: boolean | null;
  /** Only in what `powersWithAddresses` returns. */
  address?: string;
}

interface HciSocket extends EventEmitter {
  getDeviceList(): AdapterPower[];
  bindControl(): void;
  start(): void;
  stop(): void;
  write(packet: Buffer): void;
}

/** "Read Controller Information", and the event that answers a command. */
const READ_INFO = 0x0004;
const COMMAND_COMPLETE = 0x0001;
const COMMAND_STATUS = 0x0002;
const POWERED = 0x01;
/** The kernel answers at once. */
const ANSWER_LIMIT_MS = 300;

/** One for all questions: the native socket is closed only when it is collected. */
let shared: HciSocket | undefined;
let isControl = false;

function sharedSocket(): HciSocket {
  if (shared === undefined) {
    // The socket is a dependency of noble, not ours: it is resolved from noble's folder.
    const noble = createRequire(import.meta.url).resolve('@abandonware/noble/with-custom-binding.js');
    const Socket = createRequire(noble)('@abandonware/bluetooth-hci-socket') as new () => HciSocket;
    shared = new Socket();
    shared.on('error', () => {});
  }
  return shared;
}

/** What a person has to know if this installation has no usable socket, and what to do. */
export const SOCKET_NOT_BUILT = 'no Bluetooth socket was built';
export const BUILD_SOCKET_HINT =
  'Install python3, make and g++ and install again (npm ci, or packaging/systemd/install.sh); the Debian package contains the socket.';

/** True if noble or its compiled socket is missing, or was compiled for another version of Node or another processor. */
export function isSocketNotBuilt(error: unknown): boolean {
  const code = systemCodeOf(error);
  return code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND' || code === 'ERR_DLOPEN_FAILED';
}

/** Power states. Throws if noble is not installed or the kernel has no Bluetooth. */
export function adapterPowers(): readonly AdapterPower[] {
  return sharedSocket().getDeviceList();
}

/** A command of the management interface: opcode, adapter, length of its parameters. */
function encodeReadInfo(adapter: number): Buffer {
  const packet = Buffer.alloc(6);
  packet.writeUInt16LE(READ_INFO, 0);
  packet.writeUInt16LE(adapter, 2);
  return packet;
}

/**
 * Reads an answer to "Read Controller Information"; undefined if it is another event. `info` is undefined if the kernel refused: there is
 * no such adapter. Parameters: opcode (2), status (1), address (6, least significant byte first), version (1), manufacturer (2), supported
 * (4) and current settings (4).
 */
export function parseReadInfo(
  event: Buffer,
): { adapter: number; info: { address: string; isUp: boolean } | undefined } | undefined {
  if (event.length < 9 || event.readUInt16LE(6) !== READ_INFO) return undefined;
  const kind = event.readUInt16LE(0);
  if (kind !== COMMAND_COMPLETE && kind !== COMMAND_STATUS) return undefined;
  const adapter = event.readUInt16LE(2);
  if (kind === COMMAND_STATUS || event.readUInt8(8) !== 0 || event.length < 26) return { adapter, info: undefined };
  const bytes = [...event.subarray(9, 15)].reverse();
  const address = bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':');
  return { adapter, info: { address, isUp: (event.readUInt32LE(22) & POWERED) !== 0 } };
}

/** Addresses and power states of these adapters, as far as the kernel reports them. Throws as `adapterPowers` does. */
async function readInfo(numbers: readonly number[]): Promise<Map<number, { address: string; isUp: boolean }>> {
  const socket = sharedSocket();
  if (!isControl) socket.bindControl();
  isControl = true;
  const found = new Map<number, { address: string; isUp: boolean }>();
  const open = new Set(numbers);
  await new Promise<void>((resolve) => {
    const timer = setTimeout(finish, ANSWER_LIMIT_MS);
    function finish(): void {
      clearTimeout(timer);
      socket.removeListener('data', onData);
      socket.stop();
      resolve();
    }
    function onData(event: Buffer): void {
      const answer = parseReadInfo(event);
      if (answer === undefined) return;
      if (answer.info !== undefined) found.set(answer.adapter, answer.info);
      open.delete(answer.adapter);
      if (open.size === 0) finish();
    }
    socket.on('data', onData);
    socket.start();
    for (const number of numbers) socket.write(encodeReadInfo(number));
  });
  return found;
}

let reading: Promise<Adapter[]> = Promise.resolve([]);

/**
 * The adapters of this machine, with address and power state if the kernel reports them. Never rejects: without noble, rights or Bluetooth
 * what is unknown is absent. Calls do not overlap.
 */
export async function findAdapters(): Promise<Adapter[]> {
  reading = reading.then(readAdapters);
  return await reading;
}

async function readAdapters(): Promise<Adapter[]> {
  const byNumber = new Map(listedAdapters().map((adapter) => [adapter.number, adapter]));
  // Without this folder the kernel has no Bluetooth, and a socket cannot be made.
  if (!existsSync(adaptersFolder())) return [];
  try {
    for (const { devId, devUp } of adapterPowers())
      if (devId !== null) byNumber.set(devId, { ...(byNumber.get(devId) ?? { number: devId }), isUp: devUp ?? undefined });
    if (byNumber.size > 0)
      for (const [number, { address, isUp }] of await readInfo([...byNumber.keys()])) {
        const adapter = byNumber.get(number);
        // An adapter that is being set up has no address yet.
        if (adapter !== undefined) byNumber.set(number, { ...adapter, isUp, ...(/[1-9a-f]/.test(address) ? { address } : {}) });
      }
  } catch {
    // What is known without the socket has to do.
  }
  return [...byNumber.values()].sort((a, b) => a.number - b.number);
}

/** Power states and addresses. Rejects as `adapterPowers` throws. */
export async function powersWithAddresses(): Promise<readonly AdapterPower[]> {
  // Without Bluetooth in the kernel the native socket cannot be made, and what is left of the attempt aborts the process when it ends.
  if (!existsSync(adaptersFolder())) return [];
  const powers = adapterPowers();
  const addresses = new Map((await findAdapters()).map(({ number, address }) => [number, address]));
  return powers.map((power) => {
    const address = power.devId === null ? undefined : addresses.get(power.devId);
    return { ...power, ...(address === undefined ? {} : { address }) };
  });
}
