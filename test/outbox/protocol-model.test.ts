import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { World, type Act } from './support/protocol-world.ts';
import { BRIDGES, WINDOW } from './support/world-view.ts';

const bridge = fc.constantFrom(...BRIDGES);
const forwarder = fc.constant('forwarder' as const);
const line = fc.constantFrom('bridge' as const, 'neighbour' as const, 'forwarder' as const);
const of = <K extends 'killForwarder' | 'commit' | 'failCommit' | 'refuse' | 'accept'>(kind: K): fc.Arbitrary<Act> =>
  fc.record({ do: fc.constant(kind), forwarder });

const traffic: fc.WeightedArbitrary<Act>[] = [
  { weight: 6, arbitrary: fc.record({ do: fc.constant('read' as const), bridge, count: fc.integer({ min: 1, max: 60 }) }) },
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
  { weight: 1, arbitrary: fc.constant({ do: 'restartBroker' as const }) },
  { weight: 1, arbitrary: of('killForwarder') },
  { weight: 1, arbitrary: of('failCommit') },
  { weight: 1, arbitrary: of('refuse') },
  { weight: 1, arbitrary: of('accept') },
];
const bridgeRestarts: fc.WeightedArbitrary<Act>[] = [
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('restartBridge' as const),
      bridge,
      spilled: fc.integer({ min: 0, max: 80 }),
      version1: fc.boolean(),
    }),
  },
];
const overflow: fc.WeightedArbitrary<Act>[] = [
  { weight: 1, arbitrary: fc.record({ do: fc.constant('drop' as const), bridge, count: fc.integer({ min: 1, max: 50 }) }) },
];
const replacement: fc.WeightedArbitrary<Act>[] = [
  { weight: 1, arbitrary: fc.record({ do: fc.constant('replaceQueue' as const), older: fc.boolean() }) },
];
const secondForwarder: fc.WeightedArbitrary<Act>[] = [
  { weight: 1, arbitrary: fc.constant({ do: 'startSecond' as const }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom('killForwarder' as const, 'commit' as const, 'failCommit' as const),
      forwarder: fc.constant('second' as const),
    }),
  },
];
const sizeLimits: fc.WeightedArbitrary<Act>[] = [
  // One reading has some 130 bytes, an offer 80.
  { weight: 2, arbitrary: fc.record({ do: fc.constant('limit' as const), bytes: fc.constantFrom(200, 500, 3000) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('read' as const),
      bridge,
      count: fc.integer({ min: 1, max: 3 }),
      bytes: fc.constant(3100),
    }),
  },
];

const total = (counts: Record<string, number>): number => Object.values(counts).reduce((sum, count) => sum + count, 0);

/** Plays a list of acts, lets everything work again, and checks what must hold whatever has happened. */
function play(acts: readonly Act[]): World {
  const world = new World();
  for (const act of acts) world.act(act);
  assert.notEqual(world.settle(), -1, 'it settles');
  assert.deepEqual(world.lost, []);
  for (const { committed, stored } of world.files)
    for (const [key, watermark] of committed)
      assert.equal(
        (stored.get(key)?.length ?? 0) + total(watermark.missed),
        watermark.stored,
        `${key}: every seq up to the watermark is stored or recorded as missed`,
      );
  return world;
}

/** Each fault without anything else that could heal it. */
const ALONE: Record<string, fc.Arbitrary<Act>[]> = {
  'packets lost and repeated': [
    fc.record({ do: fc.constantFrom('loseOne' as const, 'repeatOne' as const), line, up: fc.boolean() }),
  ],
  'lines cut and connected again': [fc.record({ do: fc.constantFrom('cut' as const, 'connect' as const), line })],
  'a broker restarted': [fc.constant({ do: 'restartBroker' as const }), fc.record({ do: fc.constant('connect' as const), line })],
  'a forwarder killed': [of('killForwarder'), fc.constant({ do: 'connect' as const, line: 'forwarder' as const })],
  'commits that fail': [of('failCommit')],
  'a queue that refuses for a while': [of('refuse'), of('accept')],
  'a broker that swallows large messages': [fc.record({ do: fc.constant('limit' as const), bytes: fc.constantFrom(200, 500) })],
};

for (const [name, faultsAlone] of Object.entries(ALONE))
  test(`${name}, and nothing else: delivery recovers by itself, nothing is lost or missed`, () => {
    const calm = traffic.filter((_, index) => index < 4);
    fc.assert(
      fc.property(
        fc.array(fc.oneof(...calm, ...faultsAlone.map((arbitrary) => ({ weight: 3, arbitrary }))), {
          minLength: 3,
          maxLength: 40,
        }),
        (list) => {
          const world = play(list);
          assert.deepEqual(world.missed, {});
          assert.equal(world.everStored.size, world.taken.size);
        },
      ),
      { numRuns: 150 },
    );
  });

const acts = (...more: fc.WeightedArbitrary<Act>[][]): fc.Arbitrary<Act[]> =>
  fc.array(fc.oneof(...traffic, ...faults, ...more.flat()), { maxLength: 80 });

test('whatever lines lose, repeat and delay, and queues fail and refuse: nothing is lost or missed, nothing stalls', () => {
  fc.assert(
    fc.property(acts(), (list) => {
      const world = play(list);
      assert.deepEqual(world.missed, {});
      assert.equal(world.everStored.size, world.taken.size);
    }),
    { numRuns: 400 },
  );
});

test('bridges killed in between, also after sending more than was on disk: spilled readings are stored, runs settle', () => {
  fc.assert(
    fc.property(acts(bridgeRestarts), (list) => {
      assert.deepEqual(play(list).missed, {});
    }),
    {
      numRuns: 300,
      examples: [
        [
          [
            { do: 'flow', rounds: 2 },
            { do: 'read', bridge: 'bridge', count: 30 },
            { do: 'deliver', line: 'bridge', up: true, count: 100 },
            { do: 'deliver', line: 'forwarder', up: false, count: 100 },
            { do: 'commit', forwarder: 'forwarder' },
            { do: 'restartBridge', bridge: 'bridge', spilled: 10, version1: false },
          ],
        ],
      ],
    },
  );
});

test('what an outbox drops is recorded once, as outbox_full, and nothing else is', () => {
  fc.assert(
    fc.property(acts(overflow), (list) => {
      const world = play(list);
      // What was stored, and dropped before the watermark arrived, is not missed.
      const reallyMissed = [...world.gone].filter((id) => !world.everStored.has(id)).length;
      assert.equal(total(world.missed), reallyMissed);
      assert.deepEqual(
        Object.keys(world.missed).filter((cause) => cause !== 'outbox_full'),
        [],
      );
    }),
    { numRuns: 300 },
  );
});

test('a queue file that was replaced by an empty one or an older copy: delivery goes on, and what the earlier one held is recorded', () => {
  fc.assert(
    fc.property(acts(replacement), (list) => {
      const world = play(list);
      assert.deepEqual(
        Object.keys(world.missed).filter((cause) => !['earlier_queue', 'unknown'].includes(cause)),
        [],
      );
    }),
    { numRuns: 300 },
  );
});

test('a second forwarder that takes the same readings: each sequencer follows one, every reading is in one of the queues', () => {
  fc.assert(
    fc.property(acts(secondForwarder), (list) => {
      play(list);
    }),
    { numRuns: 300 },
  );
});

test('a second forwarder that is faster cannot make a sequencer forget what the followed one has not stored', () => {
  const world = new World();
  assert.notEqual(world.settle(), -1);
  world.act({ do: 'startSecond' });
  world.act({ do: 'flow', rounds: 3 });
  world.act({ do: 'read', bridge: 'bridge', count: 20 });
  world.deliver('bridge', true, 100);
  world.deliver('second', false, 100);
  world.forwarders.second.commit();
  world.deliver('second', true, 100);
  world.deliver('bridge', false, 100);
  assert.equal(world.bridges.bridge.own.stored, 0);
  assert.ok(world.bridges.bridge.sequencer.queue.ignored > 0);
  assert.notEqual(world.settle(), -1);
  assert.equal(world.bridges.bridge.own.stored, 20);
  assert.deepEqual(world.missed, {});
});

test('a broker that swallows large messages: packets shrink, a reading that it never carries is refused, and nothing is missed', () => {
  fc.assert(
    fc.property(acts(sizeLimits), (list) => {
      const world = play([...list, { do: 'limit', bytes: 3000 }]);
      assert.deepEqual(world.missed, {});
      assert.equal(world.everStored.size, world.taken.size);
    }),
    { numRuns: 200 },
  );
});

test('all of it at once', () => {
  fc.assert(
    fc.property(acts(bridgeRestarts, overflow, replacement, secondForwarder, sizeLimits), (list) => {
      play([...list, { do: 'limit', bytes: 3000 }]);
    }),
    { numRuns: 300 },
  );
});

test('if nothing goes wrong each reading is sent once, and at once', () => {
  const world = new World();
  assert.notEqual(world.settle(), -1);
  for (let i = 0; i < 500; i += 1) {
    world.act({ do: 'read', bridge: 'bridge', count: 1 });
    assert.notEqual(world.settle(), -1);
  }
  assert.equal(world.everStored.size, 500);
  assert.equal(world.sent, 500);
});

test('runs of the same digits from two gateways do not touch each other', () => {
  const world = new World();
  assert.equal(world.bridges.bridge.own.run, world.bridges.neighbour.own.run);
  world.act({ do: 'read', bridge: 'bridge', count: 30 });
  world.act({ do: 'read', bridge: 'neighbour', count: 20 });
  assert.notEqual(world.settle(), -1);
  assert.equal(world.bridges.bridge.own.stored, 30);
  assert.equal(world.bridges.neighbour.own.stored, 20);
  assert.equal(world.everStored.size, 50);
  assert.equal(world.sent, 50);
});

test('a forwarder that is away for long and returns is not stormed: each reading is sent once', (t) => {
  const world = new World();
  world.settle();
  world.act({ do: 'cut', line: 'bridge' });
  for (let i = 0; i < 2000; i += 1) world.act({ do: 'read', bridge: 'bridge', count: 1 });
  assert.notEqual(world.settle(), -1);
  t.diagnostic(`sent ${world.sent}, offers ${world.offers}`);
  assert.equal(world.sent, 2000);
});

test('a forwarder that is killed again and again while it catches up costs at most a window each time', (t) => {
  const world = new World();
  world.settle();
  world.act({ do: 'cut', line: 'bridge' });
  for (let i = 0; i < 2000; i += 1) world.act({ do: 'read', bridge: 'bridge', count: 1 });
  let kills = 0;
  while (world.everStored.size < 1900) {
    assert.ok(kills < 500, 'there is progress between kills');
    world.settle(8);
    world.tick();
    // What was sent arrives, is taken, and dies with the forwarder before it is committed.
    for (const upward of [true, false]) for (const end of ['bridge', 'forwarder'] as const) world.deliver(end, upward, 1000);
    world.act({ do: 'killForwarder', forwarder: 'forwarder' });
    kills += 1;
  }
  assert.notEqual(world.settle(), -1);
  t.diagnostic(`${kills} kills, sent ${world.sent}, offers ${world.offers}`);
  assert.ok(kills > 10 && world.sent > 2000);
  assert.ok(world.sent <= 2000 + kills * WINDOW, String(world.sent));
});
