/**
 * The queue's last ten minutes, one point a second, and rates over the last ten seconds: what a page needs when it is opened.
 * Bounded: ten minutes of five numbers.
 */
import type { Fleet } from './fleet.ts';
import type { QueueHistory, Rates } from './answer-schemas.ts';

const EVERY_MS = 1000;
const POINTS_MAX = 600;
const RATE_POINTS = 10;

interface Point {
  atMs: number;
  depth: number | null;
  oldest: number | null;
  counts: Record<keyof Rates, { count: number; atMs: number } | null>;
}

export class History {
  readonly #fleet: Fleet;
  readonly #points: Point[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(fleet: Fleet) {
    this.#fleet = fleet;
  }

  start(): void {
    this.#timer = setInterval(() => this.take(), EVERY_MS);
    this.take();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Takes the point of this second; called by the timer. */
  take(atMs = Date.now()): void {
    const forwarder = this.#fleet.service('forwarder');
    const current = forwarder?.stale === false ? forwarder.value.forwarder : undefined;
    // A queue that is not open yet has no bytes and all counts are 0: the first real counts would look like a flood.
    const queue = current === undefined || current.bytes === 0 ? undefined : current;
    const gateway = this.#fleet.service('gateway');
    const broker = gateway?.stale === false ? gateway.value.gateway : undefined;
    const countOf = (known: typeof forwarder, count: number | undefined): Point['counts'][keyof Rates] =>
      known === undefined || count === undefined ? null : { count, atMs: Date.parse(known.value.as_of ?? known.value.since) };
    this.#points.push({
      atMs,
      depth: queue?.depth ?? null,
      oldest: queue?.oldest_age_seconds ?? null,
      counts: {
        heard: { count: this.#fleet.readingsReceived, atMs },
        accepted: countOf(forwarder, queue?.ledger.accepted),
        shipped: countOf(forwarder, queue?.ledger.shipped),
        broker_in: countOf(gateway, broker?.messages_in),
      },
    });
    if (this.#points.length > POINTS_MAX) this.#points.shift();
  }

  /** From the first to the last point of the window that has the count: services publish it every few seconds. */
  #rate(name: keyof Rates): number | null {
    const window = this.#points.slice(-RATE_POINTS - 1);
    const last = window.at(-1)?.counts[name];
    const first = window.find(({ counts }) => counts[name] !== null)?.counts[name];
    if (last === null || last === undefined || first === null || first === undefined || last.atMs <= first.atMs) return null;
    // A count that decreased belongs to a restarted process.
    return Math.max(0, (last.count - first.count) / ((last.atMs - first.atMs) / 1000));
  }

  rates(): Rates {
    return {
      heard: this.#rate('heard'),
      accepted: this.#rate('accepted'),
      shipped: this.#rate('shipped'),
      broker_in: this.#rate('broker_in'),
    };
  }

  queue(): QueueHistory {
    return {
      at: this.#points.map(({ atMs }) => Math.round(atMs / 100) / 10),
      depth: this.#points.map(({ depth }) => depth),
      oldest_age_seconds: this.#points.map(({ oldest }) => (oldest === null ? null : Math.round(oldest * 10) / 10)),
    };
  }
}
