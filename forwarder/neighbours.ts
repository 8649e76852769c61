/**
 * What the forwarder sees of other services on its broker: forwarders that take the same readings, and gateways, which tell whose broker it
 * is. From statuses only, so it holds on every broker.
 */
import { STATUS_STALE_MS, type ServiceStatus } from '../contract/service-status.ts';
import { serviceOfTopic } from '../contract/topics.ts';
import { failing, okCheck, type CheckReport } from '../service/health/check-report.ts';
import { serves } from '../service/network/broker.ts';

export interface NeighboursOptions {
  /** Name of this box. */
  gateway: string;
  /** Gateways whose readings this forwarder takes; `*`: every gateway's. */
  served: readonly string[];
  /** MQTT_BROKER, as decided for this box. */
  broker: 'own' | 'external';
  /** Of this forwarder's own status. */
  instance: string;
  /** Milliseconds, monotonic; for tests. */
  now?: () => number;
}

/** The gateway of this box starts beside the forwarder: it is missed only after this time of connection. */
const GATEWAY_WAIT_MS = 10_000;
/** Other boxes that are remembered. */
const NEIGHBOURS_MAX = 100;

interface Neighbour {
  gateway: string;
  status: ServiceStatus;
  atMs: number;
}

/** Host and process of a status, for people. */
const placeOf = ({ host, pid }: ServiceStatus): string => `on ${host ?? 'an unknown host'}, process ${pid ?? 'unknown'}`;

/** A gateway that both forwarders serve, or undefined. */
function sharedGateway(ours: readonly string[], theirs: readonly string[]): string | undefined {
  if (ours.includes('*')) return theirs.includes('*') ? 'every gateway' : theirs[0];
  return ours.find((name) => serves(theirs, name));
}

/** An external broker cannot hold a PUBACK until the forwarder has stored the reading. */
const EXTERNAL_PUBACK = "their PUBACK is the external broker's word: it comes before the reading is stored";

export class Neighbours {
  readonly #options: NeighboursOptions;
  readonly #now: () => number;
  /** By instance. */
  readonly #forwarders = new Map<string, Neighbour>();
  /** By gateway. */
  readonly #gateways = new Map<string, Neighbour>();
  /** While connected, since when; else undefined. */
  #upSinceMs: number | undefined;

  constructor(options: NeighboursOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  up(): void {
    this.#upSinceMs = this.#now();
  }

  down(): void {
    this.#upSinceMs = undefined;
    this.#forwarders.clear();
    this.#gateways.clear();
  }

  /** Takes a status of a service. A retained one of a forwarder may be of a process that has ended, and does not count. */
  received(topic: string, status: ServiceStatus, retained: boolean): void {
    const source = serviceOfTopic(topic);
    if (source === undefined || source.service !== status.service) return;
    const { gateway, service } = source;
    const neighbour = { gateway, status, atMs: this.#now() };
    if (service === 'gateway') {
      if (status.state === 'offline') this.#gateways.delete(gateway);
      else keep(this.#gateways, gateway, neighbour);
      return;
    }
    const { instance = '' } = status;
    if (service !== 'forwarder' || instance === this.#options.instance || retained) return;
    if (status.state === 'online' && instance !== '') return keep(this.#forwarders, instance, neighbour);
    // A last will names no instance.
    for (const [key, { gateway: name, status: known }] of this.#forwarders)
      if (name === gateway && (instance === '' || known.instance === instance)) this.#forwarders.delete(key);
  }

  #isCurrent({ atMs }: Neighbour): boolean {
    return this.#now() - atMs <= STATUS_STALE_MS;
  }

  /** A gateway of ours that is the broker, or one beside it: it adopts the readings of other clients. */
  #adoptingGateway(): Neighbour | undefined {
    const { broker, gateway } = this.#options;
    return [...this.#gateways.values()].find(
      (known) => this.#isCurrent(known) && (broker === 'external' || known.gateway === gateway),
    );
  }

  /** Whether this forwarder takes readings without numbers: no gateway on this broker adopts them, as MQTT_BROKER says. */
  get takesUnnumbered(): boolean {
    return this.#options.broker === 'external' && this.#adoptingGateway() === undefined;
  }

  checks(): CheckReport[] {
    return [this.#forwardersCheck(), ...this.#brokerChecks()];
  }

  #forwardersCheck(): CheckReport {
    for (const other of this.#forwarders.values()) {
      const { gateway, status } = other;
      const shared = this.#isCurrent(other)
        ? sharedGateway(this.#options.served, status.forwarder?.gateways ?? [gateway])
        : undefined;
      if (shared !== undefined)
        return failing(
          'other forwarders',
          'second_forwarder',
          `the forwarder of ${gateway} (${placeOf(status)}) takes readings of ${shared} too`,
        );
    }
    return okCheck('other forwarders');
  }

  /** On our own broker no check while all is well; on another one it says what its PUBACK proves. */
  #brokerChecks(): CheckReport[] {
    const { broker, gateway } = this.#options;
    const adopting = this.#adoptingGateway();
    if (broker === 'external') {
      if (adopting === undefined) return [{ ...okCheck("other clients' readings"), reason: EXTERNAL_PUBACK }];
      const detail = `MQTT_BROKER is external, but the gateway of ${adopting.gateway} (${placeOf(adopting.status)}) adopts readings here`;
      return [failing('broker kind', 'broker_mismatch', detail)];
    }
    if (adopting !== undefined || this.#upSinceMs === undefined || this.#now() - this.#upSinceMs < GATEWAY_WAIT_MS) return [];
    const detail = `MQTT_BROKER is own, but no gateway named ${gateway} reports a status on this broker`;
    return [failing('broker kind', 'broker_mismatch', detail)];
  }
}

function keep(known: Map<string, Neighbour>, key: string, neighbour: Neighbour): void {
  if (known.size < NEIGHBOURS_MAX || known.has(key)) known.set(key, neighbour);
}
