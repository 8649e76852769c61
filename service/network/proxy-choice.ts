/** Which proxy a request uses, by the variables that curl and most programs read. */
import { BlockList, isIP } from 'node:net';
import type { ProxyVariables } from '../config/sdk-variables.ts';

const DEFAULT_PORTS: Readonly<Record<string, number>> = { 'http:': 80, 'https:': 443 };

const familyOf = (address: string): 'ipv4' | 'ipv6' => (isIP(address) === 4 ? 'ipv4' : 'ipv6');

/** Addresses that an entry of NO_PROXY names, `10.0.0.0/8`, `::1` or `[fd00::]/8`; undefined if it names none. */
function addressesOf(entry: string): BlockList | undefined {
  const [text = '', prefix] = entry.split('/');
  const address = text.replace(/^\[(.*)\]$/, '$1');
  const family = isIP(address);
  if (family === 0) return undefined;
  const bitsMax = family === 4 ? 32 : 128;
  const bits = prefix === undefined ? bitsMax : Number(prefix);
  if (!/^\d{1,3}$/.test(prefix ?? '0') || bits > bitsMax) return undefined;
  const list = new BlockList();
  list.addSubnet(address, bits, familyOf(address));
  return list;
}

function names(entry: string, host: string, port: number): boolean {
  const addresses = addressesOf(entry);
  if (addresses !== undefined) return isIP(host) !== 0 && addresses.check(host, familyOf(host));
  const [, withPort, wantedPort] = /^(.+):(\d+)$/.exec(entry) ?? [];
  if (withPort !== undefined && wantedPort !== undefined) return Number(wantedPort) === port && names(withPort, host, port);
  if (entry.startsWith('*')) return host.endsWith(entry.slice(1));
  return entry.startsWith('.') ? host.endsWith(entry) : host === entry;
}

/**
 * True if NO_PROXY names the host of a URL: `*` for all; a host name; names below a domain (`.example.com`, `*.example.com`); an address
 * or a network (`10.0.0.0/8`, `fd00::/8`), which hosts that are addresses belong to; each with a port if wanted (`stream:4567`).
 */
export function isWithoutProxy(url: URL, none: string): boolean {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  const port = url.port === '' ? (DEFAULT_PORTS[url.protocol] ?? 0) : Number(url.port);
  return none
    .toLowerCase()
    .split(/[,\s]+/)
    .some((entry) => entry === '*' || (entry !== '' && names(entry, host, port)));
}

/** The URL of the proxy for a request; empty if it is sent directly. A proxy without a scheme is an HTTP proxy. */
export function proxyFor(url: string, { http, https, all, none }: ProxyVariables): string {
  const target = new URL(url);
  const proxy = (target.protocol === 'https:' ? https : http) || all;
  if (proxy === '' || isWithoutProxy(target, none)) return '';
  return proxy.includes('://') ? proxy : `http://${proxy}`;
}
