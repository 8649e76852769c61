/**
 * Which connections are accepted, before anything of them is read: bounded in number, per address, and in their rate. Connections without
 * a CONNECT (nothing was sent yet, or a TLS or WebSocket handshake is not complete) are bounded per listener; beyond that, and when there
 * is no place for another connection, the oldest one of the address with the most makes room: a new client always gets its chance.
 */
import type { Socket } from 'node:net';
import { networkOf } from '../service/network/client-address.ts';
import { ReadTurns } from '../service/network/first-bytes.ts';
import { resetSocket } from '../service/network/reset-socket.ts';
import { connectionKey } from '../service/network/unread-bytes.ts';
import type { Limit } from './breach-kinds.ts';
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

/** What a half-open connection has done. The first to make room are those whose login was refused, then those without a CONNECT. */
const STAGES = ['refused', 'silent', 'login'] as const;
export type Stage = (typeof STAGES)[number];

interface Entry {
  socket: Socket;
  stage: Stage;
  sinceMs: number;
  /** Of `ReadTurns`. */
  mark: number;
}

/** Half-open connections of one network by `connectionKey`, in the order in which they came to their stage. */
type OfNetwork = Record<Stage, Map<string, Entry>>;

const sizeOf = (entries: OfNetwork): number => STAGES.reduce((sum, stage) => sum + entries[stage].size, 0);

/** Half-open connections of one listener. */
export class HalfOpen {
  readonly #limits: HalfOpenLimits;
  readonly #onEvict: (address: string) => void;
  readonly #byNetwork = new Map<string, OfNetwork>();
  readonly #turns = new ReadTurns(() => this.#trim());
  #count = 0;

  constructor(limits: HalfOpenLimits, onEvict: (address: string) => void) {
    this.#limits = limits;
    this.#onEvict = onEvict;
  }

  get count(): number {
    return this.#count;
  }

  countOf(network: string): number {
    const entries = this.#byNetwork.get(network);
    return entries === undefined ? 0 : sizeOf(entries);
  }

  add(socket: Socket): void {
    const network = networkOf(socket.remoteAddress);
    const key = connectionKey(socket);
    // A client can use its port again before this process has noticed that the connection before is gone.
    this.#remove(network, key);
    const entries = this.#byNetwork.get(network) ?? { refused: new Map(), silent: new Map(), login: new Map() };
    entries.silent.set(key, { socket, stage: 'silent', sinceMs: performance.now(), mark: this.#turns.mark() });
    this.#byNetwork.set(network, entries);
    this.#count += 1;
    socket.once('close', () => this.#remove(network, key, socket));
  }

  /** The client of this connection (`connectionKey`) has sent its CONNECT, or its login was refused and it waits for the answer. */
  reached(stage: Stage, address: string, key: string): void {
    const entries = this.#byNetwork.get(networkOf(address));
    const entry = entries === undefined ? undefined : this.#entryOf(entries, key);
    if (entries === undefined || entry === undefined) return;
    entries[entry.stage].delete(key);
    entry.stage = stage;
    entries[stage].set(key, entry);
  }

  /** The client of this connection (`connectionKey`) was accepted. */
  done(address: string, key: string): void {
    this.#remove(networkOf(address), key);
  }

  /** Of the network with the most of them, how many. */
  get most(): { network: string; count: number } {
    const largest = this.#largest();
    return largest === undefined ? { network: '', count: 0 } : { network: largest[0], count: sizeOf(largest[1]) };
  }

  /** Closes the connection of a network that is worth least, unless it is new. */
  evictOf(network: string): boolean {
    const entries = this.#byNetwork.get(network);
    const victim = entries === undefined ? undefined : this.#victimOf(entries);
    if (victim === undefined) return false;
    const { stage, sinceMs } = victim[1];
    if (stage !== 'refused' && performance.now() - sinceMs < this.#limits.graceMs) return false;
    this.#evict(network, ...victim);
    return true;
  }

  #entryOf(entries: OfNetwork, key: string): Entry | undefined {
    return entries.silent.get(key) ?? entries.login.get(key) ?? entries.refused.get(key);
  }

  #remove(network: string, key: string, socket?: Socket): void {
    const entries = this.#byNetwork.get(network);
    const known = entries === undefined ? undefined : this.#entryOf(entries, key);
    if (entries === undefined || known === undefined || (socket !== undefined && known.socket !== socket)) return;
    entries[known.stage].delete(key);
    this.#count -= 1;
    if (sizeOf(entries) === 0) this.#byNetwork.delete(network);
  }

  #victimOf(entries: OfNetwork): [string, Entry] | undefined {
    for (const stage of STAGES) {
      const [oldest] = entries[stage];
      if (oldest !== undefined && this.#turns.wasRead(oldest[1].mark)) return oldest;
    }
    return undefined;
  }

  #evict(network: string, key: string, { socket }: Entry): void {
    this.#remove(network, key);
    this.#onEvict(socket.remoteAddress ?? 'unknown');
    resetSocket(socket);
  }

  #trim(): void {
    const { max, graceMs } = this.#limits;
    const nowMs = performance.now();
    while (this.#count > max) {
      const most = this.#largest();
      const victim = most === undefined ? undefined : this.#victimOf(most[1]);
      if (most === undefined || victim === undefined) return;
      if (nowMs - victim[1].sinceMs < graceMs && this.#count <= NEW_FACTOR * max) return;
      this.#evict(most[0], ...victim);
    }
  }

  #largest(): [string, OfNetwork] | undefined {
    let largest: [string, OfNetwork] | undefined;
    let most = 0;
    for (const entry of this.#byNetwork) {
      const size = sizeOf(entry[1]);
      if (size > most) {
        most = size;
        largest = entry;
      }
    }
    return largest;
  }
}

export interface AdmissionOptions {
  /** MQTT_MAX_CONNECTIONS. */
  connections: number;
  /** Closes a half-open connection of this network, or of the one with the most, on any listener; false if there is none. */
  makeRoom: (network?: string) => boolean;
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
  #boundFor(network: Network): Limit | undefined {
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

  /**
   * Counts a new connection, or closes it if there are too many. `late`: it was not counted, because its network is beyond its rate;
   * `reset`: its client has closed it already.
   */
  admit(socket: Socket): 'accepted' | 'closed' | 'late' | 'reset' {
    const address = socket.remoteAddress;
    // The client has reset it before it was accepted: all such connections would be one to whatever counts by address and port.
    if (address === undefined) {
      socket.destroy();
      return 'reset';
    }
    const network = this.#network(networkOf(address));
    if (!this.#isWithinRate(network)) return 'late';
    return this.#count(socket, address, network) ? 'accepted' : 'closed';
  }

  /** As `admit`, whatever the rate. */
  admitLate(socket: Socket): boolean {
    const address = socket.remoteAddress ?? 'unknown';
    return this.#count(socket, address, this.#network(networkOf(address)));
  }

  #count(socket: Socket, address: string, network: Network): boolean {
    const bound = this.#boundFor(network);
    // What says nothing must not keep out who logs in: all clients behind Docker have one address.
    if (bound !== undefined && !this.#options.makeRoom(bound === 'connections' ? undefined : networkOf(address))) {
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
