import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { decodePacket, parseOffer, type MissedSpan } from '../../contract/delivery.ts';
import { FollowedQueue } from '../../outbox/followed-queue.ts';
import { deliveryCheck } from '../../outbox/outbox-report.ts';
import { Outbox } from '../../outbox/outbox.ts';
import { RefusedMessages } from '../../service/mqtt/refused-messages.ts';
import { eventually } from '../support/eventually.ts';
import { tempDir } from '../support/temp-dir.ts';
import { testConfig, testLog } from '../support/test-config.ts';

const QUEUE = 'f000000000000001';
const reading = { timestamp: '2026-11-22T19:00:00.123Z', heart_rate: 72, device: 'strap' };

interface Bench {
  outbox: Outbox;
  packets: string[];
  /** Bytes that the line claims to hold. */
  line: { unwritten: number };
  stored(message: object): void;
  /** Answers the newest offer. */
  answer(stored?: number): void;
}

function start(t: TestContext, spill?: { folder: string; memoryMax: number; maxBytes: number }): Bench {
  const packets: string[] = [];
  const line = { unwritten: 0 };
  let sync = 0;
  const outbox = new Outbox({
    gateway: 'box',
    line: {
      publish(topic, payload) {
        const offer = parseOffer(payload);
        if (offer.ok) sync = offer.value.sync;
        if (topic.includes('/readings/')) packets.push(payload);
        return true;
      },
      writableLength: () => line.unwritten,
    },
    log: testLog(testConfig({})),
    refused: new RefusedMessages('ble-bridge', testLog(testConfig({}))),
    window: 2000,
    ...(spill === undefined ? {} : { spill }),
  });
  void outbox.start();
  t.after(async () => {
    outbox.down();
    await outbox.stop();
  });
  const stored = (message: object): void =>
    outbox.receive(`edge/box/stored/${outbox.run}`, JSON.stringify({ queue: QUEUE, ...message }));
  return { outbox, packets, line, stored, answer: (seq = 0) => stored({ stored: seq, sync }) };
}

/** Everything that was added before leaves meanwhile. */
const endOfTurn = async (): Promise<void> => await Promise.resolve();
const seqsIn = (packet: string | undefined): number[] => decodePacket(packet ?? '').readings.map(({ seq }) => seq);

test('a reading is sent at once while nothing is unwritten; those added meanwhile form the next packet', async (t) => {
  const { outbox, packets, line, answer } = start(t);
  outbox.up();
  answer();
  outbox.add(reading);
  await endOfTurn();
  assert.deepEqual(packets.map(seqsIn), [[1]]);
  line.unwritten = 200;
  for (let i = 0; i < 5; i += 1) outbox.add(reading);
  await endOfTurn();
  assert.equal(packets.length, 1);
  line.unwritten = 0;
  await eventually(() => packets.length === 2, { withinMs: 1000 });
  assert.deepEqual(seqsIn(packets[1]), [2, 3, 4, 5, 6]);
});

test('readings of one turn of the event loop are one packet', async (t) => {
  const { outbox, packets, answer } = start(t);
  outbox.up();
  answer();
  for (let i = 0; i < 4; i += 1) outbox.add(reading);
  await endOfTurn();
  assert.deepEqual(packets.map(seqsIn), [[1, 2, 3, 4]]);
});

test('nothing is sent before an offer is answered', (t) => {
  const { outbox, packets, answer } = start(t);
  outbox.add(reading);
  outbox.up();
  assert.deepEqual(packets, []);
  answer();
  assert.deepEqual(packets.map(seqsIn), [[1]]);
});

test('a reading is one line of a packet, whatever text it carries, and has the identity of its line; a refusal carries none', async (t) => {
  const { outbox, packets, answer } = start(t);
  outbox.up();
  answer();
  const original = '{\r\n  "heart_rate": 72,\n\t"note": "\u2028"\n}\n';
  outbox.add({ ...reading, original });
  outbox.add({ refused: { code: 'topic', detail: 'hr/a/b/c' }, device: '', payload: 'a\nb' });
  await endOfTurn();
  const sent = packets.flatMap((packet) => decodePacket(packet).readings);
  assert.equal(packets.join('\n').split('\n').length, 2);
  const [first, second] = sent.map(({ payload }) => JSON.parse(payload) as Record<string, unknown>);
  assert.deepEqual(first, { ...reading, gateway: 'box', run: outbox.run, seq: 1, original });
  assert.deepEqual(second, { refused: { code: 'topic', detail: 'hr/a/b/c' }, device: '', payload: 'a\nb' });
});

test('seqs that the forwarder missed are reported before the watermark that passes them', async (t) => {
  const { outbox, stored, answer } = start(t);
  const events: unknown[] = [];
  outbox.on('missed', (span: MissedSpan) => events.push(span));
  outbox.on('stored', (watermark: number) => events.push(watermark));
  outbox.up();
  answer();
  for (let i = 0; i < 5; i += 1) outbox.add(reading);
  await endOfTurn();
  stored({ stored: 2 });
  stored({ stored: 5, missed: [{ from: 3, to: 4, cause: 'unknown' }] });
  assert.deepEqual(events, [2, { from: 3, to: 4, cause: 'unknown' }, 5]);
  assert.equal(outbox.watermark, 5);
});

test('readings that a full outbox drops are reported by their seqs', async (t) => {
  const { outbox } = start(t, { folder: tempDir(t), memoryMax: 100, maxBytes: 65_536 });
  const dropped: MissedSpan[] = [];
  outbox.on('dropped', (span) => dropped.push(span));
  for (let batch = 0; batch < 40; batch += 1) {
    for (let i = 0; i < 40; i += 1) outbox.add(reading);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await eventually(() => dropped.length > 1);
  assert.equal(dropped[0]?.from, 1);
  for (const [index, { from, cause }] of dropped.entries()) {
    assert.equal(cause, 'outbox_full');
    assert.equal(from, (dropped[index - 1]?.to ?? 0) + 1);
  }
  assert.equal(outbox.status().dropped, dropped.at(-1)?.to);
});

test('without a folder everything is held in memory, and nothing is ever dropped', async (t) => {
  const { outbox, packets, stored, answer } = start(t);
  for (let i = 0; i < 20_000; i += 1) outbox.add(reading);
  const heldNow = (): number => outbox.held;
  assert.equal(heldNow(), 20_000);
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(heldNow(), 20_000);
  assert.equal(outbox.status().dropped, 0);
  outbox.up();
  answer();
  while (heldNow() > 0) stored({ stored: seqsIn(packets.at(-1)).at(-1) });
  assert.deepEqual(
    packets.flatMap(seqsIn),
    Array.from({ length: 20_000 }, (_, index) => index + 1),
  );
  assert.ok(packets.every((packet) => Buffer.byteLength(packet) <= 64 * 1024));
});

test('the first queue is followed and others are ignored; another one is followed only after 10 s of waiting for an answer', () => {
  const queue = new FollowedQueue();
  assert.ok(queue.accepts('a', 0, undefined));
  assert.ok(!queue.accepts('b', 1000, undefined));
  assert.equal(queue.foreign(1000), 'b');
  assert.ok(!queue.accepts('b', 60_000, undefined), 'nothing waits: silence means nothing');
  assert.ok(!queue.accepts('b', 69_000, 60_000), 'it waits for 9 s');
  assert.ok(queue.accepts('a', 69_500, 60_000));
  assert.ok(!queue.accepts('b', 79_000, 60_000), 'its own answered 9.5 s ago');
  assert.ok(queue.accepts('b', 79_501, 60_000));
  assert.ok(!queue.accepts('a', 79_502, 60_000));
  assert.deepEqual([queue.ignored, queue.changes], [5, 1]);
});

test('readings that are held for 10 s without progress fail a check that says where to look', () => {
  const state = { held: 3, waitingMs: 9999, isUp: true, followed: QUEUE, foreign: undefined, impossible: 0 };
  assert.equal(deliveryCheck(state).status, 'ok');
  const stuck = { ...state, waitingMs: 10_000 };
  const failing = deliveryCheck(stuck);
  assert.equal(failing.status, 'fail');
  assert.equal(failing.code, 'no_acknowledgement');
  assert.match(failing.reason, /^3 readings/);
  assert.match(deliveryCheck({ ...stuck, isUp: false }).hint, /broker is not connected/);
  assert.match(deliveryCheck({ ...stuck, followed: undefined }).hint, /No forwarder has answered/);
  assert.match(deliveryCheck({ ...stuck, impossible: 1 }).hint, /never sent/);
  assert.equal(deliveryCheck({ ...state, waitingMs: 0, foreign: 'x' }).code, 'foreign_queue');
});
