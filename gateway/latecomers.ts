/**
 * Connections beyond the rate of their address. They are not closed at once: a flood of connections that say nothing must not keep out a
 * client of the same address that logs in, and behind Docker all clients have the same one. What sends its first bytes in time is accepted
 * within a rate of its own; what does not is closed. The flood has to wait as well before it can connect again.
 */
import type { Socket } from 'node:net';
import { networkOf } from '../service/network/client-address.ts';
import { ReadTurns, whenItSends } from '../service/network/first-bytes.ts';
import { resetSocket } from '../service/network/reset-socket.ts';
import { Rate } from './budgets/rate.ts';

/** So many may wait on one listener, for so long; beyond that the oldest one is closed. */
const WAITING_MAX = 500;
const WAIT_MS = 500;
/** Of one address, so many per second of those that have sent something. */
const PER_SECOND = 50;
const NETWORKS_MAX = 1000;

export interface LatecomersOptions {
  /** One of this address is closed, by the client itself or after this. */
  onRefused: (address: string) => void;
  /** One has sent something, within the rate: its bytes were put back, and it is paused. */
  onAccepted: (socket: Socket) => void;
}

/** Of one listener. */
export class Latecomers {
  readonly #options: LatecomersOptions;
  /** With their marks of `ReadTurns`. */
  readonly #waiting = new Map<Socket, { address: string; mark: number }>();
  readonly #turns = new ReadTurns(() => this.#trim());
  readonly #rates = new Map<string, Rate>();

  constructor(options: LatecomersOptions) {
    this.#options = options;
  }

  add(socket: Socket): void {
    const { remoteAddress: address = 'unknown' } = socket;
    const network = networkOf(address);
    this.#waiting.set(socket, { address, mark: this.#turns.mark() });
    socket.on('error', () => {});
    socket.once('close', () => this.#countRefused(socket));
    const stop = whenItSends(socket, {
      limitMs: WAIT_MS,
      onLimit: () => this.#countRefused(socket),
      take: () => {
        stop();
        if (!this.#isWithinRate(network)) return this.#refuse(socket);
        this.#waiting.delete(socket);
        this.#options.onAccepted(socket);
      },
    });
  }

  #trim(): void {
    for (const [oldest, { mark }] of this.#waiting) {
      if (this.#waiting.size <= WAITING_MAX || !this.#turns.wasRead(mark)) return;
      this.#refuse(oldest);
    }
  }

  #isWithinRate(network: string): boolean {
    const nowMs = performance.now();
    if (this.#rates.size >= NETWORKS_MAX) this.#rates.clear();
    const rate = this.#rates.get(network) ?? new Rate(PER_SECOND, PER_SECOND, nowMs);
    this.#rates.set(network, rate);
    if (rate.credit(nowMs) < 1) return false;
    rate.take(1);
    return true;
  }

  #countRefused(socket: Socket): void {
    const waiting = this.#waiting.get(socket);
    if (waiting === undefined) return;
    this.#waiting.delete(socket);
    this.#options.onRefused(waiting.address);
  }

  #refuse(socket: Socket): void {
    this.#countRefused(socket);
    resetSocket(socket);
  }

  /** Closes those that wait. */
  stop(): void {
    const sockets = [...this.#waiting.keys()];
    this.#waiting.clear();
    for (const socket of sockets) socket.destroy();
  }
}
