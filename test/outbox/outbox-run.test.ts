import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MissedSpan } from '../../contract/delivery.ts';
import { RunIntake } from '../../forwarder/intake/run-intake.ts';
import type { DroppedSpan } from '../../outbox/dropped-seqs.ts';
import { OutboxRun } from '../../outbox/outbox-run.ts';
import { WINDOW } from './support/world-view.ts';

const RUN = '0123456789abcdef';
const QUEUE = 'f000000000000001';
const seqs = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);
const NOTHING = { counts: {}, spans: [] };

/** A run with readings held, whose first offer was answered. */
function answeredRun(readings: number, bytes = 0): { run: OutboxRun; sync: number } {
  const run = new OutboxRun({ run: RUN, window: WINDOW, random: () => 0.5 });
  for (let seq = 1; seq <= readings; seq += 1) run.hold({ seq: run.nextSeq(), payload: `{"x":"${'x'.repeat(bytes)}"}` }, 0);
  const sync = run.dueOffer(1000)?.sync ?? 0;
  run.received({ queue: QUEUE, stored: 0, sync }, 1001);
  return { run, sync };
}

test('a forwarder that answers and commits nothing gets offers less and less often, and each time at most a window', () => {
  const run = new OutboxRun({ run: RUN, window: WINDOW, random: () => 0.5 });
  for (let seq = 1; seq <= 500; seq += 1) run.hold({ seq: run.nextSeq(), payload: '{}' }, 0);
  let offers = 0;
  let sent = 0;
  for (let nowMs = 300; nowMs < 300_000; nowMs += 100) {
    const offer = run.dueOffer(nowMs);
    if (offer === undefined) continue;
    offers += 1;
    run.received({ queue: QUEUE, stored: 0, sync: offer.sync }, nowMs);
    for (let packet = run.nextPacket(nowMs); packet !== undefined; packet = run.nextPacket(nowMs)) sent += packet.length;
  }
  assert.ok(offers < 20, String(offers));
  assert.ok(sent <= offers * WINDOW, String(sent));
});

test('a watermark above what was sent is ignored and counted, and only the answer to the current offer starts sending', () => {
  const run = new OutboxRun({ run: RUN, window: WINDOW });
  for (let i = 0; i < 3; i += 1) run.hold({ seq: run.nextSeq(), payload: '{}' }, 0);
  run.received({ queue: QUEUE, stored: 2 }, 1);
  assert.equal(run.held.length, 3, 'nothing was sent yet');
  const offer = run.dueOffer(1000);
  assert.equal(offer?.from, 1);
  run.received({ queue: QUEUE, stored: 0, sync: offer.sync - 1 }, 1001);
  assert.equal(run.nextPacket(1001), undefined);
  run.received({ queue: QUEUE, stored: 99, sync: offer.sync }, 1002);
  assert.equal(run.nextPacket(1002), undefined);
  assert.equal(run.impossible, 2);
  run.received({ queue: QUEUE, stored: 0, sync: offer.sync }, 1003);
  assert.deepEqual(
    run.nextPacket(1003)?.map(({ seq }) => seq),
    [1, 2, 3],
  );
  run.received({ queue: QUEUE, stored: 0, sync: offer.sync }, 1004);
  assert.equal(run.nextPacket(1004), undefined, 'an answer counts once');
});

test('a recovered run believes watermarks up to the limit of its header; without one (1.0.0), the answer to its offer', () => {
  const recovered = (mayHaveSent: number | undefined): OutboxRun => {
    const run = new OutboxRun({ run: RUN, window: WINDOW, recovered: { first: 10, last: 10, mayHaveSent, dropped: NOTHING } });
    run.hold({ seq: 10, payload: '{}' }, 0);
    return run;
  };
  const bounded = recovered(50);
  let sync = bounded.dueOffer(1000)?.sync ?? 0;
  bounded.received({ queue: QUEUE, stored: 51, sync }, 1001);
  assert.equal(bounded.stored, 0);
  bounded.received({ queue: QUEUE, stored: 50, sync }, 1001);
  assert.equal(bounded.stored, 50);
  assert.ok(!bounded.unsettled);
  const version1 = recovered(undefined);
  version1.received({ queue: QUEUE, stored: 700 }, 999);
  assert.equal(version1.stored, 0, 'only an answer is believed');
  sync = version1.dueOffer(1000)?.sync ?? 0;
  version1.received({ queue: QUEUE, stored: 700, sync }, 1001);
  assert.ok(!version1.unsettled);
});

test('readings go singly once a packet made no progress after an answered offer, and in packets again after 60 s of progress', () => {
  const { run } = answeredRun(WINDOW);
  let nowMs = 1001;
  assert.equal(run.nextPacket(nowMs)?.length, WINDOW);
  nowMs += 5000;
  const sync = run.dueOffer(nowMs)?.sync ?? 0;
  run.received({ queue: QUEUE, stored: 0, sync }, nowMs);
  assert.ok(run.sendsSingly);
  assert.equal(run.nextPacket(nowMs)?.length, 1);
  run.received({ queue: QUEUE, stored: 1 }, nowMs);
  nowMs += 59_000;
  assert.equal(run.nextPacket(nowMs)?.length, 1);
  nowMs += 2000;
  assert.ok((run.nextPacket(nowMs)?.length ?? 0) > 1);
  assert.ok(!run.sendsSingly);
});

test('an offer that the forwarder asked for does not make readings go singly: nothing is known of the packet before it', () => {
  const { run } = answeredRun(WINDOW);
  run.nextPacket(1001);
  run.wantOffer();
  const sync = run.dueOffer(6000)?.sync ?? 0;
  run.received({ queue: QUEUE, stored: 0, sync }, 6001);
  assert.ok(!run.sendsSingly);
});

test('a large reading without progress in three answered offers becomes a small numbered refusal; a small one never does', () => {
  for (const [bytes, isRefused] of [
    [2600, true],
    [1000, false],
  ] as const) {
    const { run } = answeredRun(1, bytes);
    let nowMs = 1001;
    for (let attempt = 0; attempt < 3; attempt += 1) {
      assert.equal(run.nextPacket(nowMs)?.length, 1);
      nowMs += 40_000;
      const sync = run.dueOffer(nowMs)?.sync ?? 0;
      run.received({ queue: QUEUE, stored: 0, sync }, nowMs);
    }
    const [sent] = run.nextPacket(nowMs) ?? [];
    assert.equal(sent?.seq, 1);
    assert.equal(sent.payload.includes('"code":"too_large_for_broker"'), isRefused);
    if (isRefused) assert.ok(sent.payload.length < 2500);
  }
});

test('an offer names the causes of the dropped readings below its oldest one: those of a hole follow when it is next', () => {
  const { run } = answeredRun(10);
  run.drop({ from: 1, to: 2 }, 'outbox_full');
  run.drop({ from: 5, to: 7 }, 'disk_failed');
  const first = run.dueOffer(3000);
  assert.deepEqual([first?.from, first?.dropped], [3, { outbox_full: 2 }]);
  run.received({ queue: QUEUE, stored: 2, sync: first?.sync ?? 0 }, 3001);
  assert.deepEqual(
    run.nextPacket(3001)?.map(({ seq }) => seq),
    [3, 4],
  );
  run.received({ queue: QUEUE, stored: 4 }, 3002);
  const second = run.dueOffer(4000);
  assert.deepEqual([second?.from, second?.dropped], [8, { outbox_full: 2, disk_failed: 3 }]);
});

/** A run of an earlier process of which seqs were dropped, and what the forwarder makes of its offers. */
function missedOf(spans: DroppedSpan[], held: number[], watermark?: number): { missed: MissedSpan[]; offers: number } {
  const last = Math.max(...held, ...spans.map(({ to }) => to));
  const recovered = { first: held[0] ?? last + 1, last, mayHaveSent: last, dropped: { counts: {}, spans } };
  const run = new OutboxRun({ run: RUN, window: WINDOW, recovered });
  for (const seq of held) run.hold({ seq, payload: '{}' }, 0);
  const known = watermark === undefined ? undefined : { gateway: 'box', run: RUN, stored: watermark, missed: {} };
  const intake = new RunIntake({ gateway: 'box', run: RUN }, known);
  const missed: MissedSpan[] = [];
  let offers = 0;
  for (let nowMs = 0; nowMs < 60_000 && run.unsettled; nowMs += 100) {
    const offer = run.dueOffer(nowMs);
    if (offer !== undefined) {
      offers += 1;
      missed.push(...intake.offered(offer));
    }
    const { taken } = intake.arrived(run.nextPacket(nowMs) ?? []);
    intake.pending(taken.length, []);
    run.received({ queue: QUEUE, stored: intake.watermark.stored, sync: offer?.sync ?? 0 }, nowMs);
    intake.committed(intake.watermark.stored);
  }
  assert.equal(run.unsettled, false, 'all is settled');
  return { missed, offers };
}

test('the forwarder learns the cause of each dropped seq, not only how many there are of each', () => {
  const spans: DroppedSpan[] = [
    { from: 1, to: 6, cause: 'outbox_full' },
    { from: 7, to: 7, cause: 'damaged' },
    { from: 8, to: 50, cause: 'outbox_full' },
    { from: 61, to: 64, cause: 'disk_failed' },
    { from: 65, to: 70, cause: 'damaged' },
  ];
  const held = Array.from({ length: 10 }, (_, index) => 51 + index);
  const { missed, offers } = missedOf(spans, held);
  assert.deepEqual(missed, spans);
  assert.ok(offers <= spans.length + 1, `${offers} offers`);
});

test('what another queue stored between dropped seqs is not given their cause', () => {
  const { missed } = missedOf(
    [
      { from: 4, to: 6, cause: 'damaged' },
      { from: 9, to: 9, cause: 'outbox_full' },
    ],
    [12],
  );
  assert.deepEqual(
    missed.map(({ from, to, cause }) => `${from}-${to} ${cause}`),
    ['1-3 earlier_queue', '4-6 damaged', '7-8 unknown', '9-9 outbox_full', '10-11 unknown'],
  );
});

test('what the forwarder knows already needs no offer of its own', () => {
  const spans = seqs(90).map((seq): DroppedSpan => ({ from: 2 * seq, to: 2 * seq, cause: 'damaged' }));
  const { missed, offers } = missedOf(spans, [200], 199);
  assert.deepEqual(missed, []);
  assert.ok(offers <= 3, `${offers} offers`);
});

test('many causes in turn are one offer: the counts are right, and nothing waits for thousands of answers', () => {
  const spans = seqs(1000).map((seq): DroppedSpan => ({ from: seq, to: seq, cause: seq % 2 === 0 ? 'damaged' : 'disk_failed' }));
  const { missed, offers } = missedOf(spans, [1001]);
  const counts = missed.reduce<Record<string, number>>((sum, { from, to, cause }) => {
    return { ...sum, [cause]: (sum[cause] ?? 0) + to - from + 1 };
  }, {});
  assert.deepEqual(counts, { damaged: 500, disk_failed: 500 });
  assert.ok(offers <= 2, `${offers} offers`);
});

test('a packet ends at 64 KiB, at the window and before a hole; on a busy line only a full one leaves', () => {
  const { run } = answeredRun(30, 4000);
  assert.equal(run.nextPacket(1001, true)?.length, 16, 'full: the next reading does not fit');
  assert.equal(run.nextPacket(1001, true), undefined, 'it may still grow');
  assert.equal(run.nextPacket(1001)?.length, 14);
  const { run: windowed } = answeredRun(WINDOW + 5);
  assert.equal(windowed.nextPacket(1001, true)?.length, WINDOW);
  const { run: holed } = answeredRun(3);
  for (const seq of [4, 7]) holed.hold({ seq, payload: '{}' }, 0);
  assert.deepEqual(
    holed.nextPacket(1001)?.map(({ seq }) => seq),
    [1, 2, 3, 4],
  );
  assert.equal(holed.nextPacket(1001), undefined);
  holed.received({ queue: QUEUE, stored: 4 }, 1500);
  assert.equal(holed.dueOffer(1500)?.from, 7);
});
