/**
 * What the system holds for connections whose clients have not read it: up to 4 MiB each by default (net.ipv4.tcp_wmem), which Node neither
 * counts nor can bound. A thousand clients that do not read would cost gigabytes before the first byte waits in this process. Linux only:
 * elsewhere nothing is known.
 */
import { readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { addressDigits } from './client-address.ts';

/** The tables of this network namespace (proc_net_tcp in the kernel's documentation). */
const TABLES = ['/proc/self/net/tcp', '/proc/self/net/tcp6'];
const LISTENING = '0A';
/** Ports, remote address, state and unread bytes of lines that have some: after a flood most lines are of connections that are closed. */
const WITH_UNREAD = /:([\dA-F]{4}) ([\dA-F]+):([\dA-F]{4}) ([\dA-F]{2}) (?!0{8})([\dA-F]{8}):/g;

type Ends = Pick<Socket, 'localPort' | 'remoteAddress' | 'remotePort'>;

/** Names a connection, in the same way as `readUnreadBytes`. */
export const connectionKey = ({ localPort, remoteAddress, remotePort }: Ends): string =>
  `${localPort ?? 0} ${addressDigits(remoteAddress) ?? ''} ${remotePort ?? 0}`;

/** The kernel writes an address as words in the machine's byte order, which is little-endian wherever Node is released. */
function digitsOf(written: string): string {
  const bigEndian = (written.toLowerCase().match(/.{8}/g) ?? [])
    .map((word) => (word.match(/../g) ?? []).reverse().join(''))
    .join('');
  return bigEndian.length === 32 && bigEndian.startsWith(`${'0'.repeat(20)}ffff`) ? bigEndian.slice(24) : bigEndian;
}

/** Bytes that were sent and are not acknowledged by the client's system, by `connectionKey`; connections without any are left out. */
export function parseUnreadBytes(table: string): Map<string, number> {
  const unread = new Map<string, number>();
  for (const [, localPort = '', address = '', port = '', state, bytes = ''] of table.matchAll(WITH_UNREAD)) {
    if (state === LISTENING) continue;
    unread.set(`${Number.parseInt(localPort, 16)} ${digitsOf(address)} ${Number.parseInt(port, 16)}`, Number.parseInt(bytes, 16));
  }
  return unread;
}

/** As `parseUnreadBytes`, of all connections now. Never rejects: where the system does not tell, nothing is unread. */
export async function readUnreadBytes(): Promise<ReadonlyMap<string, number>> {
  const tables = await Promise.all(TABLES.map(async (file) => await readFile(file, 'latin1').catch(() => '')));
  return new Map(tables.flatMap((table) => [...parseUnreadBytes(table)]));
}
