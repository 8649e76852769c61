/**
 * Which connections are accepted, before anything of them is read: bounded in number, per address, and in their rate. Connections without
 * a CONNECT (nothing was sent yet, or a TLS or WebSocket handshake is not complete) are bounded per listener; beyond that the oldest one
 * of the address with the most makes room, so that a new client always gets its chance.
 */
import type { Socket } from 'node:net';
import { networkOf } from '../service/network/client-address.ts';
import { resetSocket } from '../service/network/reset-socket.ts';
import { connectionKey } from '../service/network/unread-bytes.ts';
import type { Breaches } from './breaches.ts';
import { Rate } from './budgets/rate.ts';
import type { ClientLimits } from './client-limits.ts';

export interface HalfOpenLimits {
  /** So many connections may be half-open; six times as many while all of them are new. */
  max: number;
  /** A connection that is not older is new. */
  graceMs: number;
}

/** Six hundred clients may connect at once, for instance when the gateway has restarted. */
const NEW_FACTOR = 6;

interface Entry {
  socket: Socket;
  sinceMs: number;
}

/** Half-open connections of one listener. */
export class HalfOpen {
  readonly #limits: HalfOpenLimits;
  readonly #onEvict: (address: string) => void;
  readonly #byNetwork = new Map<string, Map<string, Entry>>();
  #count = 0;

  constructor(limits: HalfOpenLimits, onEvict: (address: string) => void) {
    this.#limits = limits;
    this.#onEvict = onEvict;
  }

  get count(): number {
    return this.#count;
  }

  add(socket: Socket): void {
    const network = networkOf(socket.remoteAddress);
    const key = connectionKey(socket);
    // A client can use its port again before this process has noticed that the connection before is gone.
    this.#remove(network, key);
    const sockets = this.#byNetwork.get(network) ?? new Map<string, Entry>();
    sockets.set(key, { socket, sinceMs: performance.now() });
    this.#byNetwork.set(network, sockets);
    this.#count += 1;
    socket.once('close', () => this.#remove(network, key, socket));
    if (this.#count > this.#limits.max) this.#evict();
  }

  /** The client of this connection (`connectionKey`) has sent its CONNECT, and was accepted. */
  done(address: string, key: string): void {
    this.#remove(networkOf(address), key);
  }

  #remove(network: string, key: string, socket?: Socket): void {
    const sockets = this.#byNetwork.get(network);
    const known = sockets?.get(key);
    if (sockets === undefined || known === undefined || (socket !== undefined && known.socket !== socket)) return;
    sockets.delete(key);
    this.#count -= 1;
    if (sockets.size === 0) this.#byNetwork.delete(network);
  }

  #evict(): void {
    let most: [string, Map<string, Entry>] | undefined;
    for (const entry of this.#byNetwork) if (most === undefined || entry[1].size > most[1].size) most = entry;
    const [oldest] = most?.[1] ?? [];
    if (most === undefined || oldest === undefined) return;
    const [key, { socket, sinceMs }] = oldest;
    const { max, graceMs } = this.#limits;
    if (performance.now() - sinceMs < graceMs && this.#count <= NEW_FACTOR * max) return;
    this.#remove(most[0], key);
    this.#onEvict(socket.remoteAddress ?? 'unknown');
    socket.destroy();
  }
}

export interface AdmissionOptions {
  /** MQTT_MAX_CONNECTIONS. */
  connections: number;
  breaches: Breaches;
  limits: ClientLimits;
}

/** Networks whose rate is remembered. */
const NETWORKS_MAX = 5000;
/** What one network may always do, whatever the others do. */
const OWN_PER_SECOND = 2;
const OWN_BURST = 10;

interface Network {
  connections: number;
  rate: Rate;
  own: Rate;
}

export class Admission {
  readonly #options: AdmissionOptions;
  /** By address and port. */
  readonly #open = new Map<string, Socket>();
  readonly #networks = new Map<string, Network>();
  readonly #all: Rate;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    const { connectsPerSecondOfAll, connectBurst } = options.limits;
    this.#all = new Rate(connectsPerSecondOfAll, connectsPerSecondOfAll * connectBurst, performance.now());
  }

  #network(name: string): Network {
    let network = this.#networks.get(name);
    if (network === undefined) {
      if (this.#networks.size >= NETWORKS_MAX)
        for (const [known, { connections }] of this.#networks) if (connections === 0) this.#networks.delete(known);
      const { connectsPerSecond, connectBurst } = this.#options.limits;
      const nowMs = performance.now();
      network = {
        connections: 0,
        rate: new Rate(connectsPerSecond, connectsPerSecond * connectBurst, nowMs),
        own: new Rate(OWN_PER_SECOND, OWN_BURST, nowMs),
      };
      this.#networks.set(name, network);
    }
    return network;
  }

  #limitFor(network: Network): string | undefined {
    const { connections, limits } = this.#options;
    if (this.#open.size >= connections) return 'connections';
    if (network.connections >= Math.max(1, Math.floor(connections * limits.connectionsShareOfAddress)))
      return 'connections_per_address';
    const nowMs = performance.now();
    const isOwn = network.own.credit(nowMs) >= 1;
    if (network.rate.credit(nowMs) < 1 || !(isOwn || this.#all.credit(nowMs) >= 1)) return 'connect_rate';
    network.rate.take(1);
    if (isOwn) network.own.take(1);
    else this.#all.take(1);
    return undefined;
  }

  /** Counts a new connection; returns false, and closes it, if there are too many. */
  admit(socket: Socket): boolean {
    const address = socket.remoteAddress;
    // The client has reset it before it was accepted: all such connections would be one to whatever counts by address and port.
    if (address === undefined) {
      socket.destroy();
      return false;
    }
    const name = networkOf(address);
    const network = this.#network(name);
    const limit = this.#limitFor(network);
    if (limit !== undefined) {
      this.#options.breaches.add(limit, { address });
      socket.destroy();
      return false;
    }
    const key = connectionKey(socket);
    this.#open.set(key, socket);
    network.connections += 1;
    socket.on('error', () => {});
    socket.once('close', () => {
      if (this.#open.get(key) === socket) this.#open.delete(key);
      network.connections -= 1;
    });
    return true;
  }

  /**
   * Ends a connection at once: what the system holds for it is dropped. `key` is that of service/network/unread-bytes.ts, which a TLS or
   * WebSocket connection has in common with its socket.
   */
  reset(key: string): void {
    const socket = this.#open.get(key);
    if (socket !== undefined) resetSocket(socket);
  }

  /** Closes all connections. */
  closeAll(): void {
    for (const socket of this.#open.values()) socket.destroy();
  }
}
