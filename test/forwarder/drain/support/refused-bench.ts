/** A drain on a stream that refuses records of some partition keys. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { FaultSettings } from '../../../../contract/fault-settings.ts';
import { eventually } from '../../../support/eventually.ts';
import type { LocalStream } from '../../../support/local-stream.ts';
import { startDrain, type BenchOptions, type DrainBench } from './drain-bench.ts';

export type RefusedBench = DrainBench & { stop(): Promise<void> };

/** A drain of which the stream refuses records, each with `code`. Four shards, so that pacing does not decide. */
export async function startRefusedBench(
  t: TestContext,
  stream: LocalStream,
  faults: FaultSettings,
  options: BenchOptions = {},
): Promise<RefusedBench> {
  const bench = await startDrain(t, stream, { shards: 4, ...options });
  await bench.faults(faults);
  return bench;
}

const OTHERS = 300;

/** The law of many refused keys, each with two readings that were accepted before all others. */
export class ManyRefused {
  readonly #bench: RefusedBench;
  readonly #keys: string[];
  #others = 0;

  constructor(bench: RefusedBench, keys: number) {
    this.#bench = bench;
    this.#keys = Array.from({ length: keys }, (_, index) => `refused-${index}`);
  }

  get #shipped(): number {
    return this.#bench.queue.state.ledger.shipped;
  }

  #addOther(count: number): void {
    this.#bench.addTo('other', count);
    this.#others += count;
  }

  /** Readings of other keys are shipped while all of these are refused, and the uplink says that keys are. */
  async othersAreShipped(): Promise<void> {
    const bench = this.#bench;
    await bench.faults({ recordFailureRate: 1, keys: this.#keys });
    for (const key of this.#keys) bench.addTo(key, 2);
    this.#addOther(OTHERS);
    await eventually(() => this.#shipped === OTHERS, {
      withinMs: 120_000,
      what: `${OTHERS} shipped; ${JSON.stringify(bench.queue.state.ledger)}`,
    });
    for (let round = 0; round < 5; round += 1) {
      this.#addOther(10);
      await eventually(() => this.#shipped === this.#others, { withinMs: 20_000 });
    }
    const uplink = await eventually(
      () => {
        this.#addOther(1);
        const current = bench.drain.uplink.asStatus();
        return current.state === 'key_refused' ? current : undefined;
      },
      { withinMs: 60_000 },
    );
    assert.match(uplink.reason, /and \d{4} more$/);
  }

  /** Half of the keys are accepted again, while the others go on failing. */
  async halfRecover(): Promise<void> {
    const half = Math.floor(this.#keys.length / 2);
    await this.#bench.faults({ recordFailureRate: 1, keys: this.#keys.slice(0, half) });
    const expected = this.#others + 2 * (this.#keys.length - half);
    await eventually(() => this.#shipped === expected, { withinMs: 300_000, what: `half of them; ${this.#shipped}` });
  }

  /** Everything is shipped once. Returns the number of readings. */
  async allRecover(): Promise<number> {
    const all = 2 * this.#keys.length + this.#others;
    await this.#bench.faults({});
    await this.#bench.settled(all);
    assert.equal((await this.#bench.read()).length, all, 'every reading once');
    return all;
  }
}
