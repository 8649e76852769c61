import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import type { QueueFile } from '../../../forwarder/queue/queue-file.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { openFile } from './support/queue-files.ts';

const MANY = 10_000_000;

interface Row {
  id: number;
  seq: number;
  device: string;
  isBacklog: boolean;
}

/** A queue with readings of straps, numbered over all of them. */
class Filled {
  readonly queue: QueueFile;
  #seq = 0;

  constructor(t: TestContext) {
    const queue = openFile(tempDir(t));
    t.after(() => queue.close());
    this.queue = queue;
  }

  add(device: string, count: number): void {
    const data = Array.from({ length: count }, () => JSON.stringify({ device, seq: (this.#seq += 1), sensor_contact: true }));
    this.queue.commit([
      { rows: { data, devices: data.map(() => device), sources: data.map(() => 0) }, dead: [], watermarks: [] },
    ]);
  }

  get seq(): number {
    return this.#seq;
  }

  take(maxRows: number, backlogRows = maxRows): Row[] | undefined {
    const taken = this.queue.take({ maxRows, maxBytes: MANY, backlogRows });
    return taken?.data.map((text, index) => ({
      ...(JSON.parse(text) as { seq: number; device: string }),
      id: taken.ids[index] ?? 0,
      isBacklog: index >= taken.liveRows,
    }));
  }

  ship(rows: readonly Row[]): void {
    this.queue.shipped(Float64Array.from(rows, ({ id }) => id));
  }
}

test('readings that are accepted after the backlog was declared are taken before it, also while the backlog fills the read-ahead', (t) => {
  const filled = new Filled(t);
  filled.add('a', 9000);
  const ahead = filled.take(4000) ?? [];
  assert.equal(ahead.length, 4000);
  filled.queue.readAhead.goLive(Date.now() + 1);
  filled.add('a', 3);
  filled.add('b', 2);
  const live = filled.take(2000, 0) ?? [];
  assert.deepEqual(
    live.map(({ seq, isBacklog }) => [seq, isBacklog]),
    [9001, 9002, 9003, 9004, 9005].map((seq) => [seq, false]),
  );
  filled.add('b', 1);
  const both = filled.take(2000, 10) ?? [];
  assert.deepEqual(
    both.slice(0, 2).map(({ seq, isBacklog }) => [seq, isBacklog]),
    [
      [9006, false],
      [4001, true],
    ],
  );
  assert.equal(both.filter(({ isBacklog }) => isBacklog).length, 10);
});

test('without a backlog, rows are taken in the order of acceptance, as before', (t) => {
  const filled = new Filled(t);
  filled.add('a', 10);
  filled.queue.readAhead.goLive(Date.now() + 1);
  const backlog = filled.take(100) ?? [];
  assert.ok(backlog.length === 10 && backlog.every(({ isBacklog }) => isBacklog), JSON.stringify(backlog));
  filled.add('a', 10);
  assert.ok(filled.take(100)?.every(({ isBacklog }) => !isBacklog) === true, 'all of the backlog was taken');
});

test('a flood of new readings of one strap joins the backlog, and those of another strap go before it', (t) => {
  const filled = new Filled(t);
  filled.add('old', 3000);
  filled.queue.readAhead.goLive(Date.now() + 1);
  filled.add('flood', 5000);
  filled.add('calm', 10);
  const live: Row[] = [];
  for (let rows = filled.take(2000, 0) ?? []; rows.length > 0; rows = filled.take(2000, 0) ?? []) live.push(...rows);
  const count = (device: string): number => live.filter((row) => row.device === device).length;
  assert.deepEqual([count('flood'), count('calm'), count('old')], [1000, 10, 0]);
});

const device = fc.constantFrom('a', 'b', 'c');
const count = fc.integer({ min: 1, max: 3000 });
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ act: fc.constant('add' as const), device, count }) },
  { weight: 5, arbitrary: fc.record({ act: fc.constant('take' as const), count, backlog: fc.integer({ min: 0, max: 2000 }) }) },
  { weight: 3, arbitrary: fc.record({ act: fc.constant('ship' as const), count }) },
  { weight: 3, arbitrary: fc.record({ act: fc.constant('goLive' as const) }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant('putBack' as const), device, keep: fc.integer({ min: 0, max: 5 }) }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant('release' as const), device }) },
);

test('however often a backlog is declared, and whatever is put back and passed over, each row is shipped exactly once', (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const filled = new Filled(t);
      const { queue } = filled;
      const shipped = new Set<number>();
      let taken: Row[] = [];
      const held = new Set<string>();
      let declaredAt = 0;
      const take = (rows: Row[] | undefined, backlogRows: number): void => {
        const firstBacklog = rows?.findIndex(({ isBacklog }) => isBacklog) ?? -1;
        const isLast = firstBacklog < 0 || rows?.slice(firstBacklog).every(({ isBacklog }) => isBacklog) === true;
        assert.ok(isLast, 'what is not backlog comes first');
        assert.ok((rows ?? []).filter(({ isBacklog }) => isBacklog).length <= backlogRows, 'no more backlog than asked for');
        for (const row of rows ?? []) {
          assert.ok(!held.has(row.device), `${row.device} is held`);
          assert.ok(!shipped.has(row.seq) && !taken.some(({ seq }) => seq === row.seq), `${row.seq} is taken twice`);
          if (declaredAt > 0 && !row.isBacklog && firstBacklog >= 0) assert.ok(row.seq > declaredAt, `${row.seq} is no backlog`);
          taken.push(row);
        }
      };
      const ship = (rows: readonly Row[]): void => {
        filled.ship(rows);
        for (const { seq } of rows) shipped.add(seq);
        taken = taken.filter((row) => !rows.includes(row));
      };
      filled.add('a', 4500);
      filled.add('b', 300);
      for (const one of steps)
        if (one.act === 'add') filled.add(one.device, one.count);
        else if (one.act === 'take') take(filled.take(one.count, one.backlog), one.backlog);
        else if (one.act === 'ship') ship(taken.slice(0, one.count));
        else if (one.act === 'goLive') {
          queue.readAhead.goLive(Date.now() + 1);
          declaredAt = filled.seq;
        } else if (one.act === 'release') {
          held.delete(one.device);
          queue.readAhead.release(one.device);
        } else {
          held.add(one.device);
          const back = taken.filter((row) => row.device === one.device).slice(one.keep);
          queue.readAhead.putBack(
            one.device,
            back.map(({ id }) => id),
          );
          taken = taken.filter((row) => !back.includes(row));
        }
      for (const name of held) queue.readAhead.release(name);
      held.clear();
      declaredAt = 0;
      ship(taken);
      for (let empty = 0; empty < 3;) {
        const rows = filled.take(2000, 2000);
        take(rows, 2000);
        if (rows?.length === 0) empty += 1;
        ship(taken);
      }
      assert.equal(shipped.size, filled.seq, `${filled.seq - shipped.size} rows were never taken`);
    }),
    { numRuns: 40 },
  );
});
