import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import type { QueueFile } from '../../../forwarder/queue/queue-file.ts';
import type { DeadLetterInput } from '../../../forwarder/queue/queue-messages.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { openFile } from './support/queue-files.ts';

const MiB = 1024 * 1024;
const EVERYTHING = { maxRows: 10_000_000, maxBytes: 10_000_000 };

interface Reading {
  seq: number;
  device: string;
}

/** Appends readings of devices, with seqs that grow over all of them. */
class Source {
  readonly queue: QueueFile;
  #seq = 0;

  constructor(queue: QueueFile) {
    this.queue = queue;
  }

  /** `more`: fields beside seq and device; a strap's reading has sensor_contact, another client's may have its publisher. */
  #append(devices: readonly string[], more: object): void {
    const data = devices.map((device) => JSON.stringify({ device, gateway: 'box', seq: (this.#seq += 1), ...more }));
    this.queue.commit([{ rows: { data, devices: [...devices], sources: data.map(() => 0) }, dead: [], watermarks: [] }]);
  }

  strap(device: string, count: number, padding = ''): void {
    this.#append(
      Array.from({ length: count }, () => device),
      { sensor_contact: true, padding },
    );
  }

  /** Another client that gives each reading a new device. */
  stranger(count: number, publisher: string | null = 'stranger', padding = ''): void {
    const devices = Array.from({ length: count }, (_, index) => `invented-${this.#seq + index}`);
    this.#append(devices, publisher === null ? { original: padding } : { publisher, original: padding });
  }
}

const readingsOf = (data: readonly string[] | undefined): Reading[] => (data ?? []).map((text) => JSON.parse(text) as Reading);

/** Takes everything, and returns how many rows there are of each device; invented ones count as one. */
function held(queue: QueueFile): Record<string, number> {
  const counts: Record<string, number> = {};
  for (;;) {
    const taken = queue.take({ maxRows: 2000, maxBytes: 4 * MiB });
    if (taken?.ids.length === 0) return counts;
    for (const { device } of readingsOf(taken?.data)) {
      const name = device.startsWith('invented') ? 'invented' : device;
      counts[name] = (counts[name] ?? 0) + 1;
    }
    queue.shipped(taken?.ids ?? new Float64Array());
  }
}

/** As the queue's thread does after a commit. */
function evict(queue: QueueFile): void {
  queue.checkpoint();
  queue.evictOverLimit();
}

function open(t: TestContext, maxBytes: number, folder = tempDir(t)): Source {
  const queue = openFile(folder, { maxBytes });
  t.after(() => queue.close());
  return new Source(queue);
}

for (const [who, publisher] of [
  ['a stranger who invents devices', 'stranger'],
  ['a client whose name the broker does not tell', null],
] as const)
  test(`at the size limit ${who} loses only its own readings`, (t) => {
    const source = open(t, MiB);
    const { queue } = source;
    source.strap('old-strap', 1000);
    for (let round = 0; round < 60; round += 1) {
      source.stranger(300, publisher);
      source.strap('strap', 5);
      evict(queue);
      assert.ok(queue.bytes() <= MiB);
    }
    const counts = held(queue);
    assert.equal(counts['old-strap'], 1000);
    assert.equal(counts['strap'], 300);
    assert.ok((counts['invented'] ?? 0) > 1000 && (counts['invented'] ?? 0) < 17_000, JSON.stringify(counts));
  });

test('large readings count by their bytes: few of them do not push out many small ones', (t) => {
  const source = open(t, MiB);
  source.strap('strap', 3000);
  for (let round = 0; round < 30; round += 1) {
    source.stranger(5, 'stranger', 'x'.repeat(20_000));
    evict(source.queue);
  }
  assert.equal(held(source.queue)['strap'], 3000);
});

test('between equal straps the oldest readings are evicted, whichever strap they belong to', (t) => {
  const source = open(t, MiB);
  for (let round = 0; round < 60; round += 1) {
    for (let strap = 0; strap < 10; strap += 1) source.strap(`strap-${strap}`, 20);
    evict(source.queue);
  }
  const evicted = source.queue.contents().causes.evicted['queue_full'] ?? 0;
  assert.ok(evicted > 2000, String(evicted));
  const taken = readingsOf(source.queue.take(EVERYTHING)?.data).map(({ seq }) => seq);
  assert.ok((taken[0] ?? 0) > evicted * 0.8, `the oldest that is left is ${taken[0]}; ${evicted} are evicted`);
});

test('shares are those of the file: rows of before a restart count, too', (t) => {
  const folder = tempDir(t);
  const before = openFile(folder, { maxBytes: 10 * MiB });
  const earlier = new Source(before);
  earlier.strap('strap', 2000);
  earlier.stranger(10_000);
  earlier.strap('strap', 100);
  before.close();
  const { queue } = open(t, MiB, folder);
  evict(queue);
  assert.ok(queue.bytes() <= MiB);
  assert.equal(held(queue)['strap'], 2100);
});

test('rows that were put back can be evicted, rows in flight cannot', (t) => {
  const source = open(t, MiB);
  const { queue } = source;
  source.strap('refused', 500, 'x'.repeat(2000));
  source.strap('shipping', 100, 'x'.repeat(2000));
  const taken = queue.take(EVERYTHING);
  const readings = readingsOf(taken?.data);
  const ids = [...(taken?.ids ?? [])];
  const tried = ids[0] ?? 0;
  queue.readAhead.putBack(
    'refused',
    ids.filter((id, index) => id !== tried && readings[index]?.device === 'refused'),
  );
  evict(queue);
  assert.ok(queue.bytes() <= MiB);
  queue.readAhead.release('refused');
  const again = readingsOf(queue.take(EVERYTHING)?.data);
  assert.deepEqual(new Set(again.map(({ device }) => device)), new Set(['refused']));
  assert.equal(queue.contents().ledger.queued, again.length + 101, 'those in flight are still there');
  assert.deepEqual(
    again.map(({ seq }) => seq),
    Array.from({ length: again.length }, (_, index) => 500 - again.length + 1 + index),
    'the oldest were evicted',
  );
});

test('a flood before it does not delay a reading: no owner fills the read-ahead while others wait', (t) => {
  const source = open(t, 100 * MiB);
  const { queue } = source;
  source.stranger(60_000);
  source.strap('strap', 20);
  source.stranger(100);
  let flood = 0;
  let strap = 0;
  while (strap < 20) {
    const readings = readingsOf(queue.take({ maxRows: 2000, maxBytes: 4 * MiB })?.data);
    strap += readings.filter(({ device }) => device === 'strap').length;
    flood += readings.filter(({ device }) => device !== 'strap').length;
    // Nothing is acknowledged: the drain would stop at 8,000.
    assert.ok(flood <= 6000, `${flood} readings of the flood are taken before those of the strap`);
  }
});

test('rows of owners that wait come later, each once and in order, also those that were accepted meanwhile', (t) => {
  const source = open(t, 100 * MiB);
  const { queue } = source;
  for (let round = 0; round < 20; round += 1) {
    source.stranger(500, 'one');
    source.stranger(500, 'two');
  }
  const seqs: Record<string, number[]> = { one: [], two: [] };
  const unshipped: number[] = [];
  const takeAll = (): number => {
    let count = 0;
    for (;;) {
      const taken = queue.take({ maxRows: 2000, maxBytes: 4 * MiB });
      if (taken === undefined) continue;
      if (taken.ids.length === 0) return count;
      count += taken.ids.length;
      unshipped.push(...taken.ids);
      for (const text of taken.data) {
        const { seq, publisher } = JSON.parse(text) as { seq: number; publisher: string };
        seqs[publisher]?.push(seq);
      }
    }
  };
  assert.ok(takeAll() < 8000, 'both wait');
  source.stranger(300, 'one');
  source.stranger(300, 'two');
  assert.equal(takeAll(), 0);
  while (unshipped.length > 0) {
    queue.shipped(Float64Array.from(unshipped.splice(0, 700)));
    queue.commit([]);
    takeAll();
  }
  for (const [publisher, all] of Object.entries(seqs)) {
    assert.equal(all.length, 10_300, publisher);
    assert.deepEqual(
      all,
      [...new Set(all)].sort((a, b) => a - b),
      `${publisher}: each once, in order`,
    );
  }
});

const letter = (seq: number, device: string, publisher: string | null): DeadLetterInput => ({
  reason: 'payload_not_json',
  detail: 'x',
  device,
  gateway: 'box',
  run: '0123456789abcdef',
  seq,
  bytes: 100,
  payload: publisher === null ? `{"device":"${device}","sensor_contact":true,` : 'x'.repeat(100),
  whole: true,
  ...(publisher === null ? {} : { publication: { arrivedAt: '2026-01-01T00:00:00Z', publisher, isBase64: false } }),
});

test("a stranger's dead letters do not push out those of others", (t) => {
  const { queue } = open(t, MiB);
  const commit = (dead: DeadLetterInput[]): void =>
    queue.commit([{ rows: { data: [], devices: [], sources: [] }, dead, watermarks: [] }]);
  commit([letter(1, 'strap', null), letter(2, 'strap', null), letter(3, 'app', 'friend')]);
  for (let round = 0; round < 20; round += 1)
    commit(Array.from({ length: 50 }, (_, index) => letter(100 + index, `invented-${round}-${index}`, 'stranger')));
  const { dead_letters: letters, total } = queue.deadLetters(500, null);
  const kept = letters.filter(({ device }) => !device.startsWith('invented')).map(({ seq }) => seq);
  assert.deepEqual(kept, [3, 2, 1]);
  assert.ok(total < 250);
  assert.equal(queue.contents().causes.evicted['dead_letters_full'], 1003 - total);
});

test('readings that the stream refuses count against their publisher, too', (t) => {
  const source = open(t, MiB);
  const { queue } = source;
  source.strap('strap', 2);
  source.stranger(600);
  const { ids = [] } = queue.take(EVERYTHING) ?? {};
  for (const id of ids) queue.bury(id, 'refused_by_stream', 'x');
  queue.commit([]);
  const { dead_letters: letters, total } = queue.deadLetters(500, null);
  assert.ok(total < 400, String(total));
  assert.equal(letters.filter(({ device }) => device === 'strap').length, 2);
});

/** Enough of one owner that it is passed over, and little of others. */
const count = fc.constantFrom(5, 300, 4500);
const device = fc.nat(2);
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ act: fc.constant('accept' as const), device, count }) },
  { weight: 5, arbitrary: fc.record({ act: fc.constant('take' as const), count }) },
  { weight: 3, arbitrary: fc.record({ act: fc.constant('ship' as const), count }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant('putBack' as const), device, keep: fc.integer({ min: 0, max: 5 }) }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant('release' as const), device }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('commit' as const) }) },
);

test('whatever is put back and passed over, each row is taken once more, and each device in order', (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const source = open(t, 100 * MiB);
      const { queue } = source;
      const names = ['strap-0', 'strap-1', 'strap-2'];
      let accepted = 0;
      /** In flight, in the order in which they were taken. */
      let taken: { id: number; reading: Reading }[] = [];
      const waiting = new Map<string, number[]>(names.map((name) => [name, []]));
      const take = (count: number): number => {
        const rows = queue.take({ maxRows: count, maxBytes: 4 * MiB });
        const readings = readingsOf(rows?.data);
        for (const [index, reading] of readings.entries()) {
          assert.equal(reading.seq, waiting.get(reading.device)?.shift(), `${reading.device} in order`);
          taken.push({ id: rows?.ids[index] ?? 0, reading });
        }
        return rows === undefined ? 1 : readings.length;
      };
      // So that one owner has too many from the beginning.
      const flood = [0, 0, 1, 2, 0].map((index) => ({ act: 'accept' as const, device: index, count: index === 0 ? 4500 : 300 }));
      for (const one of [...flood, { act: 'take' as const, count: 4500 }, ...steps])
        if (one.act === 'accept') {
          const device = names[one.device] ?? '';
          for (let seq = accepted + 1; seq <= accepted + one.count; seq += 1) waiting.get(device)?.push(seq);
          accepted += one.count;
          source.strap(device, one.count);
        } else if (one.act === 'take') take(one.count);
        else if (one.act === 'ship') {
          queue.shipped(Float64Array.from(taken.slice(0, one.count), ({ id }) => id));
          taken = taken.slice(one.count);
        } else if (one.act === 'putBack') {
          const device = names[one.device] ?? '';
          const back = taken.filter(({ reading }) => reading.device === device).slice(one.keep);
          queue.readAhead.putBack(
            device,
            back.map(({ id }) => id),
          );
          taken = taken.filter((row) => !back.includes(row));
          waiting.get(device)?.unshift(...back.map(({ reading }) => reading.seq).sort((a, b) => a - b));
        } else if (one.act === 'release') queue.readAhead.release(names[one.device] ?? '');
        else queue.commit([]);
      for (const name of names) queue.readAhead.release(name);
      queue.shipped(Float64Array.from(taken, ({ id }) => id));
      while (take(5000) > 0) {
        queue.shipped(Float64Array.from(taken, ({ id }) => id));
        taken = [];
      }
      queue.commit([]);
      assert.equal(queue.contents().ledger.shipped, accepted);
    }),
    { numRuns: 20 },
  );
});
