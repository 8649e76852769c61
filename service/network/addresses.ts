/** Which addresses are loopback, and which host names a server answers to. Shared by the gateway and the admin API. */
import { isIP, isIPv4 } from 'node:net';

/** True for addresses that only this machine can reach. A host name that merely begins with `127.` is not one of them. */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  if (bare === 'localhost' || bare === '::1') return true;
  const v4 = bare.startsWith('::ffff:') ? bare.slice(7) : bare;
  return isIPv4(v4) && v4.startsWith('127.');
}

/** The host of a Host header without its port, in lower case. */
export function hostOf(header: string | undefined): string {
  return (header ?? '').replace(/:\d+$/, '').toLowerCase();
}

/**
 * True if a Host header names this machine: localhost, an IP address, or one of `names`. Any other name is refused: its owner could point
 * it at this machine (DNS rebinding).
 */
export function isOwnHost(header: string | undefined, names: readonly string[]): boolean {
  const host = hostOf(header);
  if (host === 'localhost' || names.some((name) => name.toLowerCase() === host)) return true;
  return isIP(host) !== 0 || (host.startsWith('[') && host.endsWith(']') && isIP(host.slice(1, -1)) !== 0);
}

/** The host by which this machine reaches a listener of its own, as written in a URL. */
export function hostToConnect(listenHost: string): string {
  if (listenHost === '0.0.0.0' || listenHost === '::') return '127.0.0.1';
  return listenHost.includes(':') ? `[${listenHost}]` : listenHost;
}
