/**
 * What a client uses of the rates that are its own, of its user or address (its *party*), and of all clients that are no services. A
 * client over one of them is not read until there is credit again: it, not the others, waits. A party that needs little is served even
 * while others have used up what is for all: a small part of each rate is its own.
 */
import { BOX_FACTOR, BRIDGE_FACTOR, PARTY_FACTOR, type ClientLimits } from '../client-limits.ts';
import type { Limit } from '../breach-kinds.ts';
import { Rate } from './rate.ts';

export const RESOURCES = ['publishes', 'requests', 'filters', 'bytes', 'deliveries', 'deliveryBytes'] as const;
export type Resource = (typeof RESOURCES)[number];

/** Under which name a breach is counted. */
export const RATE_LIMITS = {
  publishes: 'publish_rate',
  requests: 'request_rate',
  filters: 'filter_rate',
  bytes: 'byte_rate',
  deliveries: 'delivery_rate',
  deliveryBytes: 'delivery_byte_rate',
} as const satisfies Readonly<Record<Resource, Limit>>;

/** Seconds of its rate that one client may use at once: it subscribes to everything when it connects. Many clients together get half. */
const BURST_S: Readonly<Record<Resource, number>> = {
  publishes: 1,
  requests: 2,
  filters: 1,
  bytes: 2,
  deliveries: 2,
  deliveryBytes: 4,
};
const sharedBurstS = (resource: Resource): number => BURST_S[resource] / 2;
/** The part of a party's rate that does not depend on what is left for all. */
const OWN_PART = 1 / 50;
const OWN_BURST_S = 5;
/** Seconds of the rate by which deliveries may be overdrawn: a message is one packet, and may have a thousand subscribers. */
const FAR_OVER_S = 4;

type Rates = Readonly<Record<Resource, Rate>>;

/** Rates per second of one client. */
export type ClientRates = Readonly<Record<Resource, number>>;

/** The rates of one client, from the limits and the setting MQTT_MAX_PUBLISHES_PER_SECOND. */
export function clientRates(limits: ClientLimits, publishesPerSecond: number): ClientRates {
  return {
    publishes: publishesPerSecond,
    requests: limits.requestsPerSecond,
    filters: limits.filtersPerSecond,
    bytes: limits.bytesPerSecond,
    deliveries: publishesPerSecond * limits.deliveriesPerPublish,
    deliveryBytes: limits.deliveryBytesPerSecond,
  };
}

function ratesOf(rates: ClientRates, factor: number, burst: (resource: Resource) => number): Rates {
  const nowMs = performance.now();
  const of = (resource: Resource): Rate => {
    const perSecond = rates[resource] * factor;
    return new Rate(perSecond, Math.max(1, perSecond * burst(resource)), nowMs);
  };
  return {
    publishes: of('publishes'),
    requests: of('requests'),
    filters: of('filters'),
    bytes: of('bytes'),
    deliveries: of('deliveries'),
    deliveryBytes: of('deliveryBytes'),
  };
}

/** What all clients that are no services share. */
export class BoxRates {
  readonly rates: ClientRates;
  readonly #box: Rates;

  constructor(rates: ClientRates) {
    this.rates = rates;
    this.#box = ratesOf(rates, BOX_FACTOR, sharedBurstS);
  }

  of(resource: Resource): Rate {
    return this.#box[resource];
  }

  /** While the box is busy, all clients together may do less. */
  set scale(scale: number) {
    for (const resource of RESOURCES) this.#box[resource].scale = scale;
  }
}

/** All connections of one user, or of one address without a user. */
export class Party {
  /** `user anna` or `address 10.0.0.7`. */
  readonly name: string;
  connections = 0;
  subscriptions = 0;
  readonly #box: BoxRates | undefined;
  readonly #all: Rates;
  readonly #own: Rates;

  /** Without `box` the party is the bridge of another box. */
  constructor(name: string, rates: ClientRates, box: BoxRates | undefined) {
    this.name = name;
    this.#box = box;
    const factor = box === undefined ? BRIDGE_FACTOR : PARTY_FACTOR;
    this.#all = ratesOf(rates, factor, sharedBurstS);
    this.#own = ratesOf(rates, factor * OWN_PART, () => OWN_BURST_S);
  }

  credit(resource: Resource, nowMs: number): number {
    const all = this.#all[resource].credit(nowMs);
    if (this.#box === undefined) return all;
    return Math.min(all, Math.max(this.#box.of(resource).credit(nowMs), this.#own[resource].credit(nowMs)));
  }

  take(resource: Resource, amount: number): void {
    this.#all[resource].take(amount);
    if (this.#box === undefined) return;
    // What a party may always have is not taken from the others.
    const own = this.#own[resource];
    const free = Math.min(amount, Math.max(0, own.credit(0)));
    own.take(free);
    this.#box.of(resource).take(amount - free);
  }

  waitMs(resource: Resource, nowMs: number): number {
    const all = this.#all[resource].waitMs(nowMs);
    if (this.#box === undefined) return all;
    return Math.max(all, Math.min(this.#box.of(resource).waitMs(nowMs), this.#own[resource].waitMs(nowMs)));
  }
}

/** What one connection uses. */
export class ClientMeter {
  readonly party: Party;
  readonly #rates: Rates;
  readonly #perSecond: ClientRates;

  constructor(party: Party, rates: ClientRates, factor = 1) {
    this.party = party;
    this.#perSecond = rates;
    this.#rates = ratesOf(rates, factor, (resource) => BURST_S[resource]);
  }

  /** How much of a resource may be used now; 0 or less: nothing. */
  credit(resource: Resource, nowMs: number): number {
    return Math.min(this.#rates[resource].credit(nowMs), this.party.credit(resource, nowMs));
  }

  take(resource: Resource, amount: number): void {
    if (amount === 0) return;
    this.#rates[resource].take(amount);
    this.party.take(resource, amount);
  }

  /** The deliveries that this client causes are so far over the budget that no more are made; undefined if not. */
  farExceeded(): 'deliveries' | 'deliveryBytes' | undefined {
    const nowMs = performance.now();
    for (const resource of ['deliveries', 'deliveryBytes'] as const)
      if (this.#rates[resource].credit(nowMs) < -FAR_OVER_S * this.#perSecond[resource]) return resource;
    return undefined;
  }

  /** The resource that is used up for longest, and for how long; undefined within the budget. */
  exceeded(nowMs: number): { resource: Resource; waitMs: number } | undefined {
    let worst: { resource: Resource; waitMs: number } | undefined;
    for (const resource of RESOURCES) {
      const waitMs = Math.max(this.#rates[resource].waitMs(nowMs), this.party.waitMs(resource, nowMs));
      if (waitMs > (worst?.waitMs ?? 0)) worst = { resource, waitMs };
    }
    return worst;
  }
}

/** Parties without a connection that are remembered, so that a new connection is no new budget. */
const ABSENT_MAX = 2000;

/** The parties of the box, by name. */
export class Parties {
  readonly #box: BoxRates;
  readonly #parties = new Map<string, Party>();

  constructor(box: BoxRates) {
    this.#box = box;
  }

  get box(): BoxRates {
    return this.#box;
  }

  /** The party of this name; `isBridge`: of the bridge of another box. */
  of(name: string, isBridge = false): Party {
    let party = this.#parties.get(name);
    if (party === undefined) {
      if (this.#parties.size >= ABSENT_MAX) this.#forget();
      party = new Party(name, this.#box.rates, isBridge ? undefined : this.#box);
      this.#parties.set(name, party);
    }
    return party;
  }

  #forget(): void {
    for (const [name, party] of this.#parties) {
      if (this.#parties.size < ABSENT_MAX) return;
      if (party.connections === 0 && party.subscriptions === 0) this.#parties.delete(name);
    }
  }
}
