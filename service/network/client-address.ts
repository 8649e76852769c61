/** Whom a limit per client counts as one: an IPv4 address, or the /64 network of an IPv6 address, which one host has to itself. */
import { isIPv4, isIPv6 } from 'node:net';

/** The group of a socket's remote address. IPv4 addresses in IPv6 form are the IPv4 address. */
export function clientGroup(address: string | undefined): string {
  const bare = (address ?? '').replace(/%.*$/, '').toLowerCase();
  const mapped = bare.startsWith('::ffff:') ? bare.slice(7) : bare;
  if (isIPv4(mapped)) return mapped;
  if (!isIPv6(bare) || bare === '::1') return bare === '' ? 'unknown' : bare;
  const [left = '', right = ''] = bare.split('::');
  const head = left === '' ? [] : left.split(':');
  const tail = right === '' ? [] : right.split(':');
  const zeros = Array.from({ length: Math.max(0, 8 - head.length - tail.length) }, () => '0');
  const network = [...head, ...zeros, ...tail].slice(0, 4).map((part) => Number.parseInt(part, 16).toString(16));
  return `${network.join(':')}::/64`;
}
