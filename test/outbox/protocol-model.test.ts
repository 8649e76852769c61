import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { OutboxRun } from '../../outbox/outbox-run.ts';
import { RunIntake } from '../../forwarder/intake/run-intake.ts';
import { World, WINDOW, type Act } from './support/protocol-world.ts';

const RUN = '0123456789abcdef';
const line = fc.constantFrom('bridge' as const, 'forwarder' as const);
const of = <K extends Act['do']>(kind: K): fc.Arbitrary<{ do: K }> => fc.constant({ do: kind });

const traffic: fc.WeightedArbitrary<Act>[] = [
  { weight: 6, arbitrary: fc.record({ do: fc.constant('read' as const), count: fc.integer({ min: 1, max: 60 }) }) },
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant('deliver' as const),
      line,
      up: fc.boolean(),
      count: fc.integer({ min: 1, max: 100 }),
    }),
  },
  { weight: 5, arbitrary: of('commit') },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('flow' as const), rounds: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 100, max: 40_000 }) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('connect' as const), line }) },
];
const faults: fc.WeightedArbitrary<Act>[] = [
  { weight: 2, arbitrary: fc.record({ do: fc.constant('cut' as const), line }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('loseOne' as const, 'repeatOne' as const), line, up: fc.boolean() }) },
  { weight: 1, arbitrary: of('restartBroker') },
  { weight: 1, arbitrary: of('killForwarder') },
  { weight: 1, arbitrary: of('failCommit') },
  { weight: 1, arbitrary: of('refuse') },
  { weight: 1, arbitrary: of('accept') },
];
const bridgeRestarts: fc.WeightedArbitrary<Act>[] = [
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restartBridge' as const), spilled: fc.integer({ min: 0, max: 80 }) }) },
];
const overflow: fc.WeightedArbitrary<Act>[] = [
  { weight: 1, arbitrary: fc.record({ do: fc.constant('giveUp' as const), count: fc.integer({ min: 1, max: 50 }) }) },
];
const replacement: fc.WeightedArbitrary<Act>[] = [
  { weight: 1, arbitrary: fc.record({ do: fc.constant('replaceQueue' as const), older: fc.boolean() }) },
];

const total = (counts: Record<string, number>): number => Object.values(counts).reduce((sum, count) => sum + count, 0);

/** Plays what was chosen, lets everything work again, and checks what must hold whatever happened. */
function play(acts: readonly Act[]): World {
  const world = new World();
  for (const act of acts) world.act(act);
  assert.notEqual(world.settle(), -1, 'it comes to an end');
  assert.deepEqual(world.lost, []);
  for (const [run, mark] of world.queue.committed)
    assert.equal(
      (world.queue.stored.get(run)?.length ?? 0) + total(mark.missed),
      mark.stored,
      `run ${run}: all up to the mark is stored or booked as missed`,
    );
  for (const [id, times] of world.liveSent) assert.equal(times, 1, `${id} was sent live ${times} times`);
  return world;
}

/** Each fault where nothing else heals what it did: lines stay up, but for the fault's own sake. */
const ALONE: Record<string, fc.Arbitrary<Act>[]> = {
  'packets lost and repeated': [
    fc.record({ do: fc.constantFrom('loseOne' as const, 'repeatOne' as const), line, up: fc.boolean() }),
  ],
  'lines cut and made again': [fc.record({ do: fc.constantFrom('cut' as const, 'connect' as const), line })],
  'a broker restarted': [of('restartBroker'), fc.record({ do: fc.constant('connect' as const), line })],
  'a forwarder killed': [of('killForwarder'), fc.constant({ do: 'connect' as const, line: 'forwarder' as const })],
  'commits that fail': [of('failCommit')],
  'a queue that refuses for a while': [of('refuse'), of('accept')],
  'a queue file replaced': [
    fc.record({ do: fc.constant('replaceQueue' as const), older: fc.boolean() }),
    fc.constant({ do: 'connect' as const, line: 'forwarder' as const }),
  ],
};

for (const [name, faultsAlone] of Object.entries(ALONE))
  test(`${name}, and nothing else: it goes on by itself, nothing is lost`, () => {
    const calm = traffic.filter((_, index) => index < 4);
    fc.assert(
      fc.property(
        fc.array(fc.oneof(...calm, ...faultsAlone.map((arbitrary) => ({ weight: 3, arbitrary }))), {
          minLength: 3,
          maxLength: 40,
        }),
        (list) => {
          const { missed } = play(list);
          assert.deepEqual(
            Object.keys(missed).filter((cause) => cause !== 'earlier_queue' || name !== 'a queue file replaced'),
            [],
          );
        },
      ),
      { numRuns: 250 },
    );
  });

const acts = (...more: fc.WeightedArbitrary<Act>[][]): fc.Arbitrary<Act[]> =>
  fc.array(fc.oneof(...traffic, ...faults, ...more.flat()), { maxLength: 80 });

test('a link that drops, delays, loses, repeats and restarts, a queue that fails and refuses: nothing is lost or booked as missed, nothing stalls, the window is kept', () => {
  fc.assert(
    fc.property(acts(), (list) => {
      const world = play(list);
      assert.deepEqual(world.missed, {});
      assert.equal(world.everStored.size, world.taken.size);
    }),
    { numRuns: 800 },
  );
});

test('bridges killed in between: what was spilled is stored beside what the next one reads', () => {
  fc.assert(
    fc.property(acts(bridgeRestarts), (list) => {
      assert.deepEqual(play(list).missed, {});
    }),
    { numRuns: 500 },
  );
});

test('what an outbox gives up is booked once, as outbox_full, and nothing else is', () => {
  fc.assert(
    fc.property(acts(overflow), (list) => {
      const world = play(list);
      // What was stored, and given up before its mark arrived, is not missed.
      const reallyMissed = [...world.gone].filter((id) => !world.everStored.has(id)).length;
      assert.equal(total(world.missed), reallyMissed);
      assert.deepEqual(
        Object.keys(world.missed).filter((cause) => cause !== 'outbox_full'),
        [],
      );
    }),
    { numRuns: 500 },
  );
});

test('a queue file that was replaced by none or by an older copy: it goes on, and what the earlier one held is booked', () => {
  fc.assert(
    fc.property(acts(replacement), (list) => {
      const world = play(list);
      assert.deepEqual(
        Object.keys(world.missed).filter((cause) => cause !== 'earlier_queue'),
        [],
      );
    }),
    { numRuns: 500 },
  );
});

test('all of it at once', () => {
  fc.assert(
    fc.property(acts(bridgeRestarts, overflow, replacement), (list) => {
      play(list);
    }),
    { numRuns: 500 },
  );
});

test('where nothing goes wrong each reading is sent once', () => {
  const world = new World();
  assert.notEqual(world.settle(), -1);
  for (let i = 0; i < 500; i += 1) {
    world.read(1);
    assert.notEqual(world.settle(), -1);
  }
  assert.equal(world.everStored.size, 500);
  assert.equal(world.resent, 0);
});

/** Readings sent (live and again) for each that was taken. */
const sentPerTaken = (world: World): number => (world.liveSent.size + world.resent) / world.taken.size;

test('a forwarder that is away for long and returns is not stormed: each reading is sent once', (t) => {
  const world = new World();
  world.settle();
  world.act({ do: 'cut', line: 'bridge' });
  for (let i = 0; i < 2000; i += 1) world.act({ do: 'read', count: 1 });
  assert.notEqual(world.settle(), -1);
  t.diagnostic(`sent / needed ${sentPerTaken(world)}, sources ${world.sources}`);
  assert.equal(world.resent, 2000);
});

test('a forwarder that is killed again and again while it catches up costs at most a window each time', (t) => {
  const world = new World();
  world.settle();
  world.act({ do: 'cut', line: 'bridge' });
  for (let i = 0; i < 2000; i += 1) world.act({ do: 'read', count: 1 });
  let kills = 0;
  while (world.everStored.size < 1900) {
    assert.ok(kills < 500, 'it gets on between kills');
    world.settle(8);
    world.pump();
    // What was sent arrives, is taken, and dies with the forwarder before it is committed.
    for (const upward of [true, false]) for (const end of ['bridge', 'forwarder'] as const) world.deliver(end, upward, 1000);
    world.act({ do: 'killForwarder' });
    kills += 1;
  }
  assert.notEqual(world.settle(), -1);
  t.diagnostic(`${kills} kills, sent / needed ${sentPerTaken(world)}, sources ${world.sources}`);
  assert.ok(kills > 10 && world.resent > 2000);
  assert.ok(world.resent <= 2000 + kills * WINDOW, String(world.resent));
});

test('a forwarder that answers and commits nothing is asked ever more seldom, and sent nothing but a window', () => {
  const bridge = new OutboxRun({ run: RUN, window: WINDOW, recovered: false, random: () => 0.5 });
  for (let seq = 1; seq <= 500; seq += 1) bridge.hold({ seq: bridge.nextSeq(), payload: '{}' }, 0);
  bridge.askedForSource();
  let sources = 0;
  let sent = 0;
  for (let nowMs = 300; nowMs < 300_000; nowMs += 100) {
    const source = bridge.dueSource(nowMs);
    if (source === undefined) continue;
    sources += 1;
    bridge.heard({ stored: 0, next: 1, sync: source.sync }, nowMs);
    for (let packet = bridge.nextResend(); packet !== undefined; packet = bridge.nextResend()) sent += packet.length;
  }
  assert.ok(sources < 20, String(sources));
  assert.ok(sent <= sources * WINDOW, String(sent));
});

test('a mark above what was given out is ignored, and only the answer to the current source starts a resend, once', () => {
  const bridge = new OutboxRun({ run: RUN, window: WINDOW, recovered: false });
  for (let i = 0; i < 3; i += 1) bridge.hold({ seq: bridge.nextSeq(), payload: '{}' }, 0);
  bridge.heard({ stored: 99 }, 1);
  assert.equal(bridge.held.length, 3);
  bridge.askedForSource();
  const source = bridge.dueSource(1000);
  assert.equal(source?.from, 1);
  bridge.heard({ stored: 0, next: 1, sync: (source?.sync ?? 0) - 1 }, 1001);
  assert.equal(bridge.nextResend(), undefined);
  bridge.heard({ stored: 0, next: 1, sync: source?.sync }, 1002);
  assert.deepEqual(
    bridge.nextResend()?.map(({ seq }) => seq),
    [1, 2, 3],
  );
  bridge.heard({ stored: 0, next: 1, sync: source?.sync }, 1003);
  assert.equal(bridge.nextResend(), undefined);
});

test('what the bridge dropped is booked by its cause, what an earlier queue held as that', () => {
  const intake = new RunIntake(RUN, WINDOW);
  const taken = intake.source({ run: RUN, from: 11, last: 20, dropped: { outbox_full: 4 }, sync: 1 });
  assert.deepEqual(taken?.mark, { run: RUN, stored: 10, missed: { outbox_full: 4, earlier_queue: 6 } });
  assert.equal(intake.source({ run: RUN, from: 11, last: 20, dropped: { outbox_full: 4 }, sync: 2 }), undefined);
  assert.equal(intake.next, 11);
  // What was booked by a cause is not booked by it again.
  assert.deepEqual(intake.source({ run: RUN, from: 17, last: 20, dropped: { outbox_full: 5 }, sync: 3 })?.mark.missed, {
    outbox_full: 5,
    earlier_queue: 11,
  });
});

test('what waits in the reorder buffer is bounded by the window, taken in order once its turn comes, and then gone from it', () => {
  const intake = new RunIntake(RUN, WINDOW);
  for (let seq = 3 * WINDOW; seq > 1; seq -= 1) assert.equal(intake.offer(seq, String(seq)), undefined);
  assert.equal(intake.buffered, WINDOW);
  assert.deepEqual(
    intake.offer(1, '1')?.payloads.map(({ seq }) => seq),
    Array.from({ length: WINDOW + 1 }, (_, index) => index + 1),
  );
  assert.equal(intake.buffered, 0);
});
