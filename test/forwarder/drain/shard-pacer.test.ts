import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ShardPacer } from '../../../forwarder/drain/shard-pacer.ts';
import type { Clock } from '../../../service/pacing/clock.ts';
import { seeded } from '../../support/seeded.ts';

interface HandClock extends Clock {
  ms: number;
}

/** A clock that is set by hand. */
function handClock(seed = 1): HandClock {
  const random = seeded(seed);
  return {
    ms: 0,
    nowMs() {
      return this.ms;
    },
    dateMs() {
      return this.ms;
    },
    after() {
      throw new Error('a pacer sets no timers');
    },
    random,
  };
}

const BYTES = 200;

/** Sends up to 500 records at a time as the pacer grants them; what left. `stored` decides how many of a request are. */
function sent(pacer: ShardPacer, clock: HandClock, forMs: number, stored: (records: number) => number = (all) => all): number {
  const end = clock.ms + forMs;
  let records = 0;
  for (;;) {
    const waitMs = pacer.waitMs(10_000, BYTES, 500);
    if (clock.ms + waitMs > end) break;
    clock.ms += waitMs;
    const count = Math.min(500, pacer.mayRecords(BYTES));
    for (let left = count; left > 0; left -= 1) pacer.take(BYTES);
    pacer.composed();
    records += count;
    const taken = stored(count);
    pacer.answered({ granted: taken, grantedBytes: taken * BYTES, throttled: count - taken, startedAt: clock.ms });
  }
  clock.ms = end;
  return records;
}

/** A pacer that has the whole of its shard. */
function wholeShard(clock: HandClock): ShardPacer {
  const pacer = new ShardPacer({ clock });
  sent(pacer, clock, 10_000);
  assert.equal(pacer.share, 1, 'the share after 10 s alone');
  return pacer;
}

/** A shard that takes 1,000 records a second, in bursts of one second's worth. */
function shardLimit(clock: HandClock): (records: number) => number {
  let tokens = 1000;
  let at = clock.ms;
  return (records) => {
    tokens = Math.min(1000, tokens + clock.ms - at);
    at = clock.ms;
    const taken = Math.min(records, Math.floor(tokens));
    tokens -= taken;
    return taken;
  };
}

test('in any time span at most a full bucket and 950 records per second are sent to a shard, and alone not much less', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1000, max: 60_000 }), (forMs) => {
      const clock = handClock();
      const records = sent(wholeShard(clock), clock, forMs);
      assert.ok(records <= 950 * (1 + forMs / 1000) + 1, `${records} in ${forMs} ms`);
      assert.ok(records >= (950 * forMs) / 1000 - 500, `${records} in ${forMs} ms`);
    }),
  );
});

test('a box alone has the whole shard within 3 s of its start, and within 10 s of an outage', () => {
  for (let seed = 1; seed <= 100; seed += 1) {
    const clock = handClock(seed);
    const pacer = new ShardPacer({ clock });
    sent(pacer, clock, 3000);
    assert.equal(pacer.share, 1, 'the share 3 s after the start');
    const calm = new ShardPacer({ clock });
    calm.restart();
    assert.ok(calm.share < 0.01, `the share right after an outage is ${calm.share}`);
    sent(calm, clock, 10_000);
    assert.equal(calm.share, 1, 'the share 10 s after an outage');
  }
});

test('a single throttled request costs at most two seconds', () => {
  const clock = handClock();
  const pacer = wholeShard(clock);
  pacer.answered({ granted: 0, grantedBytes: 0, throttled: 500, startedAt: clock.ms - 10 });
  const records = sent(pacer, clock, 10_000);
  assert.ok(records >= 0.85 * 9500, String(records));
  const later = sent(pacer, clock, 10_000);
  assert.ok(later >= 0.98 * 9500 - 500, String(later));
});

test('if half is throttled, the rate settles near the limit and little is sent in vain', () => {
  const clock = handClock();
  const pacer = new ShardPacer({ clock, shards: 2 });
  const limit = shardLimit(clock);
  let stored = 0;
  const records = sent(pacer, clock, 60_000, (count) => {
    const taken = limit(count);
    stored += taken;
    return taken;
  });
  assert.ok(records / stored <= 1.05, `${records} sent, ${stored} taken`);
  assert.ok(stored >= 0.9 * 60_000, `${stored} taken`);
});

test('requests that were in flight together lower the share once', () => {
  const clock = handClock();
  const pacer = wholeShard(clock);
  const startedAt = clock.ms;
  clock.ms += 100;
  for (let i = 0; i < 4; i += 1) pacer.answered({ granted: 250, grantedBytes: 0, throttled: 250, startedAt });
  assert.ok(pacer.share >= 0.5 && pacer.share < 1, String(pacer.share));
});

test('no answer with refusals raises the share, however many records were stored', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 500 }), fc.integer({ min: 0, max: 499 }), fc.boolean(), (throttled, stored, isRamp) => {
      const clock = handClock();
      const pacer = isRamp ? new ShardPacer({ clock }) : wholeShard(clock);
      const before = pacer.share;
      pacer.answered({ granted: stored, grantedBytes: stored * BYTES, throttled, startedAt: clock.ms });
      assert.ok(pacer.share < before, `${before} became ${pacer.share}`);
    }),
  );
});

test('whatever is refused, a request leaves every 10 to 60 s, whatever the size of its records', () => {
  for (const bytes of [200, 25_000, 1_000_000, 6_000_000]) {
    const clock = handClock();
    const pacer = new ShardPacer({ clock });
    let last = 0;
    const gaps: number[] = [];
    while (clock.ms < 3_600_000) {
      clock.ms += pacer.waitMs(100, bytes, 500);
      const count = Math.max(1, pacer.mayRecords(bytes));
      for (let left = count; left > 0; left -= 1) pacer.take(bytes);
      pacer.composed();
      pacer.answered({ granted: 0, grantedBytes: 0, throttled: count, startedAt: clock.ms });
      gaps.push(clock.ms - last);
      last = clock.ms;
    }
    const settled = gaps.slice(20);
    assert.ok(
      settled.length > 0 && Math.min(...settled) >= 10_000 && Math.max(...settled) <= 60_000,
      `${bytes} B: ${settled.join(' ')}`,
    );
  }
});

test('a record of 6 MB leaves within 60 s at any share, and what follows it, too', () => {
  for (const refusals of [0, 5, 20, 100]) {
    const clock = handClock();
    const pacer = new ShardPacer({ clock });
    for (let i = 0; i < refusals; i += 1) {
      clock.ms += 1000;
      pacer.answered({ granted: 0, grantedBytes: 0, throttled: 10, startedAt: clock.ms });
    }
    for (const bytes of [6_000_000, 6_000_000, 200, 6_000_000, 200]) {
      let waited = 0;
      for (let waitMs = pacer.waitMs(1, bytes, 500); waitMs > 0; waitMs = pacer.waitMs(1, bytes, 500)) {
        waited += waitMs;
        clock.ms += waitMs;
        assert.ok(waited <= 60_000, `${waited} ms for ${bytes} bytes at a share of ${pacer.share}`);
      }
      assert.ok(pacer.may(bytes), `${bytes} bytes may be sent after the wait`);
      pacer.take(bytes);
      pacer.composed();
    }
  }
});

test('without answers a share does not grow: refusals may be under way', () => {
  const clock = handClock();
  const pacer = new ShardPacer({ clock });
  const before = pacer.share;
  for (const end = clock.ms + 10_000; clock.ms < end; clock.ms += Math.max(1, pacer.waitMs(10_000, BYTES, 500)))
    for (let left = pacer.mayRecords(BYTES); left > 0; left -= 1) pacer.take(BYTES);
  assert.equal(pacer.share, before);
  sent(pacer, clock, 3000);
  assert.equal(pacer.share, 1, 'the share once answers come');
});

test('what was taken for probes during an outage is not owed after it', () => {
  const clock = handClock();
  const pacer = new ShardPacer({ clock });
  for (let probe = 0; probe < 1000; probe += 1) {
    clock.ms += 6000;
    for (let i = 0; i < 10; i += 1) pacer.take(20_000);
  }
  pacer.restart();
  assert.ok(pacer.waitMs(100, BYTES, 500) <= 1000, `${pacer.waitMs(100, BYTES, 500)} ms after the return of the stream`);
});

/** What is stored in the third minute of a box that had the whole shard, and of one of which everything was refused before. */
function thirdMinuteOfUnevenBoxes(seed: number): { large: number; small: number } {
  const clock = handClock(seed);
  const limit = shardLimit(clock);
  const [large, small] = [wholeShard(clock), new ShardPacer({ clock })];
  for (let i = 0; i < 6; i += 1) {
    clock.ms += 600;
    small.answered({ granted: 0, grantedBytes: 0, throttled: 10, startedAt: clock.ms });
  }
  const stored = new Map<ShardPacer, number>();
  const due = new Map([large, small].map((pacer) => [pacer, clock.ms]));
  for (const end = clock.ms + 180_000; clock.ms < end;) {
    const [pacer, at] = [...due].reduce((first, next) => (next[1] < first[1] ? next : first));
    clock.ms = Math.max(clock.ms, at);
    const count = Math.min(500, pacer.mayRecords(BYTES));
    for (let left = count; left > 0; left -= 1) pacer.take(BYTES);
    pacer.composed();
    const granted = limit(count);
    if (clock.ms > end - 60_000) stored.set(pacer, (stored.get(pacer) ?? 0) + granted);
    if (count > 0) pacer.answered({ granted, grantedBytes: granted * BYTES, throttled: count - granted, startedAt: clock.ms });
    due.set(pacer, clock.ms + Math.max(1, pacer.waitMs(10_000, BYTES, 500)));
  }
  return { large: stored.get(large) ?? 0, small: stored.get(small) ?? 0 };
}

test('two boxes with uneven shares have similar ones within three minutes', () => {
  const { large, small } = thirdMinuteOfUnevenBoxes(1);
  assert.ok(small >= large / 2, `${large} and ${small} records in the third minute`);
});

test('a box whose share allows a record in some seconds is not left with that, whatever chance does', () => {
  for (let seed = 1; seed <= 12; seed += 1) {
    const { large, small } = thirdMinuteOfUnevenBoxes(seed);
    assert.ok(small >= large / 10, `seed ${seed}: ${large} and ${small} records in the third minute`);
  }
});

test('a box alone of which everything was refused for 10 s has a fifth of the shard again within 30 s', () => {
  for (let seed = 1; seed <= 20; seed += 1) {
    const clock = handClock(seed);
    const pacer = wholeShard(clock);
    sent(pacer, clock, 10_000, () => 0);
    assert.ok(pacer.share < 0.01, `the share after 10 s of refusals is ${pacer.share}`);
    sent(pacer, clock, 30_000);
    assert.ok(pacer.share >= 0.2, `the share 30 s later is ${pacer.share}`);
  }
});
