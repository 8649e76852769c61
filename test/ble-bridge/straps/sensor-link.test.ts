import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../../support/eventually.ts';
import { beat, makeLink, SHORT, until } from '../support/scripted-strap.ts';

describe('a sensor link', () => {
  test('goes through connecting, connected and subscribing, and streams with the first notification', async (t) => {
    const made = makeLink();
    t.after(() => made.link.stop());
    await until(made, 'subscribing');
    made.radio.links[0]?.onData(beat(60));
    assert.deepEqual(made.states, ['connecting', 'connected', 'subscribing', 'streaming']);
    made.radio.links[0]?.onData(beat(0));
    made.radio.links[0]?.onData(beat(61, false));
    made.radio.links[0]?.onData(beat(62, null));
    assert.deepEqual(made.states.slice(4), ['no_pulse', 'no_contact', 'streaming']);
    assert.deepEqual(
      made.measurements.map(({ bpm }) => bpm),
      [60, 0, 61, 62],
    );
  });

  for (const step of ['connect', 'discover', 'subscribe'] as const)
    test(`${step} without an answer ends at its limit and is tried again`, async (t) => {
      const made = makeLink(SHORT);
      t.after(() => made.link.stop());
      made.radio.script[step] = 'hangs';
      await until(made, 'connecting');
      await eventually(() => made.ends.length >= 1);
      assert.deepEqual([...new Set(made.ends)], ['timeout']);
      made.radio.script[step] = 'ok';
      await until(made, 'subscribing');
    });

  test('a disconnect that is not confirmed is abandoned and reported', async (t) => {
    const made = makeLink(SHORT);
    t.after(() => made.link.stop());
    made.radio.script.discover = 'hangs';
    made.radio.script.disconnect = 'hangs';
    await until(made, 'connecting');
    await eventually(() => made.seen.unconfirmed === 1);
    assert.equal(made.radio.abandons, 1);
    made.radio.script.discover = 'ok';
    made.radio.script.disconnect = 'ok';
    await until(made, 'subscribing');
  });

  test('notifications and disconnects of an old link are ignored', async (t) => {
    const made = makeLink();
    t.after(() => made.link.stop());
    await until(made, 'subscribing');
    const old = made.radio.links[0];
    old?.onData(beat(60));
    old?.onDisconnect('out_of_range');
    assert.equal(made.link.state, 'lost');
    await until(made, 'subscribing');
    old?.onData(beat(99));
    made.radio.open += 1;
    old?.onDisconnect('out_of_range');
    assert.equal(made.link.state, 'subscribing');
    made.radio.links[1]?.onData(beat(61));
    assert.deepEqual(
      made.measurements.map(({ bpm }) => bpm),
      [60, 61],
    );
    assert.deepEqual(made.ends, ['out_of_range']);
  });

  test('a strap whose values hold no heart rate is unreadable, and is neither subscribed nor connected again for it', async (t) => {
    const made = makeLink({ silenceMs: 100 });
    t.after(() => made.link.stop());
    await until(made, 'subscribing');
    const from = performance.now();
    await eventually(() => {
      made.radio.links[0]?.onData(Buffer.from('0148', 'hex'));
      made.link.tick();
      return performance.now() - from > 400;
    });
    assert.equal(made.link.state, 'unreadable');
    assert.equal(made.link.reason?.code, 'values_unreadable');
    assert.equal(made.radio.subscribes, 1);
    assert.deepEqual(made.ends, []);
    made.radio.links[0]?.onData(beat(61));
    assert.equal(made.link.state, 'streaming');
    assert.equal(made.link.reason, null);
  });

  test('an unreadable strap that falls silent is subscribed again before it is connected again', async (t) => {
    const made = makeLink({ silenceMs: 10_000 });
    t.after(() => made.link.stop());
    await until(made, 'subscribing');
    const now = performance.now.bind(performance);
    let aheadMs = 0;
    t.mock.method(performance, 'now', () => now() + aheadMs);
    const after = (ms: number): void => {
      aheadMs += ms;
      made.link.tick();
    };
    for (let seconds = 0; seconds < 30; seconds += 5) {
      made.radio.links[0]?.onData(Buffer.from('0148', 'hex'));
      after(5000);
    }
    assert.deepEqual([made.link.state, made.radio.subscribes], ['unreadable', 1]);
    after(6000);
    assert.deepEqual([made.link.state, made.radio.subscribes, made.ends], ['silent', 2, []]);
    after(10_000);
    assert.deepEqual(made.ends, ['silent']);
  });

  test('a strap that becomes not connectable is taken, and is connected once it is connectable again', async (t) => {
    const made = makeLink({ backoffMinMs: 60_000, backoffMaxMs: 60_000 });
    t.after(() => made.link.stop());
    made.radio.script.connect = 'hangs';
    await until(made, 'connecting');
    made.link.advertised(false);
    assert.equal(made.link.state, 'taken');
    assert.deepEqual(made.ends, ['taken']);
    assert.equal(made.link.reason?.code, 'not_connectable');
    for (let i = 0; i < 5; i += 1) {
      made.link.tick();
      await sleep(5);
    }
    assert.equal(made.radio.connects, 1);
    made.radio.script.connect = 'ok';
    await until(made, 'subscribing');
  });

  test('the pause after a loss ends when a strap that was taken accepts connections again', async (t) => {
    const made = makeLink({ backoffMinMs: 60_000, backoffMaxMs: 60_000 });
    t.after(() => made.link.stop());
    await until(made, 'subscribing');
    made.radio.links[0]?.onDisconnect('ended_by_strap');
    made.link.advertised();
    made.link.tick();
    await sleep(20);
    assert.equal(made.radio.connects, 1, 'the pause lasts');
    made.link.advertised(false);
    assert.equal(made.link.state, 'taken');
    made.link.advertised();
    await eventually(() => made.link.state === 'subscribing', { what: 'it is connected at once' });
  });

  test('a strap with which pairing fails is refused, with that reason, and no attempt timed out', async (t) => {
    const made = makeLink();
    t.after(() => made.link.stop());
    made.radio.script.subscribe = 'pairing_failed';
    await until(made, 'refused');
    assert.equal(made.link.reason?.code, 'pairing_failed');
    assert.deepEqual(made.ends, ['refused']);
  });

  test('a value that arrives while a link that we end is still up is a reading, and changes no state', async (t) => {
    const made = makeLink({ silenceMs: 50, disconnectMs: 1000 });
    t.after(() => made.link.stop());
    await until(made, 'subscribing');
    made.radio.script.disconnect = 'hangs';
    await eventually(() => {
      made.link.tick();
      return made.ends.includes('silent');
    });
    made.radio.links[0]?.onData(beat(61));
    made.radio.links[0]?.onData(Buffer.from('0148', 'hex'));
    assert.deepEqual(
      made.measurements.map(({ bpm }) => bpm),
      [61],
    );
    assert.equal(made.link.state, 'lost');
  });

  test('a silent strap is subscribed again, then connected again', async (t) => {
    const made = makeLink({ silenceMs: 300 });
    t.after(() => made.link.stop());
    await until(made, 'subscribing');
    made.radio.links[0]?.onData(beat(60));
    await eventually(() => {
      made.link.tick();
      return made.link.state === 'silent';
    });
    assert.equal(made.radio.subscribes, 2);
    made.radio.links[0]?.onData(beat(61));
    assert.equal(made.link.state, 'streaming');
    await eventually(() => {
      made.link.tick();
      return made.link.state === 'lost';
    });
    assert.deepEqual(made.ends, ['silent']);
    assert.equal(made.radio.disconnects, 1);
    await until(made, 'subscribing');
  });

  test('a peripheral without heart rate service is disconnected, reported, and tried again much later', async (t) => {
    const made = makeLink({ backoffMinMs: 6000, backoffMaxMs: 60_000 });
    t.after(() => made.link.stop());
    made.radio.script.discover = 'no_heart_rate';
    await until(made, 'no_heart_rate_service');
    assert.equal(made.radio.disconnects, 1);
    for (let i = 0; i < 20; i += 1) {
      made.link.advertised();
      made.link.tick();
      await sleep(5);
    }
    assert.equal(made.radio.connects, 1);
    made.link.retryNow();
    made.radio.script.discover = 'ok';
    await until(made, 'subscribing');
  });

  test('a lost strap is not connected before its next advertisement', async (t) => {
    const made = makeLink();
    t.after(() => made.link.stop());
    await until(made, 'subscribing');
    made.radio.links[0]?.onDisconnect('out_of_range');
    for (let i = 0; i < 20; i += 1) {
      made.link.tick();
      await sleep(5);
    }
    assert.equal(made.radio.connects, 1);
    assert.equal(made.link.state, 'lost');
  });

  test('a strap that is not received any more is not tried after its pause or at its turn, and is at its next advertisement', async (t) => {
    const made = makeLink();
    t.after(() => made.link.stop());
    const now = performance.now.bind(performance);
    let aheadMs = 0;
    t.mock.method(performance, 'now', () => now() + aheadMs);
    let release = (): void => {};
    const before = made.queue.run(
      async () => await new Promise<void>((resolve) => (release = resolve)),
      new AbortController().signal,
    );
    made.link.advertised();
    assert.equal(made.queue.length, 1, 'it waits for its turn');
    aheadMs += 7000;
    release();
    await before;
    await eventually(() => !made.queue.busy, { what: 'its turn is over' });
    assert.deepEqual([made.radio.connects, made.link.state, made.ends], [0, 'discovered', []]);
    await until(made, 'subscribing');
    made.radio.links[0]?.onDisconnect('ended_by_strap');
    made.link.advertised();
    aheadMs += 7000;
    made.link.tick();
    assert.equal(made.queue.busy, false);
    made.link.advertised();
    assert.equal(made.queue.busy, true);
  });

  test('stopping disconnects a connected strap only', async () => {
    const connected = makeLink();
    await until(connected, 'subscribing');
    await connected.link.stop();
    assert.equal(connected.radio.disconnects, 1);
    assert.equal(connected.radio.open, 0);
    const idle = makeLink();
    await idle.link.stop();
    assert.equal(idle.radio.disconnects, 0);
  });
});
