import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSync } from '../../../contract/delivery.ts';
import { eventually } from '../../support/eventually.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { reading, RUN, start, type Bench } from './support/intake-bench.ts';

const failing = ({ intake }: Bench): string[] => intake.checks().flatMap(({ status, code }) => (status === 'fail' ? [code] : []));

test('of an offered run only the next seq is taken: lower ones are duplicates, higher ones are put back, all counted', async (t) => {
  const bench = await start(t, tempDir(t));
  bench.offer('box');
  assert.deepEqual(bench.stored('box'), [{ queue: bench.queueId, stored: 0, sync: 1 }]);
  bench.packet('box', [1, 2, 3]);
  bench.packet('box', [2, 3, 4]);
  bench.packet('box', [7, 8]);
  bench.packet('box', [5]);
  await eventually(() => bench.stored('box').at(-1)?.stored === 5);
  assert.deepEqual(bench.intake.arrivals.read(), {
    box: { accepted: 5, duplicate: 2, put_back: 2, copy: 0, refused: {} },
  });
  assert.deepEqual(
    (await bench.rows()).map(({ seq }) => seq),
    [1, 2, 3, 4, 5],
  );
});

test('readings of a run that was not offered are put back, and a rate-limited sync makes its sequencer offer', async (t) => {
  let nowMs = 0;
  const bench = await start(t, tempDir(t), { now: () => nowMs });
  const syncs = (): number => bench.published.filter(({ topic }) => topic === 'edge/sync').length;
  const before = syncs();
  nowMs += 5000;
  for (let seq = 1; seq <= 20; seq += 1) bench.packet('box', [seq]);
  assert.equal(syncs(), before + 1);
  nowMs += 2001;
  bench.packet('box', [21]);
  assert.equal(syncs(), before + 2);
  assert.equal(bench.intake.arrivals.read()['box']?.put_back, 21);
  const sync = parseSync(bench.published.findLast(({ topic }) => topic === 'edge/sync')?.payload ?? '');
  assert.deepEqual(sync, { ok: true, value: { queue: bench.queueId, gateways: ['*'] } });
  assert.deepEqual(bench.stored('box'), []);
});

test('an offer is answered once everything that was taken before it is committed', async (t) => {
  const bench = await start(t, tempDir(t));
  bench.offer('box');
  bench.packet('box', [1, 2, 3]);
  bench.offer('box', { last: 3, sync: 2 });
  assert.deepEqual(
    bench.stored('box').map(({ sync }) => sync),
    [1],
  );
  await eventually(() => bench.stored('box').some(({ sync, stored }) => sync === 2 && stored === 3));
});

test('runs of the same digits from two gateways have separate watermarks, also after a restart of the queue', async (t) => {
  const folder = tempDir(t);
  const first = await start(t, folder);
  first.offer('box');
  first.offer('neighbour');
  first.packet('box', [1, 2, 3]);
  first.packet('neighbour', [1]);
  await eventually(() => first.stored('box').at(-1)?.stored === 3 && first.stored('neighbour').at(-1)?.stored === 1);
  await first.queue.stop();
  const second = await start(t, folder);
  assert.equal(second.queueId, first.queueId);
  assert.deepEqual(
    second.watermarks.toSorted((a, b) => a.gateway.localeCompare(b.gateway)),
    [
      { gateway: 'box', run: RUN, stored: 3, missed: {} },
      { gateway: 'neighbour', run: RUN, stored: 1, missed: {} },
    ],
  );
  second.offer('neighbour', { from: 2, last: 2 });
  second.packet('neighbour', [2]);
  await eventually(() => second.stored('neighbour').at(-1)?.stored === 2);
  assert.equal((await second.rows()).length, 5);
});

test('seqs that a sequencer does not hold any more are missed by cause, in the ledger and named to the sequencer', async (t) => {
  const bench = await start(t, tempDir(t));
  bench.offer('box', { from: 11, last: 20, dropped: { outbox_full: 4 } });
  await eventually(() => bench.stored('box').length === 1);
  assert.deepEqual(bench.stored('box'), [
    {
      queue: bench.queueId,
      stored: 10,
      sync: 1,
      missed: [
        { from: 1, to: 6, cause: 'earlier_queue' },
        { from: 7, to: 10, cause: 'outbox_full' },
      ],
    },
  ]);
  assert.deepEqual(bench.queue.state.causes.missed, { earlier_queue: 6, outbox_full: 4 });
  assert.equal(bench.queue.state.ledger.accepted, 0);
  assert.deepEqual(failing(bench), ['readings_missed']);
  bench.packet('box', [11]);
  await eventually(() => bench.stored('box').at(-1)?.stored === 11);
});

test('a run that is offered while the queue is being opened begins at its watermark: nothing counts as missed', async (t) => {
  const folder = tempDir(t);
  const before = await start(t, folder);
  before.offer('box', { from: 1, last: 5 });
  before.packet('box', [1, 2, 3, 4, 5]);
  await eventually(() => before.queue.state.ledger.accepted === 5);
  await before.intake.stop();
  await before.queue.stop();
  const offer = { run: RUN, from: 6, last: 7, dropped: {}, sync: 7 };
  const bench = await start(t, folder, {}, {}, (send) => send(`edge/box/offer/${RUN}`, JSON.stringify(offer)));
  bench.offer('box', { from: 6, last: 7, sync: 8 });
  await eventually(() => bench.stored('box').some(({ sync }) => sync === 8));
  bench.packet('box', [6, 7]);
  await eventually(() => bench.queue.state.ledger.accepted === 7);
  assert.equal(bench.queue.state.ledger.missed, 0);
});

test('a queue file that was replaced fails no check: its seqs are missed as earlier_queue', async (t) => {
  const bench = await start(t, tempDir(t));
  bench.offer('box', { from: 11, last: 20 });
  await eventually(() => bench.queue.state.causes.missed['earlier_queue'] === 10);
  assert.deepEqual(failing(bench), []);
});

test('a thousand other runs evict no watermark: a sequencer that continues is taken where it was', async (t) => {
  const bench = await start(t, tempDir(t));
  bench.offer('box');
  bench.packet('box', [1, 2]);
  await eventually(() => bench.stored('box').at(-1)?.stored === 2);
  for (let other = 1; other <= 1500; other += 1) {
    const run = `a${other.toString(16).padStart(15, '0')}`;
    bench.offer('box', { run });
    bench.packet('box', [1], run);
    // Commits lag behind: some of what was taken is always pending.
    if (other % 100 === 0) await eventually(() => bench.queue.state.ledger.accepted >= other - 50);
  }
  await eventually(() => bench.queue.state.ledger.accepted === 1502);
  bench.packet('box', [3]);
  bench.offer('box', { from: 3, last: 3, sync: 9 });
  bench.packet('box', [3, 4]);
  await eventually(() => bench.stored('box').at(-1)?.stored === 4);
  assert.equal(bench.queue.state.ledger.accepted, 1504);
  assert.equal(bench.queue.state.ledger.missed, 0);
});

test("a strap's live message with an offered identity is a copy; any other is numbered by the forwarder", async (t) => {
  const bench = await start(t, tempDir(t));
  bench.offer('box');
  bench.strap('strap', 'box');
  bench.live('strap', reading('box', RUN, 1));
  bench.live('other', reading('box', RUN, 2));
  bench.live('phone', { timestamp: '2026-11-22T19:00:01Z', heart_rate: 80 });
  bench.live('phone', { timestamp: '2026-11-22T19:00:02Z', heart_rate: 81, device: 'strap', mood: 'good' });
  await eventually(() => bench.queue.state.ledger.accepted === 3);
  assert.equal(bench.intake.arrivals.read()['box']?.copy, 1);
  assert.equal(bench.intake.arrivals.read()['test-box']?.accepted, 3);
  const rows = await bench.rows();
  for (const row of rows) {
    assert.equal(row['gateway'], 'test-box');
    assert.notEqual(row['run'], RUN);
  }
  assert.deepEqual(
    rows.map(({ device, seq }) => [device, seq]),
    [
      ['other', 1],
      ['phone', 2],
      ['phone', 3],
    ],
  );
  assert.equal(rows[1]?.['original'], undefined);
  assert.equal((JSON.parse(String(rows[2]?.['original'])) as { mood: string }).mood, 'good');
  assert.equal(rows[2]?.['mood'], undefined);
});

test('an un-numbered reading is counted once the queue has committed it, by what became of it', async (t) => {
  const bench = await start(t, tempDir(t));
  const counts = (): unknown => bench.intake.arrivals.read()['test-box'];
  const timestamp = '2026-11-22T19:00:01Z';
  bench.live('phone', { timestamp, heart_rate: 80 });
  bench.live('phone', { timestamp, heart_rate: 80_000 });
  assert.equal(counts(), undefined);
  await eventually(() => bench.queue.state.ledger.accepted === 2);
  assert.deepEqual(counts(), { accepted: 1, duplicate: 0, put_back: 0, copy: 0, refused: { heart_rate_out_of_range: 1 } });
});

test('an un-numbered reading that the queue refuses is never counted as accepted: it is lost, and says so', async (t) => {
  const bench = await start(t, tempDir(t), {}, { QUEUE_MAX_BYTES: '1MiB', QUEUE_WHEN_FULL: 'refuse' });
  const data = Array.from({ length: 120 }, () => JSON.stringify({ note: 'x'.repeat(10_000) }));
  bench.queue.append({
    rows: { data, devices: data.map(() => 'strap'), sources: data.map(() => 0) },
    dead: [],
    watermarks: [{ gateway: 'box', run: RUN, stored: 120, missed: {} }],
  });
  await eventually(() => bench.queue.state.mode !== 'open');
  const timestamp = '2026-11-22T19:00:01Z';
  // As if the intake had not been told yet that the queue rejects writes.
  bench.intake.setAccepting(true);
  bench.live('phone', { timestamp, heart_rate: 80 });
  bench.live('phone', { timestamp, heart_rate: 80_000 });
  await eventually(() => bench.intake.lostUnnumbered === 2);
  const counted = { accepted: 0, duplicate: 0, put_back: 0, copy: 0, refused: { not_accepting: 2 } };
  assert.deepEqual(bench.intake.arrivals.read()['test-box'], counted);
});

test('a numbered live message waits for its run and its strap: then it is a copy, without them it is stored', async (t) => {
  const bench = await start(t, tempDir(t));
  bench.live('strap', reading('box', RUN, 1));
  bench.live('phone', reading('stranger', RUN, 1, { device: 'phone' }));
  assert.deepEqual(bench.intake.arrivals.read(), {});
  bench.offer('box');
  assert.deepEqual(bench.intake.arrivals.read(), {});
  bench.packet('box', [1]);
  assert.equal(bench.intake.arrivals.read()['box']?.copy, 1);
  await eventually(() => bench.queue.state.ledger.accepted === 1);
  assert.equal((await bench.rows()).length, 1);
  await bench.intake.stop();
  await eventually(() => bench.queue.state.ledger.accepted === 2);
  const row = (await bench.rows()).find(({ device }) => device === 'phone');
  assert.equal(row?.['gateway'], 'test-box');
  assert.match(String(row['original']), /"gateway":"stranger"/);
});

test('more numbered live messages than may wait are stored, the oldest first', async (t) => {
  const bench = await start(t, tempDir(t));
  for (let seq = 1; seq <= 2010; seq += 1) bench.live('strap', reading('stranger', RUN, seq));
  await eventually(() => bench.queue.state.ledger.accepted === 10);
});

test('a bridge of version 1 fails a check, and its readings are not taken: it keeps them until it is updated', async (t) => {
  const bench = await start(t, tempDir(t));
  bench.send(`edge/source/${RUN}`, JSON.stringify({ run: RUN, from: 1, last: 3, dropped: {}, sync: 1 }));
  bench.live('strap', reading('box', RUN, 1));
  assert.deepEqual(failing(bench), ['bridge_of_version_1']);
  assert.equal(bench.intake.arrivals.read()['box']?.put_back, 1);
  await bench.intake.stop();
  assert.equal(bench.queue.state.ledger.accepted, 0);
  assert.deepEqual(
    bench.published.filter(({ topic }) => topic.includes('/stored/')),
    [],
  );
});

test('a second forwarder for the same gateways fails a check, and learns of this one; one for others does not', async (t) => {
  const bench = await start(t, tempDir(t), { gateways: ['box'] });
  const sync = (gateways: string[]): void => bench.send('edge/sync', JSON.stringify({ queue: 'f000000000000009', gateways }));
  const before = bench.published.length;
  sync(['elsewhere']);
  assert.deepEqual(failing(bench), []);
  sync(['box', 'elsewhere']);
  sync(['*']);
  assert.deepEqual(failing(bench), ['second_forwarder']);
  assert.deepEqual(
    bench.published.slice(before).map(({ topic }) => topic),
    ['edge/sync'],
  );
});

test('while the queue does not accept, readings are put back and offers stay unanswered; then sequencers are asked again', async (t) => {
  const bench = await start(t, tempDir(t));
  bench.offer('box');
  bench.intake.setAccepting(false);
  bench.packet('box', [1]);
  bench.offer('box', { sync: 2 });
  assert.equal(bench.intake.arrivals.read()['box']?.put_back, 1);
  assert.deepEqual(
    bench.stored('box').map(({ sync }) => sync),
    [1],
  );
  const before = bench.published.length;
  bench.intake.setAccepting(true);
  assert.deepEqual(
    bench.published.slice(before).map(({ topic }) => topic),
    ['edge/sync'],
  );
});

test('an offer or sync that does not match the contract is counted, and has no other effect', async (t) => {
  const bench = await start(t, tempDir(t));
  const before = bench.published.length;
  bench.send(`edge/box/offer/${RUN}`, '{}');
  bench.send(`edge/box/offer/${RUN}`, JSON.stringify({ run: 'f000000000000009', from: 1, last: 0, dropped: {}, sync: 1 }));
  bench.send('edge/sync', '{"queue":1}');
  assert.equal(bench.refused.total, 3);
  assert.equal(bench.published.length, before);
});

test('the gateway whose bridge begins too many runs is named, and nobody once it has stopped', async (t) => {
  let nowMs = 0;
  const bench = await start(t, tempDir(t), { now: () => nowMs });
  const runs = (): string => bench.intake.checks().find(({ name }) => name === 'runs')?.reason ?? 'no such check';
  for (let index = 0; index < 2000; index += 1) bench.offer('gym-2', { run: index.toString(16).padStart(16, '0') });
  assert.equal(runs(), '');
  bench.offer('gym-2', { run: 'f'.repeat(16) });
  assert.match(runs(), /^the bridge of gateway gym-2 begins too many runs/);
  bench.offer('test-box', { run: 'f'.repeat(16) });
  bench.offer('gym-3', { run: 'f'.repeat(16) });
  assert.equal(bench.stored('gym-3', 'f'.repeat(16)).length, 1, 'others are taken');
  nowMs = 10_000;
  assert.equal(runs(), '');
});
