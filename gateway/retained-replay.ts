/**
 * Sends retained messages to new subscriptions: services first, then one party after the other, at a rate that is for all of them. Aedes
 * sends them all at once, again at every SUBSCRIBE, and makes streams for each: 3,000 SUBSCRIBEs of 100 clients took 4 GB and stopped
 * everything else for half a minute.
 */
import type { Client } from 'aedes';
import Denque from 'denque';
import { Rate } from './budgets/rate.ts';
import type { RetainedMessage, RetainedStore } from './retained-store.ts';

export interface RetainedReplayOptions {
  store: RetainedStore;
  messagesPerSecond: number;
  bytesPerSecond: number;
  /** The same filter of the same client replays nothing within this time. */
  againMs: number;
  /** The name of a client's party; undefined for a service. */
  partyOf: (client: Client) => string | undefined;
  /** Bytes that wait for this client to read them. */
  backlogOf: (client: Client) => number;
}

/** A client that does not read gets no more until it has read. */
const BACKLOG_MAX_BYTES = 256 * 1024;
/** Messages in one turn of the event loop. */
const TURN_MESSAGES = 50;
const PAUSE_MS = 20;
/** Filters that are remembered of one client. */
const FILTERS_MAX = 200;

interface Job {
  client: Client;
  filters: string[];
  messages: Generator<RetainedMessage> | undefined;
}

export class RetainedReplay {
  readonly #options: RetainedReplayOptions;
  readonly #messages: Rate;
  readonly #bytes: Rate;
  /** Jobs by party, the party whose turn it is first; '' has the services. */
  readonly #parties = new Map<string, Denque<Job>>();
  readonly #jobs = new Map<Client, Job>();
  readonly #replayedAt = new WeakMap<Client, Map<string, number>>();
  #isScheduled = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: RetainedReplayOptions) {
    this.#options = options;
    const nowMs = performance.now();
    this.#messages = new Rate(options.messagesPerSecond, options.messagesPerSecond / 2, nowMs);
    this.#bytes = new Rate(options.bytesPerSecond, options.bytesPerSecond / 2, nowMs);
  }

  /** A client has subscribed to these filters. Returns how many of them replay nothing, because they did a short time ago. */
  subscribed(client: Client, filters: readonly string[]): number {
    const nowMs = performance.now();
    const fresh = filters.filter((filter) => this.#isDue(client, filter, nowMs));
    if (fresh.length > 0 && this.#options.store.size > 0) this.#add(client, fresh);
    return filters.length - fresh.length;
  }

  #isDue(client: Client, filter: string, nowMs: number): boolean {
    const known = this.#replayedAt.get(client) ?? new Map<string, number>();
    this.#replayedAt.set(client, known);
    const at = known.get(filter);
    if (at !== undefined && nowMs - at < this.#options.againMs) return false;
    known.delete(filter);
    known.set(filter, nowMs);
    const [oldest] = known.keys();
    if (known.size > FILTERS_MAX && oldest !== undefined) known.delete(oldest);
    return true;
  }

  #add(client: Client, filters: readonly string[]): void {
    const known = this.#jobs.get(client);
    if (known !== undefined) {
      known.filters.push(...filters);
      return;
    }
    const job: Job = { client, filters: [...filters], messages: undefined };
    this.#jobs.set(client, job);
    const party = this.#options.partyOf(client) ?? '';
    const jobs = this.#parties.get(party) ?? new Denque<Job>();
    jobs.push(job);
    this.#parties.set(party, jobs);
    this.#schedule(0);
  }

  /** A client is gone: it gets nothing more. */
  disconnected(client: Client): void {
    const job = this.#jobs.get(client);
    if (job !== undefined) job.filters = [];
    this.#jobs.delete(client);
  }

  #schedule(afterMs: number): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    const run = (): void => {
      this.#isScheduled = false;
      this.#turn();
    };
    if (afterMs > 0) this.#timer = setTimeout(run, afterMs);
    else setImmediate(run);
  }

  #turn(): void {
    let left = TURN_MESSAGES;
    for (;;) {
      const party = this.#nextParty();
      if (party === undefined || left <= 0) break;
      const sent = this.#serve(party, Math.min(left, 10));
      left -= Math.max(1, sent);
    }
    if (this.#parties.size > 0) this.#schedule(left <= 0 && this.#messages.credit(performance.now()) > 0 ? 0 : PAUSE_MS);
  }

  #nextParty(): string | undefined {
    if (this.#parties.has('')) return '';
    const nowMs = performance.now();
    if (this.#messages.credit(nowMs) <= 0 || this.#bytes.credit(nowMs) <= 0) return undefined;
    const [party] = this.#parties.keys();
    return party;
  }

  /** Sends up to `max` messages to the next client of a party, and puts both at the end. */
  #serve(party: string, max: number): number {
    const jobs = this.#parties.get(party);
    const job = jobs?.shift();
    this.#parties.delete(party);
    if (jobs === undefined || job === undefined) return 0;
    const sent = this.#advance(job, max, party !== '');
    if (sent === undefined) this.#jobs.delete(job.client);
    else jobs.push(job);
    if (jobs.length > 0) this.#parties.set(party, jobs);
    return sent ?? 0;
  }

  /** Undefined: the job is done. */
  #advance(job: Job, max: number, isMetered: boolean): number | undefined {
    const { store, backlogOf } = this.#options;
    const { client } = job;
    if (client.closed) return undefined;
    let sent = 0;
    while (sent < max && backlogOf(client) < BACKLOG_MAX_BYTES) {
      if (job.messages === undefined) {
        const filter = job.filters.shift();
        if (filter === undefined) return undefined;
        job.messages = store.matching(filter);
      }
      const next = job.messages.next();
      if (next.done === true) {
        job.messages = undefined;
        continue;
      }
      send(client, next.value);
      sent += 1;
      if (!isMetered) continue;
      this.#messages.take(1);
      this.#bytes.take(next.value.payload.length + next.value.topic.length);
    }
    return sent;
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#parties.clear();
    this.#jobs.clear();
  }
}

/** As Aedes sends one: `brokerId` null keeps it from being taken for a duplicate. */
function send(client: Client, { topic, payload, qos }: RetainedMessage): void {
  const deliver = client as unknown as { deliverQoS(packet: object, done: () => void): void };
  deliver.deliverQoS(
    { cmd: 'publish', topic, payload, qos, retain: true, dup: false, brokerId: null, brokerCounter: 0 },
    () => {},
  );
}
