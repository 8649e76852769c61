/**
 * A day of straps in virtual time: the product's own queue file accepts, evicts, buries and ships, with planted outages, kills, evictions,
 * dead letters and losses. The model keeps what became of each seq; what the stream stores goes to a function of the test.
 */
import path from 'node:path';
import type { Append, DeadLetterInput, RunIdentity } from '../../../forwarder/queue/queue-messages.ts';
import type { QueueFile } from '../../../forwarder/queue/queue-file.ts';
import { retryRules } from '../../../forwarder/queue/retried-letters.ts';
import { copyOf, openFile, takeFrom } from '../../forwarder/queue/support/queue-files.ts';

export const GATEWAY = 'front-desk';
const START_MS = Date.parse('2026-11-22T00:00:00.000Z');

/** Steps of the later day. */
const LATER_STEPS = 20;

/** What happens at a step, by its number. */
export interface Plan {
  straps: number;
  steps: number;
  secondsPerStep: number;
  maxBytes: number;
  /** The stream stores nothing in these steps. */
  outages: [from: number, to: number][];
  /** The forwarder is killed after it has sent, before it knows what was stored. */
  kills: number[];
  /** The bridge starts again: a new run. */
  restarts: number[];
  /** Each a reading that the stream refuses. */
  refusals: number[];
  /** Each a reading that is malformed. */
  malformed: number[];
  /** Each so many readings that the bridge had to drop. */
  drops: number[];
  /** The operator retries all dead letters. */
  retries: number[];
  /** Each so many readings that the stream acknowledges and loses. */
  losses: number[];
}

export interface Stored {
  device: string;
  line: string;
  /** Virtual time of arrival. */
  atMs: number;
}

export interface LostSeqs {
  from: number;
  to: number;
  why: string;
}

interface ModelRun extends RunIdentity {
  last: number;
  /** Of seqs that are not in the stream for another reason than eviction. */
  fates: Map<number, string>;
  stored: Set<number>;
  copies: number;
  missed: Record<string, number>;
}

export interface Clock {
  nowMs: number;
}

export class DayOfStraps {
  readonly #plan: Plan;
  readonly #folderFor: () => string;
  readonly #clock: Clock;
  readonly #store: (records: readonly Stored[]) => Promise<void>;
  readonly #runs: ModelRun[] = [];
  #queue: QueueFile;
  #folder: string;

  /** `clock`: what Date.now and performance.now return meanwhile. */
  constructor(plan: Plan, folderFor: () => string, clock: Clock, store: (records: readonly Stored[]) => Promise<void>) {
    this.#plan = plan;
    this.#folderFor = folderFor;
    this.#clock = clock;
    this.#store = store;
    clock.nowMs = START_MS;
    this.#folder = folderFor();
    this.#queue = this.#open();
  }

  #open(): QueueFile {
    return openFile(this.#folder, { gateway: GATEWAY, maxBytes: this.#plan.maxBytes, accounts: 'readings' });
  }

  #run(): ModelRun {
    const run = this.#runs.at(-1);
    if (run === undefined) throw new Error('no run');
    return run;
  }

  #start(): void {
    const digits = (this.#runs.length + 10).toString(16).padStart(16, 'b');
    this.#runs.push({ gateway: GATEWAY, run: digits, last: 0, fates: new Map(), stored: new Set(), copies: 0, missed: {} });
  }

  /** The whole day, then a later one on which runs are known to have ended. */
  async play(): Promise<void> {
    const { steps, restarts, secondsPerStep } = this.#plan;
    this.#start();
    for (let step = 0; step < steps; step += 1) {
      if (restarts.includes(step)) this.#start();
      await this.#step(step);
      this.#clock.nowMs += secondsPerStep * 1000;
    }
    await this.#ship([]);
    this.#clock.nowMs += 25 * 3_600_000;
    this.#start();
    for (let more = 0; more < LATER_STEPS; more += 1) {
      this.#accept(this.#readings(steps + more));
      await this.#ship([]);
      this.#clock.nowMs += secondsPerStep * 1000;
    }
  }

  close(): void {
    this.#queue.close();
  }

  #reading(device: number): string {
    const run = this.#run();
    run.last += 1;
    return JSON.stringify({
      timestamp: new Date(this.#clock.nowMs).toISOString(),
      heart_rate: 60 + ((run.last + device) % 100),
      device: `strap-${device}`,
      gateway: GATEWAY,
      run: run.run,
      seq: run.last,
      rr_intervals_ms: [812.5, 830.1],
      sensor_contact: true,
      energy_expended_kj: null,
      clock: 'synced',
    });
  }

  #readings(step: number): Append {
    const { straps, secondsPerStep, malformed, drops } = this.#plan;
    const run = this.#run();
    const append: Append & { missed: NonNullable<Append['missed']> } = {
      rows: { data: [], devices: [], sources: [] },
      numbered: [],
      dead: [],
      watermarks: [],
      missed: [],
    };
    if (drops.includes(step)) {
      const [from, to] = [run.last + 1, run.last + 37];
      for (let seq = from; seq <= to; seq += 1) run.fates.set(seq, 'missed: outbox_full');
      run.last = to;
      run.missed['outbox_full'] = (run.missed['outbox_full'] ?? 0) + to - from + 1;
      append.missed.push({ gateway: GATEWAY, run: run.run, from, to, cause: 'outbox_full' });
    }
    if (malformed.includes(step)) {
      run.last += 1;
      run.fates.set(run.last, 'dead: invalid');
      const letter: DeadLetterInput = {
        reason: 'invalid',
        detail: 'not JSON',
        device: 'strap-1',
        gateway: GATEWAY,
        run: run.run,
        seq: run.last,
        bytes: 2,
        payload: '{]',
        whole: true,
      };
      append.dead.push(letter);
    }
    const first = run.last + 1;
    for (let second = 0; second < secondsPerStep; second += 1)
      for (let strap = 0; strap < straps; strap += 1) {
        append.rows.data.push(this.#reading(strap));
        append.rows.devices.push(`strap-${strap}`);
        append.rows.sources.push(0);
      }
    append.numbered = [{ gateway: GATEWAY, run: run.run, first, count: append.rows.data.length }];
    append.watermarks = [{ gateway: GATEWAY, run: run.run, stored: run.last, missed: { ...run.missed } }];
    return append;
  }

  #accept(append: Append): void {
    this.#queue.commit([append]);
    this.#queue.evictOverLimit();
  }

  async #step(step: number): Promise<void> {
    const { outages, kills, refusals, retries, losses } = this.#plan;
    this.#accept(this.#readings(step));
    if (retries.includes(step)) {
      this.#queue.retryDead(null, retryRules(GATEWAY));
      for (const run of this.#runs)
        for (const [seq, why] of run.fates) if (why === 'dead: refused_by_stream') run.fates.delete(seq);
    }
    if (outages.some(([from, to]) => step >= from && step < to)) return;
    await this.#ship(
      [...(refusals.includes(step) ? ['refuse'] : []), ...(losses.includes(step) ? ['lose'] : [])],
      kills.includes(step),
    );
  }

  /** The stream stores what the queue holds. A killed forwarder does not learn of it. */
  async #ship(events: readonly string[], isKilled = false): Promise<void> {
    if (isKilled) {
      // As a kill leaves it: the file before what was sent is deleted from it.
      const folder = copyOf(this.#folder, path.join(this.#folderFor(), 'before'));
      const sent = takeFrom(this.#queue, 1_000_000, Number.MAX_SAFE_INTEGER);
      await this.#stored(sent.data);
      this.#queue.close();
      this.#folder = folder;
      this.#queue = this.#open();
      return;
    }
    for (let isFirst = true; ; isFirst = false) {
      const { ids, data } = takeFrom(this.#queue, 5000, Number.MAX_SAFE_INTEGER);
      if (ids.length === 0) return;
      const refused = isFirst && events.includes('refuse') ? Math.floor(ids.length / 2) : -1;
      const kept = [...data.keys()].filter((index) => index !== refused);
      if (refused >= 0) this.#refuse(ids[refused] ?? 0, data[refused] ?? '');
      const lost = isFirst && events.includes('lose') ? this.#lose(kept.map((index) => data[index] ?? '')) : new Set<string>();
      await this.#stored(kept.map((index) => data[index] ?? '').filter((line) => !lost.has(line)));
      this.#queue.shipped(Float64Array.from(kept.map((index) => ids[index] ?? 0)));
    }
  }

  #of(line: string): { run: ModelRun; seq: number; device: string } {
    const { run: digits, seq, device } = JSON.parse(line) as { run: string; seq: number; device: string };
    const run = this.#runs.find((known) => known.run === digits);
    if (run === undefined) throw new Error(`a reading of an unknown run: ${line}`);
    return { run, seq, device };
  }

  #refuse(id: number, line: string): void {
    const { run, seq } = this.#of(line);
    this.#queue.bury(id, 'refused_by_stream', 'planted');
    run.fates.set(seq, 'dead: refused_by_stream');
  }

  /** Some readings in a row that carry no account. */
  #lose(lines: readonly string[]): Set<string> {
    const lost = lines.slice(5, 12).filter((line) => !line.includes('"account":') && !this.#isStored(line));
    for (const line of lost) {
      const { run, seq } = this.#of(line);
      run.fates.set(seq, 'WITHOUT CAUSE');
    }
    return new Set(lost);
  }

  #isStored(line: string): boolean {
    const { run, seq } = this.#of(line);
    return run.stored.has(seq);
  }

  async #stored(lines: readonly string[]): Promise<void> {
    const records = lines.map((line) => {
      const { run, seq, device } = this.#of(line);
      if (run.stored.has(seq)) run.copies += 1;
      run.stored.add(seq);
      return { device, line, atMs: this.#clock.nowMs };
    });
    await this.#store(records);
  }

  /** By run: the last seq, copies, and what is missing and why. What was accepted and is nowhere was evicted. */
  get expected(): { run: string; last: number; copies: number; lost: LostSeqs[] }[] {
    return this.#runs.map(({ run, last, fates, stored, copies }) => {
      const lost: LostSeqs[] = [];
      for (let seq = 1; seq <= last; seq += 1) {
        if (stored.has(seq)) continue;
        const why = fates.get(seq) ?? 'evicted: queue_full';
        const before = lost.at(-1);
        if (before?.why === why && before.to === seq - 1) before.to = seq;
        else lost.push({ from: seq, to: seq, why });
      }
      return { run, last, copies, lost };
    });
  }
}
