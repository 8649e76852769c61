/** The queue file against a simple model of arrays in memory. Every answer of the file is compared after every step. */
import assert from 'node:assert/strict';
import path from 'node:path';
import fc from 'fast-check';
import type { DeadLetter } from '../../../../contract/dead-letter.ts';
import type { QueueFile } from '../../../../forwarder/queue/queue-file.ts';
import type { RetryRules } from '../../../../forwarder/queue/retried-letters.ts';
import type { Append, DeadLetterInput } from '../../../../forwarder/queue/queue-messages.ts';
import { copyOf, letterOf, openFile, readingOf, RUN } from './queue-files.ts';

const part = fc.double({ min: 0, max: 1, noNaN: true });

/** `part`: the share of the rows or letters that the step applies to. */
export const steps = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        act: fc.constant('accept' as const),
        rows: fc.integer({ min: 0, max: 12 }),
        dead: fc.integer({ min: 0, max: 2 }),
        missed: fc.integer({ min: 0, max: 3 }),
        bytes: fc.constantFrom(0, 0, 3000, 40_000),
      }),
    },
    { weight: 1, arbitrary: fc.record({ act: fc.constant('acceptFails' as const), rows: fc.integer({ min: 1, max: 5 }) }) },
    { weight: 5, arbitrary: fc.record({ act: fc.constant('take' as const), rows: fc.integer({ min: 1, max: 20 }) }) },
    { weight: 4, arbitrary: fc.record({ act: fc.constantFrom('acknowledge' as const, 'evictTaken' as const), part }) },
    { weight: 2, arbitrary: fc.record({ act: fc.constant('acknowledgeAgain' as const) }) },
    { weight: 3, arbitrary: fc.record({ act: fc.constant('fail' as const), part }) },
    { weight: 2, arbitrary: fc.record({ act: fc.constant('evict' as const) }) },
    { weight: 2, arbitrary: fc.record({ act: fc.constantFrom('retry' as const, 'discard' as const), part: fc.option(part) }) },
    { weight: 2, arbitrary: fc.record({ act: fc.constantFrom('restart' as const, 'kill' as const) }) },
  ),
  { maxLength: 40 },
);
export type Step = typeof steps extends fc.Arbitrary<(infer One)[]> ? One : never;

interface ModelRow {
  data: string;
  /** Taken by this process. */
  inFlight: boolean;
  /** Shipped (''), or evicted with this cause, and not yet deleted by a commit. */
  settled?: string;
}

interface ModelLetter {
  payload: string;
  reason: string;
}

class Model {
  rows: ModelRow[] = [];
  dead: ModelLetter[] = [];
  accepted = 0;
  shipped = 0;
  stored = 0;
  readonly evicted = new Map<string, number>();
  readonly missed = new Map<string, number>();

  evict(cause: string, count: number): void {
    if (count > 0) this.evicted.set(cause, (this.evicted.get(cause) ?? 0) + count);
  }

  commitSettled(): void {
    for (const { settled } of this.rows)
      if (settled === '') this.shipped += 1;
      else if (settled !== undefined) this.evict(settled, 1);
    this.rows = this.rows.filter(({ settled }) => settled === undefined);
  }

  restarted(): void {
    this.rows = this.rows.map(({ data }) => ({ data, inFlight: false }));
  }
}

const MAX_BYTES = 256 * 1024;
const isReading = (payload: string): boolean => payload.startsWith('{');
const rules: RetryRules = ({ payload, device, reason, detail }) =>
  isReading(payload) ? { kind: 'row', data: payload, device, source: 0 } : { kind: 'dead', reason, detail };

export class QueueUnderTest {
  readonly #folderFor: () => string;
  #folder: string;
  #queue: QueueFile;
  readonly #model = new Model();
  #seq = 0;
  #ids = new Map<string, number>();
  #lastAcknowledged: number[] = [];

  /** `folderFor` returns a new folder at each call. */
  constructor(folderFor: () => string) {
    this.#folderFor = folderFor;
    this.#folder = folderFor();
    this.#queue = this.#open();
  }

  #open(): QueueFile {
    return openFile(this.#folder, { maxBytes: MAX_BYTES });
  }

  close(): void {
    this.#queue.close();
  }

  #append(rows: number, dead: number, missed: number, bytes: number): Append {
    const data: string[] = [];
    for (let index = 0; index < rows; index += 1) {
      this.#seq += 1;
      data.push(readingOf(this.#seq, bytes > 0 ? { note: 'x'.repeat(bytes) } : {}));
    }
    const letters: DeadLetterInput[] = Array.from({ length: dead }, (_, index) => letterOf(`rubbish ${this.#seq}.${index}`));
    this.#seq += dead;
    return {
      rows: { data, devices: data.map(() => 'strap-1'), sources: data.map(() => 0) },
      dead: letters,
      watermarks: [
        {
          gateway: 'test-box',
          run: RUN,
          stored: this.#seq,
          missed:
            missed > 0
              ? { outbox_full: (this.#model.missed.get('outbox_full') ?? 0) + missed }
              : Object.fromEntries(this.#model.missed),
        },
      ],
    };
  }

  step(step: Step): void {
    this.#act(step);
    this.#compare();
  }

  #act(step: Step): void {
    switch (step.act) {
      case 'accept':
        return this.#accept(step);
      case 'acceptFails':
        return this.#acceptFails(step.rows);
      case 'take':
        return this.#take(step.rows);
      case 'acknowledge':
      case 'evictTaken':
        return this.#deleteTaken(step.act === 'acknowledge' ? '' : 'test_reading', step.part);
      case 'acknowledgeAgain':
        return this.#acknowledgeAgain();
      case 'fail':
        return this.#fail(step.part);
      case 'evict':
        return this.#evict();
      case 'retry':
      case 'discard':
        return this.#settleDead(step.act, step.part);
      case 'restart':
        return this.#restart(this.#folder);
      case 'kill':
        return this.#restart(copyOf(this.#folder, path.join(this.#folderFor(), 'killed')));
    }
  }

  #accept({ rows, dead, missed, bytes }: Extract<Step, { act: 'accept' }>): void {
    const model = this.#model;
    const append = this.#append(rows, dead, missed, bytes);
    this.#queue.commit([append]);
    model.commitSettled();
    for (const data of append.rows.data) model.rows.push({ data, inFlight: false });
    for (const { payload, reason } of append.dead) model.dead.push({ payload, reason });
    model.accepted += rows + dead;
    model.stored = this.#seq;
    if (missed > 0) model.missed.set('outbox_full', (model.missed.get('outbox_full') ?? 0) + missed);
    this.#limitDead();
  }

  #acceptFails(rows: number): void {
    const seq = this.#seq;
    const append = this.#append(rows, 1, 1, 0);
    // The last part cannot be written: nothing of the append may have happened.
    append.dead = append.dead.map((letter) => ({ ...letter, detail: null as unknown as string }));
    assert.throws(() => this.#queue.commit([append]));
    this.#seq = seq;
  }

  #take(rows: number): void {
    const taken = this.#queue.take({ maxRows: rows, maxBytes: Number.MAX_SAFE_INTEGER });
    const expected = this.#model.rows.filter(({ inFlight }) => !inFlight).slice(0, rows);
    assert.ok(taken !== undefined, 'nothing was taken');
    assert.deepEqual(
      taken.data,
      expected.map(({ data }) => data),
    );
    for (const [index, row] of expected.entries()) {
      row.inFlight = true;
      this.#ids.set(row.data, taken.ids[index] ?? 0);
    }
  }

  #deleteTaken(cause: string, share: number): void {
    const chosen = this.#inFlight().filter((_, index) => (index * 7919 + 13) % 100 < share * 100);
    for (const row of chosen) row.settled = cause;
    this.#lastAcknowledged = chosen.map(({ data }) => this.#ids.get(data) ?? 0);
    if (cause === '') this.#queue.shipped(Float64Array.from(this.#lastAcknowledged));
    else this.#queue.evict(Float64Array.from(this.#lastAcknowledged), cause);
  }

  /** Acknowledges rows that are deleted already: it must change nothing. */
  #acknowledgeAgain(): void {
    this.#queue.commit([]);
    this.#model.commitSettled();
    this.#queue.shipped(Float64Array.from(this.#lastAcknowledged));
    this.#queue.commit([]);
  }

  #fail(share: number): void {
    const model = this.#model;
    const inFlight = this.#inFlight();
    const row = inFlight[Math.min(inFlight.length - 1, Math.floor(share * inFlight.length))];
    if (row === undefined) return;
    this.#queue.bury(this.#ids.get(row.data) ?? 0, 'refused_by_stream', 'why');
    this.#compare();
    this.#queue.commit([]);
    model.commitSettled();
    model.rows = model.rows.filter((other) => other !== row);
    model.dead.push({ payload: row.data, reason: 'refused_by_stream' });
    this.#limitDead();
  }

  #evict(): void {
    const model = this.#model;
    // As the queue's thread does: what is only in the log does not count for the limit.
    this.#queue.checkpoint();
    const evicted = this.#queue.evictOverLimit().reduce((sum, { count }) => sum + count, 0);
    const evictable = model.rows.filter(({ inFlight }) => !inFlight);
    assert.ok(evicted <= evictable.length, 'a row in flight was evicted');
    const gone = new Set(evictable.slice(0, evicted));
    model.rows = model.rows.filter((row) => !gone.has(row));
    model.evict('queue_full', evicted);
    assert.ok(
      this.#queue.bytes() <= MAX_BYTES || evicted === evictable.length,
      `${this.#queue.bytes()} bytes, ${evicted} of ${evictable.length} evicted`,
    );
  }

  /** All dead letters, newest first: each answer of the queue is bounded. */
  #deadLetters(): DeadLetter[] {
    const letters: DeadLetter[] = [];
    for (let before: number | null = null; ;) {
      const page = this.#queue.deadLetters(500, before);
      letters.push(...page.dead_letters);
      if (page.next_before === null) return letters;
      before = page.next_before;
    }
  }

  #settleDead(act: 'retry' | 'discard', share: number | null): void {
    const model = this.#model;
    const letters = this.#deadLetters();
    const selected = share === null ? letters : letters.filter((_, index) => index < share * letters.length);
    const chosen = share === null ? null : selected.map(({ id }) => id);
    const payloads = new Set(selected.map(({ payload }) => payload));
    const isChosen = ({ payload }: ModelLetter): boolean => payloads.has(payload.slice(0, 4096));
    if (act === 'retry') {
      this.#queue.retryDead(chosen, rules);
      const good = model.dead.filter((letter) => isChosen(letter) && isReading(letter.payload));
      model.dead = model.dead.filter((letter) => !good.includes(letter));
      for (const { payload } of chosen === null ? good : good.toReversed()) model.rows.push({ data: payload, inFlight: false });
    } else {
      this.#queue.discardDead(chosen);
      model.evict('discarded', model.dead.filter(isChosen).length);
      model.dead = model.dead.filter((letter) => !isChosen(letter));
    }
  }

  /** Opens the file in this folder after the present one was closed: the same, or a copy as a kill leaves it. */
  #restart(folder: string): void {
    this.#queue.close();
    this.#folder = folder;
    this.#queue = this.#open();
    this.#model.restarted();
    // Rows that were acknowledged but not yet deleted are queued again; an acknowledgement never outlives its process.
    this.#lastAcknowledged = [];
  }

  #inFlight(): ModelRow[] {
    return this.#model.rows.filter(({ inFlight, settled }) => inFlight && settled === undefined);
  }

  #limitDead(): void {
    const { dead } = this.#model;
    const sizes = dead.map(({ payload }) => Buffer.byteLength(payload) + 400);
    let size = sizes.reduce((sum, bytes) => sum + bytes, 0);
    let excess = 0;
    for (; size > MAX_BYTES / 10; excess += 1) size -= sizes[excess] ?? 0;
    if (excess <= 0) return;
    this.#model.dead.splice(0, excess);
    this.#model.evict('dead_letters_full', excess);
  }

  #compare(): void {
    const model = this.#model;
    const { ledger, causes, deadLetters, oldestAcceptedAtMs, damage } = this.#queue.contents();
    const settled = model.rows.filter((row) => row.settled !== undefined);
    const evicted = new Map(model.evicted);
    for (const { settled: cause = '' } of settled) if (cause !== '') evicted.set(cause, (evicted.get(cause) ?? 0) + 1);
    const evictedTotal = [...evicted.values()].reduce((sum, count) => sum + count, 0);
    const shipped = model.shipped + settled.filter((row) => row.settled === '').length;
    const queued = model.rows.length - settled.length;
    const missed = model.missed.get('outbox_full') ?? 0;
    assert.deepEqual(ledger, {
      accepted: model.accepted,
      shipped,
      queued,
      dead: model.dead.length,
      evicted: evictedTotal,
      missed,
    });
    assert.equal(ledger.accepted, ledger.shipped + ledger.queued + ledger.dead + ledger.evicted);
    assert.deepEqual(causes.evicted, Object.fromEntries(evicted));
    assert.equal(
      Object.values(causes.dead).reduce((sum, count) => sum + count, 0),
      model.dead.length,
    );
    assert.equal(deadLetters, model.dead.length);
    assert.equal(oldestAcceptedAtMs === null, queued === 0);
    assert.equal(damage, null);
    assert.equal(this.#queue.watermarks.find(({ run }) => run === RUN)?.stored ?? 0, model.stored);
    const listed = this.#deadLetters().toReversed();
    assert.deepEqual(
      listed.map(({ payload, reason }) => ({ payload, reason })),
      model.dead.map(({ payload, reason }) => ({ payload: payload.slice(0, 4096), reason })),
    );
  }

  /** The last law: a restart returns every row that was not shipped or evicted, in order. */
  finish(): void {
    this.step({ act: 'restart' });
    this.step({ act: 'take', rows: 1_000_000 });
    this.#queue.close();
  }
}
