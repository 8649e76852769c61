/** Addresses of clients: whom a limit per client counts as one, and an address in a form that can be compared. */
import { isIPv4, isIPv6 } from 'node:net';

/** Groups of an IPv6 address, and of its network. */
const GROUPS = 8;
const NETWORK_GROUPS = 4;
/** An IPv4 address in IPv6 form (::ffff:192.0.2.1). */
const IPV4_PREFIX = `${'0'.repeat(20)}ffff`;
const LOOPBACK = '1'.padStart(32, '0');

/** Results that are remembered: a client asks for the same address many times a second when it floods. */
const REMEMBERED_MAX = 2000;

function remembered<Result>(find: (address: string | undefined) => Result): (address: string | undefined) => Result {
  const results = new Map<string | undefined, Result>();
  return (address) => {
    if (results.has(address)) return results.get(address) as Result;
    const result = find(address);
    if (results.size >= REMEMBERED_MAX) results.clear();
    results.set(address, result);
    return result;
  };
}

const bareAddress = (address: string | undefined): string => (address ?? '').replace(/%.*$/, '').toLowerCase();

function ipv4Digits(address: string): string {
  return address
    .split('.')
    .map((part) => Number(part).toString(16).padStart(2, '0'))
    .join('');
}

function findDigits(address: string | undefined): string | undefined {
  const bare = bareAddress(address);
  if (isIPv4(bare)) return ipv4Digits(bare);
  if (!isIPv6(bare)) return undefined;
  const written = bare.replace(/[\d.]+\.\d+$/, (dotted) => ipv4Digits(dotted).replace(/^.{4}/, '$&:'));
  const [left = '', right = ''] = written.split('::');
  const head = left === '' ? [] : left.split(':');
  const tail = right === '' ? [] : right.split(':');
  const zeros = Array.from({ length: GROUPS - head.length - tail.length }, () => '0');
  const digits = [...head, ...zeros, ...tail].map((group) => group.padStart(4, '0')).join('');
  return digits.startsWith(IPV4_PREFIX) ? digits.slice(IPV4_PREFIX.length) : digits;
}

/** An address as hexadecimal digits: 8 for IPv4, also in IPv6 form, 32 for IPv6; undefined if it is no address. */
export const addressDigits = remembered(findDigits);

/**
 * The part of a socket's remote address that stands for one client in budgets, as people write it: `10.0.0.7`, `2001:db8:1:2::/64`. IPv4
 * addresses in IPv6 form are the IPv4 address. Every household and every rented server has at least one /64 network (RFC 6177), so a
 * budget per IPv6 address would be no budget. `::1` shares its network with nobody, and stays `::1`. `unknown` without an address.
 */
export const networkOf = remembered((address: string | undefined): string => {
  const digits = addressDigits(address);
  if (digits === undefined) return bareAddress(address) || 'unknown';
  if (digits.length === 8) return (digits.match(/../g) ?? []).map((part) => Number.parseInt(part, 16)).join('.');
  if (digits === LOOPBACK) return '::1';
  const groups = (digits.match(/.{4}/g) ?? []).slice(0, NETWORK_GROUPS);
  return `${groups.map((group) => group.replace(/^0{1,3}/, '')).join(':')}::/64`;
});
