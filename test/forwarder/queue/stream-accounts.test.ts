import assert from 'node:assert/strict';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import type { StreamAccount, StreamGap } from '../../../contract/stream-account.ts';
import type { Append } from '../../../forwarder/queue/queue-messages.ts';
import type { QueueFile, QueueFileOptions } from '../../../forwarder/queue/queue-file.ts';
import { parseReading } from '../../../contract/reading.ts';
import { openDatabase } from '../../../service/storage/sqlite.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { appendOf, copyOf, fileOf, letterOf, openFile, readingOf, RUN, takeFrom } from './support/queue-files.ts';

const MINUTE_MS = 60_000;

/** Monotonic and wall clock of this test file; they advance by `pass` only. */
function virtualTime(t: TestContext): { pass: (ms: number) => void } {
  let now = Date.parse('2026-11-30T00:00:00.000Z');
  t.mock.method(Date, 'now', () => now);
  t.mock.method(performance, 'now', () => now);
  return { pass: (ms) => void (now += ms) };
}

function opened(t: TestContext, folder: string, options: Partial<QueueFileOptions> = {}): QueueFile {
  const queue = openFile(folder, { accounts: 'readings', ...options });
  t.after(() => queue.close());
  return queue;
}

interface Sent {
  seq: number;
  account?: StreamAccount;
  gaps?: StreamGap[];
}

/** Takes everything, and acknowledges it. */
function ship(queue: QueueFile): Sent[] {
  const taken = takeFrom(queue, 100_000, Number.MAX_SAFE_INTEGER);
  queue.shipped(taken.ids);
  return taken.data.map((data) => JSON.parse(data) as Sent);
}

const spanOf = ({ account }: Sent): unknown => {
  if (account === undefined) return undefined;
  const { at, ...rest } = account;
  assert.ok(typeof at === 'number', 'an account tells when it was made');
  return rest;
};
const accountsIn = (sent: readonly Sent[]): unknown[] => sent.map(spanOf).filter((account) => account !== undefined);

/** A queue a minute after it shipped seqs 1 and 3, with seq 2 a dead letter, and seq 4 to be shipped. */
function afterOneDied(t: TestContext): { time: ReturnType<typeof virtualTime>; queue: QueueFile } {
  const time = virtualTime(t);
  const queue = opened(t, tempDir(t));
  queue.commit([appendOf(1, 3)]);
  const { ids } = takeFrom(queue, 3, Number.MAX_SAFE_INTEGER);
  queue.bury(ids[1] ?? 0, 'refused_by_stream', 'no');
  queue.shipped(Float64Array.from([ids[0] ?? 0, ids[2] ?? 0]));
  queue.commit([]);
  time.pass(MINUTE_MS);
  queue.commit([appendOf(4, 1)]);
  return { time, queue };
}

function retryAndShip(queue: QueueFile): void {
  queue.retryDead(null, ({ payload, device }) => ({ kind: 'row', data: payload, device, source: 0 }));
  ship(queue);
  queue.commit([]);
}

test('every minute one reading carries the account of what was shipped before', (t) => {
  const time = virtualTime(t);
  const queue = opened(t, tempDir(t));
  const sent: Sent[] = [];
  for (let second = 0; second < 180; second += 1) {
    queue.commit([appendOf(second * 2 + 1, 2)]);
    sent.push(...ship(queue));
    time.pass(1000);
  }
  const carriers = sent.filter(({ account }) => account !== undefined);
  assert.deepEqual(
    carriers.map((carrier) => [carrier.seq, spanOf(carrier)]),
    [
      [121, { run: RUN, from: 1, to: 120, except: [] }],
      [241, { run: RUN, from: 1, to: 240, except: [] }],
    ],
  );
});

test('an account names dead, evicted and missed seqs with their causes, and nothing twice', (t) => {
  const time = virtualTime(t);
  const queue = opened(t, tempDir(t));
  queue.commit([appendOf(1, 100)]);
  const { ids } = takeFrom(queue, 100, Number.MAX_SAFE_INTEGER);
  queue.bury(ids[9] ?? 0, 'refused_by_stream', 'no');
  queue.evict(ids.slice(49, 60), 'test_reading');
  queue.shipped(Float64Array.from([...ids].filter((_, index) => index !== 9 && (index < 49 || index >= 60))));
  queue.commit([
    {
      ...appendOf(111, 0),
      watermarks: [{ gateway: 'test-box', run: RUN, stored: 110, missed: { outbox_full: 10 } }],
      missed: [{ gateway: 'test-box', run: RUN, from: 101, to: 110, cause: 'outbox_full' }],
    },
  ]);
  time.pass(MINUTE_MS);
  queue.commit([appendOf(111, 1)]);
  assert.deepEqual(accountsIn(ship(queue)), [
    {
      run: RUN,
      from: 1,
      to: 110,
      except: [
        { from: 10, to: 10, outcome: 'dead', cause: 'refused_by_stream' },
        { from: 50, to: 60, outcome: 'evicted', cause: 'test_reading' },
        { from: 101, to: 110, outcome: 'missed', cause: 'outbox_full' },
      ],
    },
  ]);
  queue.commit([]);
  time.pass(MINUTE_MS);
  queue.commit([appendOf(112, 1)]);
  assert.deepEqual(accountsIn(ship(queue)), [{ run: RUN, from: 111, to: 111, except: [] }]);
});

test('a dead letter that was retried and shipped gets a newer account without it', (t) => {
  const { time, queue } = afterOneDied(t);
  const [first] = ship(queue);
  assert.deepEqual(first?.account?.except, [{ from: 2, to: 2, outcome: 'dead', cause: 'refused_by_stream' }]);
  retryAndShip(queue);
  time.pass(MINUTE_MS);
  queue.commit([appendOf(5, 1)]);
  const [second] = ship(queue);
  assert.deepEqual(spanOf(second ?? { seq: 0 }), { run: RUN, from: 1, to: 4, except: [] });
  assert.ok((second?.account?.at ?? 0) > (first.account.at ?? 0), 'the newer account has the later time');
});

test('a retried dead letter is reported although no later reading was shipped since', (t) => {
  const { time, queue } = afterOneDied(t);
  // In flight from here on.
  takeFrom(queue, 1, Number.MAX_SAFE_INTEGER);
  retryAndShip(queue);
  time.pass(MINUTE_MS);
  queue.commit([appendOf(5, 1)]);
  assert.deepEqual(accountsIn(ship(queue)), [{ run: RUN, from: 1, to: 3, except: [] }]);
});

test('an account is part of its row: after a kill the same bytes are sent again', (t) => {
  const time = virtualTime(t);
  const folder = tempDir(t);
  const queue = opened(t, folder);
  queue.commit([appendOf(1, 10)]);
  ship(queue);
  queue.commit([]);
  time.pass(MINUTE_MS);
  queue.commit([appendOf(11, 3)]);
  const before = takeFrom(queue, 100, Number.MAX_SAFE_INTEGER).data;
  assert.equal(before.filter((data) => data.includes('"account":')).length, 1);
  const killed = copyOf(folder, path.join(tempDir(t), 'killed'));
  time.pass(MINUTE_MS);
  const after = opened(t, killed);
  after.commit([appendOf(14, 1)]);
  assert.deepEqual(takeFrom(after, 3, Number.MAX_SAFE_INTEGER).data, before);
});

for (const [lose, outcome, cause] of [
  ['evict', 'evicted', 'test_reading'],
  ['bury', 'dead', 'refused_by_stream'],
] as const)
  test(`what a row to ${lose} carries is given to another row, and a dead letter is stored without it`, (t) => {
    const time = virtualTime(t);
    const queue = opened(t, tempDir(t));
    queue.commit([appendOf(1, 4), { ...appendOf(6, 5), dead: [{ ...letterOf('x'), gateway: 'test-box', run: RUN, seq: 5 }] }]);
    ship(queue);
    queue.commit([]);
    time.pass(MINUTE_MS);
    queue.commit([appendOf(11, 1)]);
    const { ids, data } = takeFrom(queue, 1, Number.MAX_SAFE_INTEGER);
    assert.match(data[0] ?? '', /"account":/, 'the row carries an account');
    if (lose === 'evict') queue.evict(ids, cause);
    else queue.bury(ids[0] ?? 0, cause, 'no');
    queue.commit([]);
    if (lose === 'bury') assert.equal(queue.deadLetters(10, null).dead_letters[0]?.payload, readingOf(11));
    time.pass(MINUTE_MS);
    queue.commit([appendOf(12, 1)]);
    const except = [
      { from: 5, to: 5, outcome: 'dead', cause: 'invalid' },
      { from: 11, to: 11, outcome, cause },
    ];
    assert.deepEqual(accountsIn(ship(queue)), [{ run: RUN, from: 1, to: 11, except }]);
  });

test('a run that has ended gets a final account, which any reading of the gateway carries, and another gateway none', (t) => {
  const time = virtualTime(t);
  const queue = opened(t, tempDir(t));
  queue.commit([appendOf(1, 10)]);
  ship(queue);
  queue.commit([]);
  time.pass(25 * 60 * MINUTE_MS);
  const other = { gateway: 'other-box', run: 'feedfeedfeedfeed' };
  const next = { gateway: 'test-box', run: 'cafecafecafecafe' };
  for (const { gateway, run } of [other, next]) {
    const data = [1, 2].map((seq) => readingOf(seq, { gateway, run }));
    queue.commit([
      {
        rows: { data, devices: data.map(() => 'd'), sources: data.map(() => 0) },
        numbered: [{ gateway, run, first: 1, count: 2 }],
        dead: [],
        watermarks: [{ gateway, run, stored: 2, missed: {} }],
      },
    ]);
  }
  const carriers = ship(queue).filter(({ account }) => account !== undefined) as (Sent & { gateway: string })[];
  assert.deepEqual(
    carriers.map((carrier) => [carrier.gateway, spanOf(carrier)]),
    [['test-box', { run: RUN, from: 1, to: 10, except: [], final: true }]],
  );
});

test('a run whose sequencer says that it has ended gets its final account without waiting for a day', (t) => {
  const time = virtualTime(t);
  const queue = opened(t, tempDir(t));
  const run = { gateway: 'test-box', run: RUN };
  const later = (seq: number): Append => {
    const { data, devices, sources } = appendOf(1, 1).rows;
    const next = { gateway: 'test-box', run: 'cafecafecafecafe' };
    return {
      rows: { data: data.map(() => readingOf(seq, next)), devices, sources },
      numbered: [{ ...next, first: seq, count: 1 }],
      dead: [],
      watermarks: [{ ...next, stored: seq, missed: {} }],
    };
  };
  queue.commit([appendOf(1, 10)]);
  queue.commit([{ ...appendOf(11, 0), watermarks: [{ ...run, stored: 10, missed: {} }], ended: [run] }]);
  time.pass(MINUTE_MS);
  queue.commit([later(1)]);
  const [before] = accountsIn(ship(queue));
  assert.equal(before, undefined, 'nothing was shipped before');
  time.pass(MINUTE_MS);
  queue.commit([later(2)]);
  assert.deepEqual(accountsIn(ship(queue)), [{ run: RUN, from: 1, to: 10, except: [], final: true }]);
  // It was wrong: the run goes on.
  queue.commit([appendOf(11, 1)]);
  ship(queue);
  time.pass(MINUTE_MS);
  queue.commit([later(3)]);
  const accounts = accountsIn(ship(queue)) as StreamAccount[];
  assert.deepEqual(
    accounts.filter((account) => account.run === RUN),
    [{ run: RUN, from: 1, to: 11, except: [] }],
  );
});

test('a long account is split, each part below 1 KiB, over several readings', (t) => {
  const time = virtualTime(t);
  const queue = opened(t, tempDir(t));
  queue.commit([appendOf(1, 400)]);
  const { ids } = takeFrom(queue, 400, Number.MAX_SAFE_INTEGER);
  queue.shipped(ids.filter((_, index) => index % 2 === 0));
  queue.evict(
    ids.filter((_, index) => index % 2 === 1),
    'test_reading',
  );
  queue.commit([]);
  time.pass(MINUTE_MS);
  const covered = new Set<number>();
  const lost = new Set<number>();
  for (let seq = 401; seq < 440; seq += 1) {
    queue.commit([appendOf(seq, 1)]);
    for (const { account } of ship(queue)) {
      if (account === undefined) continue;
      assert.ok(JSON.stringify(account).length <= 1024, 'an account has at most 1 KiB');
      for (let at = account.from; at <= account.to; at += 1) covered.add(at);
      for (const { from, to } of account.except) for (let at = from; at <= to; at += 1) lost.add(at);
    }
  }
  assert.equal([...covered].filter((seq) => seq <= 400).length, 400);
  assert.deepEqual(
    [...lost],
    Array.from({ length: 200 }, (_, index) => (index + 1) * 2),
  );
});

test('gaps travel with the next reading of their device', (t) => {
  virtualTime(t);
  const queue = opened(t, tempDir(t));
  const gap = { from: '2026-11-30T00:00:00.000Z', to: '2026-11-30T00:01:00.000Z', cause: 'out_of_range' as const };
  queue.accounts({ act: 'gap', device: 'strap-3', gap });
  queue.commit([appendOf(1, 4)]);
  queue.commit([appendOf(5, 5)]);
  const sent = ship(queue);
  assert.deepEqual(
    sent.filter(({ gaps }) => gaps !== undefined).map(({ seq, gaps }) => [seq, gaps]),
    [[3, [gap]]],
  );
});

test('a commit that fails attaches nothing, and account and gap come with the next one', (t) => {
  const time = virtualTime(t);
  const folder = tempDir(t);
  const queue = opened(t, folder);
  queue.commit([appendOf(1, 2)]);
  ship(queue);
  queue.commit([]);
  time.pass(MINUTE_MS);
  const gap = { from: '2026-11-30T00:00:00.000Z', to: '2026-11-30T00:01:00.000Z', cause: 'no_pulse' as const };
  queue.accounts({ act: 'gap', device: 'strap-3', gap });
  const other = openDatabase(fileOf(folder));
  other.exec("CREATE TRIGGER fails BEFORE UPDATE ON state BEGIN SELECT RAISE(ABORT, 'planted'); END");
  assert.throws(() => queue.commit([appendOf(3, 1)]), /planted/);
  other.exec('DROP TRIGGER fails');
  other.close();
  queue.commit([appendOf(3, 1)]);
  const [sent] = ship(queue);
  assert.deepEqual([spanOf(sent ?? { seq: 0 }), sent?.gaps], [{ run: RUN, from: 1, to: 2, except: [] }, [gap]]);
});

test('with records, accounts are records of their own, a heartbeat without news, and count once they are stored', (t) => {
  virtualTime(t);
  const queue = opened(t, tempDir(t), { accounts: 'records' });
  const heartbeat = { record: 'account', sent_at: '2026-11-30T00:00:00.000Z', gateway: 'test-box' };
  queue.commit([appendOf(1, 5)]);
  assert.deepEqual(queue.accounts({ act: 'take' }), [heartbeat]);
  ship(queue);
  queue.commit([]);
  for (const records of ['lost', 'stored'] as const) {
    const [record] = queue.accounts({ act: 'take' }) ?? [];
    assert.deepEqual(spanOf({ seq: 0, account: record?.account as StreamAccount }), { run: RUN, from: 1, to: 5, except: [] });
    assert.equal(parseReading(JSON.stringify(record)).ok, false, 'a record of accounts is no reading');
    queue.accounts({ act: 'sent', records });
  }
  assert.deepEqual(queue.accounts({ act: 'take' }), [heartbeat]);
  queue.commit([appendOf(6, 5)]);
  assert.deepEqual(accountsIn(ship(queue)), []);
});
