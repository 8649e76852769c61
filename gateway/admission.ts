/**
 * Which connections are accepted, before anything of them is read: bounded in number, per address, and in their rate. Connections without
 * a CONNECT (nothing was sent yet, or a TLS or WebSocket handshake is not complete) are bounded per listener; beyond that the oldest one
 * of the address with the most makes room, so that a new client always gets its chance.
 */
import type { Socket } from 'node:net';
import { networkOf } from '../service/network/client-address.ts';
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
  #openCount = 0;
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

  /** The bound on connections that one more of this network would exceed; undefined if none. */
  #boundFor(network: Network): string | undefined {
    const { connections, limits } = this.#options;
    if (this.#openCount >= connections) return 'connections';
    const ofNetwork = Math.max(1, Math.floor(connections * limits.connectionsShareOfAddress));
    return network.connections >= ofNetwork ? 'connections_per_address' : undefined;
  }

  #isWithinRate(network: Network): boolean {
    const nowMs = performance.now();
    const isOwn = network.own.credit(nowMs) >= 1;
    if (network.rate.credit(nowMs) < 1 || !(isOwn || this.#all.credit(nowMs) >= 1)) return false;
    network.rate.take(1);
    if (isOwn) network.own.take(1);
    else this.#all.take(1);
    return true;
  }

  /** Counts a new connection, or closes it if there are too many. `late`: it was not counted, because its network is beyond its rate. */
  admit(socket: Socket): 'accepted' | 'closed' | 'late' {
    const address = socket.remoteAddress;
    // The client has reset it before it was accepted: all such connections would be one to whatever counts by address and port.
    if (address === undefined) {
      socket.destroy();
      return 'closed';
    }
    const network = this.#network(networkOf(address));
    if (this.#boundFor(network) === undefined && !this.#isWithinRate(network)) return 'late';
    return this.#count(socket, address, network) ? 'accepted' : 'closed';
  }

  /** As `admit`, whatever the rate. */
  admitLate(socket: Socket): boolean {
    const address = socket.remoteAddress ?? 'unknown';
    return this.#count(socket, address, this.#network(networkOf(address)));
  }

  #count(socket: Socket, address: string, network: Network): boolean {
    const bound = this.#boundFor(network);
    if (bound !== undefined) {
      this.#options.breaches.add(bound, { address });
      socket.destroy();
      return false;
    }
    this.#openCount += 1;
    network.connections += 1;
    socket.once('close', () => {
      this.#openCount -= 1;
      network.connections -= 1;
    });
    return true;
  }
}
