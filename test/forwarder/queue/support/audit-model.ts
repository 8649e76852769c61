/** The audit of the queue file against a list that names what became of every seq. Every account is compared after every step. */
import assert from 'node:assert/strict';
import { renameSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import type { RunAccount } from '../../../../contract/run-account.ts';
import type { QueueFile } from '../../../../forwarder/queue/queue-file.ts';
import { addNumber, type Append, type NumberedRows, type RunIdentity } from '../../../../forwarder/queue/queue-messages.ts';
import type { RetryRules } from '../../../../forwarder/queue/retried-letters.ts';
import { openDatabase } from '../../../../service/storage/sqlite.ts';
import { copyOf, fileOf, openFile, RUN, takeFrom } from './queue-files.ts';

const part = fc.double({ min: 0, max: 1, noNaN: true });
const run = fc.integer({ min: 0, max: 2 });

export const auditSteps = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        act: fc.constant('accept' as const),
        run,
        /** What each seq is on arrival. */
        seqs: fc.array(fc.constantFrom('row', 'row', 'row', 'dead', 'missed'), { maxLength: 12 }),
        bytes: fc.constantFrom(0, 0, 3000, 40_000),
      }),
    },
    { weight: 6, arbitrary: fc.record({ act: fc.constant('take' as const), rows: fc.integer({ min: 1, max: 20 }) }) },
    { weight: 6, arbitrary: fc.record({ act: fc.constantFrom('ship' as const, 'evictTaken' as const), part }) },
    { weight: 2, arbitrary: fc.record({ act: fc.constant('commit' as const) }) },
    { weight: 3, arbitrary: fc.record({ act: fc.constant('bury' as const), part }) },
    { weight: 2, arbitrary: fc.record({ act: fc.constant('evictOverLimit' as const) }) },
    { weight: 3, arbitrary: fc.record({ act: fc.constantFrom('retry' as const, 'discard' as const), part }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant('failedCommit' as const), run }) },
    { weight: 2, arbitrary: fc.record({ act: fc.constantFrom('restart' as const, 'kill' as const) }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constantFrom('damageRow' as const, 'newFile' as const) }) },
  ),
  { maxLength: 50 },
);
export type AuditStep = typeof auditSteps extends fc.Arbitrary<(infer One)[]> ? One : never;

interface Reading {
  run: ModelRun;
  seq: number;
}
interface ModelRow extends Reading {
  inFlight: boolean;
  id?: number;
  /** The code of its span after the next commit. */
  settled?: string;
}

interface ModelRun extends RunIdentity {
  /** The forwarder numbers it itself. */
  own: boolean;
  /** By seq - 1: the code of its span, or `queued`. */
  fates: string[];
  missed: Record<string, number>;
}

const MAX_BYTES = 256 * 1024;
const QUEUED = 'queued';
const REFUSED = 'refused_by_stream';

const dataOf = ({ gateway, run: name }: RunIdentity, seq: number, bytes: number): string =>
  JSON.stringify({
    timestamp: '2026-01-01T00:00:00.000Z',
    heart_rate: 60,
    device: 'd',
    gateway,
    run: name,
    seq,
    x: 'x'.repeat(bytes),
  });

/** Only what was a reading once can be one again. */
const rules: RetryRules = ({ payload, device, reason, detail }) =>
  payload.startsWith('{') ? { kind: 'row', data: payload, device, source: 0 } : { kind: 'dead', reason, detail };

/** The spans of the fates, as the account lists them. */
function spansOf(fates: readonly string[], from: number): RunAccount['spans'] {
  const spans: RunAccount['spans'] = [];
  for (let seq = from; seq <= fates.length; seq += 1) {
    const [outcome = '', cause = null] = (fates[seq - 1] ?? '').split(':');
    const last = spans.at(-1);
    if (last?.outcome === outcome && last.cause === cause) last.to = seq;
    else spans.push({ from: seq, to: seq, outcome: outcome as RunAccount['spans'][number]['outcome'], cause });
  }
  return spans;
}

function countsOf(fates: readonly string[]): RunAccount['counts'] {
  const counts: Record<string, number> = { shipped: 0, queued: 0, dead: 0, evicted: 0, missed: 0, unknown: 0 };
  for (const fate of fates) {
    const outcome = fate.split(':')[0] ?? '';
    counts[outcome] = (counts[outcome] ?? 0) + 1;
  }
  return counts as RunAccount['counts'];
}

export class AuditUnderTest {
  readonly #folderFor: () => string;
  readonly #spansMax: number;
  #folder: string;
  #queue: QueueFile;
  readonly #runs: ModelRun[] = [
    { gateway: 'test-box', run: RUN, own: false, fates: [], missed: {} },
    { gateway: 'other-box', run: RUN, own: false, fates: [], missed: {} },
    { gateway: 'test-box', run: 'feedfeedfeedfeed', own: true, fates: [], missed: {} },
  ];
  #rows: ModelRow[] = [];
  #dead: (Reading & { reason: string; isReading: boolean; bytes: number })[] = [];

  constructor(folderFor: () => string, spansMax: number) {
    this.#folderFor = folderFor;
    this.#spansMax = spansMax;
    this.#folder = folderFor();
    this.#queue = this.#open();
  }

  #open(): QueueFile {
    return openFile(this.#folder, { maxBytes: MAX_BYTES, spansMax: this.#spansMax });
  }

  close(): void {
    this.#queue.close();
  }

  step(step: AuditStep): void {
    this.#act(step);
    this.#compare();
  }

  #act(step: AuditStep): void {
    switch (step.act) {
      case 'accept':
        return this.#accept(this.#runs[step.run], step.seqs, step.bytes);
      case 'failedCommit':
        return this.#failedCommit(this.#runs[step.run]);
      case 'take':
        return this.#take(step.rows);
      case 'ship':
      case 'evictTaken':
        return this.#settle(step.act === 'ship' ? 'shipped' : 'evicted:test_reading', step.part);
      case 'commit':
        this.#queue.commit([]);
        return this.#committed();
      case 'bury':
        return this.#bury(step.part);
      case 'evictOverLimit':
        return this.#evictOverLimit();
      case 'retry':
      case 'discard':
        return this.#letters(step.act, step.part);
      case 'restart':
        return this.#reopen(this.#folder);
      case 'kill':
        return this.#reopen(copyOf(this.#folder, path.join(this.#folderFor(), 'killed')));
      case 'damageRow':
        return this.#damageRow();
      case 'newFile':
        return this.#newFile();
    }
  }

  #set({ run: of, seq }: Reading, fate: string): void {
    of.fates[seq - 1] = fate;
  }

  #appendOf(of: ModelRun, seqs: readonly string[], bytes: number): Append {
    const { gateway, run: name } = of;
    const numbered: NumberedRows[] = [];
    const missed = { ...of.missed };
    const append: Append = { rows: { data: [], devices: [], sources: [] }, numbered, dead: [], watermarks: [], missed: [] };
    for (const [index, kind] of seqs.entries()) {
      const seq = of.fates.length + index + 1;
      if (kind === 'row') {
        append.rows.data.push(dataOf(of, seq, bytes));
        append.rows.devices.push('d');
        append.rows.sources.push(0);
        addNumber(numbered, { gateway, run: name, seq });
      } else if (kind === 'dead') {
        append.dead.push({
          reason: 'invalid',
          detail: '',
          device: 'd',
          gateway,
          run: name,
          seq,
          bytes: 7,
          payload: 'rubbish',
          whole: true,
        });
      } else if (!of.own) {
        append.missed?.push({ gateway, run: name, from: seq, to: seq, cause: 'outbox_full' });
        missed['outbox_full'] = (missed['outbox_full'] ?? 0) + 1;
      }
    }
    if (!of.own) append.watermarks.push({ gateway, run: name, stored: of.fates.length + seqs.length, missed });
    return append;
  }

  #accept(of: ModelRun | undefined, kinds: readonly string[], bytes: number): void {
    if (of === undefined) return;
    // What the forwarder numbers itself is missed if a later seq is accepted.
    const seqs = of.own ? kinds.slice(0, kinds.findLastIndex((kind) => kind !== 'missed') + 1) : kinds;
    const append = this.#appendOf(of, seqs, bytes);
    this.#queue.commit([append]);
    this.#committed();
    of.missed = append.watermarks[0]?.missed ?? of.missed;
    for (const kind of seqs) {
      const reading = { run: of, seq: of.fates.length + 1 };
      of.fates.push(
        { row: QUEUED, dead: 'dead:invalid', missed: of.own ? 'missed:not_accepting' : 'missed:outbox_full' }[kind] ?? '',
      );
      if (kind === 'row') this.#rows.push({ ...reading, inFlight: false });
      if (kind === 'dead') this.#dead.push({ ...reading, reason: 'invalid', isReading: false, bytes: 7 });
    }
    this.#limitDead();
  }

  /** A transaction that fails at its last part changes no account. */
  #failedCommit(of: ModelRun | undefined): void {
    if (of === undefined) return;
    const append = this.#appendOf(of, ['row', 'dead', 'row', 'missed', 'dead'], 0);
    append.dead = append.dead.map((letter, index) => (index === 1 ? { ...letter, detail: null as unknown as string } : letter));
    assert.throws(() => this.#queue.commit([append]));
  }

  #committed(): void {
    for (const row of this.#rows) if (row.settled !== undefined) this.#set(row, row.settled);
    this.#rows = this.#rows.filter(({ settled }) => settled === undefined);
  }

  #take(rows: number): void {
    const taken = takeFrom(this.#queue, rows, Number.MAX_SAFE_INTEGER);
    const expected = this.#rows.filter(({ inFlight }) => !inFlight).slice(0, rows);
    assert.equal(taken.ids.length, expected.length);
    for (const [index, row] of expected.entries()) {
      row.inFlight = true;
      row.id = taken.ids[index] ?? 0;
    }
  }

  #inFlight(): ModelRow[] {
    return this.#rows.filter(({ inFlight, settled }) => inFlight && settled === undefined);
  }

  /** Answers come in any order, and for a part only. */
  #settle(code: string, share: number): void {
    const chosen = this.#inFlight().filter((_, index) => (index * 7919 + 13) % 100 < share * 100);
    for (const row of chosen) row.settled = code;
    const ids = Float64Array.from(chosen, ({ id = 0 }) => id);
    if (code === 'shipped') this.#queue.shipped(ids);
    else this.#queue.evict(ids, 'test_reading');
  }

  #bury(share: number): void {
    const inFlight = this.#inFlight();
    const row = inFlight[Math.min(inFlight.length - 1, Math.floor(share * inFlight.length))];
    if (row === undefined) return;
    const bytes = this.#bytesOf(row);
    this.#queue.bury(row.id ?? 0, REFUSED, '');
    this.#queue.commit([]);
    this.#committed();
    this.#rows = this.#rows.filter((other) => other !== row);
    this.#set(row, `dead:${REFUSED}`);
    this.#dead.push({ run: row.run, seq: row.seq, reason: REFUSED, isReading: true, bytes });
    this.#limitDead();
  }

  #bytesOf({ id = 0 }: ModelRow): number {
    const database = openDatabase(fileOf(this.#folder), { readonly: true });
    const bytes = database.prepare('SELECT octet_length(data) FROM rows WHERE id = ?').pluck().get(id) as number;
    database.close();
    return bytes;
  }

  #evictOverLimit(): void {
    const count = this.#queue.evictOverLimit().reduce((sum, span) => sum + span.count, 0);
    const evicted = new Set(this.#rows.filter(({ inFlight }) => !inFlight).slice(0, count));
    for (const row of evicted) this.#set(row, 'evicted:queue_full');
    this.#rows = this.#rows.filter((row) => !evicted.has(row));
  }

  #letters(act: 'retry' | 'discard', share: number): void {
    const { dead_letters: listed } = this.#queue.deadLetters(500, null);
    assert.equal(listed.length, this.#dead.length);
    const count = Math.ceil(share * listed.length);
    if (count === 0) return;
    const ids = listed.slice(0, count).map(({ id }) => id);
    const chosen = this.#dead.toReversed().slice(0, count);
    if (act === 'retry') this.#queue.retryDead(ids, rules);
    else this.#queue.discardDead(ids);
    for (const letter of chosen) {
      if (act === 'retry' && !letter.isReading) continue;
      this.#dead = this.#dead.filter((other) => other !== letter);
      this.#set(letter, act === 'retry' ? QUEUED : 'evicted:discarded');
      if (act === 'retry') this.#rows.push({ run: letter.run, seq: letter.seq, inFlight: false });
    }
  }

  #limitDead(): void {
    let size = this.#dead.reduce((sum, { bytes }) => sum + bytes + 400, 0);
    while (size > MAX_BYTES / 10) {
      const letter = this.#dead.shift();
      if (letter === undefined) return;
      size -= letter.bytes + 400;
      this.#set(letter, 'evicted:dead_letters_full');
    }
  }

  #reopen(folder: string): void {
    this.#queue.close();
    this.#folder = folder;
    this.#queue = this.#open();
    // Acknowledgements do not outlive their process.
    this.#rows = this.#rows.map(({ run: of, seq }) => ({ run: of, seq, inFlight: false }));
  }

  /** A row with a wrong checksum: the file is replaced by its readable part. */
  #damageRow(): void {
    this.#queue.close();
    const database = openDatabase(fileOf(this.#folder));
    const id = database.prepare('SELECT max(id) FROM rows').pluck().get() as number | null;
    if (id !== null) database.prepare('UPDATE rows SET crc = crc + 1 WHERE id = ?').run(id);
    database.close();
    this.#queue = this.#open();
    this.#rows = this.#rows.map(({ run: of, seq }) => ({ run: of, seq, inFlight: false }));
    if (id === null) return;
    const lost = this.#rows.pop();
    if (lost !== undefined) this.#set(lost, 'evicted:damaged');
    assert.equal(this.#queue.acknowledgeDamage().acknowledged, true);
  }

  /** The file is gone: sequencers offer what they hold to a new one, which has missed the rest. */
  #newFile(): void {
    this.#queue.close();
    renameSync(fileOf(this.#folder), path.join(this.#folder, 'gone.db'));
    this.#queue = this.#open();
    this.#rows = [];
    this.#dead = [];
    for (const of of this.#runs) {
      const last = of.fates.length;
      of.missed = {};
      if (of.own) of.fates = [];
      if (of.own || last === 0) continue;
      of.fates = of.fates.map(() => 'missed:earlier_queue');
      of.missed = { earlier_queue: last };
      const { gateway, run: name } = of;
      this.#queue.commit([
        {
          rows: { data: [], devices: [], sources: [] },
          dead: [],
          watermarks: [{ gateway, run: name, stored: last, missed: of.missed }],
          missed: [{ gateway, run: name, from: 1, to: last, cause: 'earlier_queue' }],
        },
      ]);
    }
  }

  #compare(): void {
    const sums = { shipped: 0, queued: 0, dead: 0, evicted: 0, missed: 0, unknown: 0 };
    const pending = this.#rows.filter(({ settled }) => settled !== undefined);
    for (const of of this.#runs) {
      const found = this.#queue.showRun(of.run, of.gateway, null);
      if (of.fates.length === 0 && found.kind === 'unknown') continue;
      assert.ok(found.kind === 'account');
      const { account } = found;
      assert.equal(account.watermark, of.fates.length);
      const countedTo = account.counted_only?.to ?? 0;
      assert.deepEqual(account.spans, spansOf(of.fates, countedTo + 1));
      assert.deepEqual(account.counts, countsOf(of.fates));
      if (account.counted_only !== null) assert.deepEqual(account.counted_only.counts, countsOf(of.fates.slice(0, countedTo)));
      assert.equal(account.complete, account.counts.shipped === of.fates.length);
      if (account.complete && of.fates.length > 0)
        assert.match(account.verdict, new RegExp(`^complete from 1 to ${of.fates.length}`));
      const settled = account.spans.filter(({ outcome }) => outcome !== 'queued').length;
      assert.ok(settled <= this.#spansMax + 1, `${settled} spans`);
      for (const outcome of Object.keys(sums) as (keyof typeof sums)[]) sums[outcome] += account.counts[outcome];
    }
    const { ledger, damage } = this.#queue.contents();
    assert.equal(damage, null);
    const shipped = pending.filter(({ settled }) => settled === 'shipped').length;
    const notAccepting = this.#runs.flatMap(({ fates }) => fates).filter((fate) => fate === 'missed:not_accepting').length;
    assert.deepEqual(
      { ...sums, accepted: ledger.accepted },
      {
        shipped: ledger.shipped - shipped,
        queued: ledger.queued + pending.length,
        dead: ledger.dead,
        evicted: ledger.evicted - (pending.length - shipped),
        // These are counted by the intake, in memory.
        missed: ledger.missed + notAccepting,
        unknown: 0,
        accepted: sums.shipped + sums.queued + sums.dead + sums.evicted,
      },
    );
  }
}
