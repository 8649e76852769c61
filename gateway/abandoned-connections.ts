/**
 * Connections that the client itself closes before it has logged in, again and again: they break no other limit if they come slowly enough,
 * and each of them costs an accept. Health names the address. A probe that connects every second is nobody's concern.
 */
import type { Socket } from 'node:net';
import { networkOf } from '../service/network/client-address.ts';
import type { Breaches } from './breaches.ts';
import { Rate } from './budgets/rate.ts';
import { ABANDONED_AT_ONCE, ABANDONED_PER_SECOND } from './client-limits.ts';

const NETWORKS_MAX = 1000;
/** One that was reset before it was accepted has no address any more. If others of the same client have one, that one is named. */
const UNKNOWN = 'unknown';
const UNKNOWN_WEIGHT = 0.25;

export class AbandonedConnections {
  readonly #breaches: Breaches;
  readonly #rates = new Map<string, Rate>();

  constructor(breaches: Breaches) {
    this.#breaches = breaches;
  }

  /** A connection from this address was closed; undefined: before it was accepted. */
  add(address: string = UNKNOWN): void {
    const network = networkOf(address);
    const nowMs = performance.now();
    if (this.#rates.size >= NETWORKS_MAX) this.#rates.clear();
    const rate = this.#rates.get(network) ?? new Rate(ABANDONED_PER_SECOND, ABANDONED_AT_ONCE, nowMs);
    this.#rates.set(network, rate);
    if (rate.credit(nowMs) >= 1) return rate.take(1);
    this.#breaches.add('connect_abandoned', { address }, { weight: address === UNKNOWN ? UNKNOWN_WEIGHT : 1 });
  }

  /** Counts this connection if its client closes it before what is returned is called. */
  watch(socket: Socket, address: string): () => void {
    const onClosed = (): void => {
      stop();
      this.add(address);
    };
    const stop = (): void => {
      socket.off('end', onClosed);
      socket.off('error', onClosed);
    };
    socket.once('end', onClosed);
    socket.once('error', onClosed);
    return stop;
  }
}
