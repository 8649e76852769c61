/**
 * The pacers of all shards that this box sends to, and which of them paces a partition key. Keys whose shard is not known yet share one
 * pacer; the first answer names their shard. A stream without shards (an endpoint that lists none) is not paced.
 */
import type { Clock } from '../../service/pacing/clock.ts';
import { ShardMap } from './shard-map.ts';
import { ShardPacer } from './shard-pacer.ts';
import type { RecordOutcome, ShardRange } from '../sink/sink.ts';
import { isThrottling } from './record-failures.ts';
import type { Shipment } from './shipments.ts';

interface Counted {
  granted: number;
  grantedBytes: number;
  throttled: number;
}

/** What an answer said of keys: some have another pacer now; it named a shard that the ranges do not have. */
interface Learned {
  isMoved: boolean;
  namedUnknown: boolean;
}

/** Pacers of shards that were closed are forgotten when there are this many. */
const PACERS_KEPT = 10_000;

export class ShardPacing {
  readonly #clock: Clock;
  readonly #map = new ShardMap();
  readonly #pacers = new Map<string, ShardPacer>();
  readonly #unknown: ShardPacer;
  readonly #unlimited: ShardPacer;
  #isUnlimited = false;
  #count: number | null = 1;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#unknown = new ShardPacer({ clock });
    this.#unlimited = new ShardPacer({ clock, shards: Number.POSITIVE_INFINITY });
  }

  /** Open shards as last read, initially 1; null: the stream has none, and is not paced. */
  get openShards(): number | null {
    return this.#count;
  }

  /** The pacer of a partition key. */
  pacerOf(key: string): ShardPacer {
    if (this.#isUnlimited) return this.#unlimited;
    const shard = this.#map.shardOf(key);
    return shard === undefined ? this.#unknown : this.#pacer(shard, this.#unknown);
  }

  #pacer(shard: string, before: ShardPacer): ShardPacer {
    let pacer = this.#pacers.get(shard);
    if (pacer !== undefined) return pacer;
    if (this.#pacers.size >= PACERS_KEPT) this.#pacers.clear();
    this.#pacers.set(shard, (pacer = new ShardPacer({ clock: this.#clock })));
    if (before !== this.#unlimited) pacer.inherit(before);
    return pacer;
  }

  /**
   * A request was answered: each shard's pacer learns what the shard granted, and keys learn their shards. `isHeld`: the key is refused at
   * any pace, so its attempts say nothing about that of the others.
   */
  answered(
    shipments: readonly Shipment[],
    outcomes: readonly RecordOutcome[],
    startedAt: number,
    isHeld: (shipment: Shipment) => boolean,
  ): Learned {
    const counts = new Map<ShardPacer, Counted>();
    const learned: Learned = { isMoved: false, namedUnknown: false };
    for (const [index, shipment] of shipments.entries()) {
      const outcome = outcomes[index];
      const { pacer, record } = shipment;
      if (pacer === undefined || outcome === undefined) continue;
      let count = counts.get(pacer);
      if (count === undefined) counts.set(pacer, (count = { granted: 0, grantedBytes: 0, throttled: 0 }));
      if (!outcome.ok && isHeld(shipment)) continue;
      if (!outcome.ok && isThrottling(outcome.code)) count.throttled += 1;
      else {
        // A record that fails for another reason was within the limit.
        count.granted += 1;
        count.grantedBytes += shipment.bytes;
      }
      if (outcome.ok && outcome.shard !== undefined) this.#stored(record.partitionKey, pacer, outcome.shard, learned);
    }
    for (const [pacer, count] of counts) if (count.granted + count.throttled > 0) pacer.answered({ ...count, startedAt });
    return learned;
  }

  #stored(key: string, pacer: ShardPacer, shard: string, learned: Learned): void {
    if (this.#isUnlimited || this.#pacers.get(shard) === pacer) return;
    this.#pacer(shard, pacer);
    this.#map.learn(key, shard);
    learned.isMoved = true;
    learned.namedUnknown ||= this.#map.isKnown && !this.#map.ids.has(shard);
  }

  /** The stream refused a whole request because of its rate. */
  refused(shipments: readonly Shipment[], startedAt: number): void {
    for (const pacer of new Set(shipments.map((shipment) => shipment.pacer))) {
      const throttled = shipments.filter((shipment) => shipment.pacer === pacer).length;
      pacer?.answered({ granted: 0, grantedBytes: 0, throttled, startedAt });
    }
  }

  /** The open shards of the stream, from ListShards. None: it is not paced. */
  setShards(shards: readonly ShardRange[]): void {
    this.#isUnlimited = shards.length === 0;
    this.#count = shards.length === 0 ? null : shards.length;
    this.#map.set(shards);
    for (const id of this.#pacers.keys()) if (!this.#map.ids.has(id)) this.#pacers.delete(id);
  }

  /** Only the number of shards is known, because ListShards is not allowed; null: the stream has none. */
  setCount(count: number | null): void {
    this.#isUnlimited = count === null;
    this.#count = count;
    this.#unknown.shards = count ?? 1;
  }

  /** Whether the box has a whole shard, and would send more: it is worth knowing all shards. */
  get isExhausted(): boolean {
    if (this.#unknown.isExhausted) return true;
    for (const pacer of this.#pacers.values()) if (pacer.isExhausted) return true;
    return false;
  }

  /** The stream answers again after an outage. */
  restart(): void {
    this.#unknown.restart();
    for (const pacer of this.#pacers.values()) pacer.restart();
  }
}
