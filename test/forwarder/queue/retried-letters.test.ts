import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { refusalOf } from '../../../contract/publication/refusal.ts';
import { checkNumbered } from '../../../forwarder/intake/reading-check.ts';
import { Queue } from '../../../forwarder/queue/queue.ts';
import type { DeadLetterInput } from '../../../forwarder/queue/queue-messages.ts';
import { eventually } from '../../support/eventually.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig } from '../../support/test-config.ts';

const RUN = '00112233445566aa';
const IDENTITY = { gateway: 'box', run: RUN, seq: 7 };

async function open(t: TestContext, folder = tempDir(t)): Promise<Queue> {
  const queue = new Queue(testConfig({ DATA_DIR: folder, QUEUE_COMMIT_INTERVAL_MS: '5' }));
  t.after(() => queue.stop());
  const opened = once(queue, 'opened');
  await queue.start();
  await opened;
  return queue;
}

/** The dead letter of what a client published, as the gateway refuses and the forwarder keeps it. */
function letterOf(payload: string | Buffer, code: Parameters<typeof refusalOf>[0]['code'] = 'payload_not_json'): DeadLetterInput {
  const refusal = refusalOf({
    code,
    detail: 'an older version refused it',
    device: 'Bike1',
    publisher: 'gym-app',
    arrivedAt: new Date('2026-11-30T08:00:00.500Z'),
    payload: Buffer.from(payload),
  });
  const checked = checkNumbered(JSON.stringify(refusal), IDENTITY);
  assert.ok(checked.kind === 'dead');
  return checked.letter;
}

async function bury(queue: Queue, ...dead: DeadLetterInput[]): Promise<void> {
  const before = queue.state.ledger.dead;
  queue.append({ rows: { data: [], devices: [], sources: [] }, dead, watermarks: [] });
  await eventually(() => queue.state.ledger.dead === before + dead.length);
}

const rowsOf = async (queue: Queue): Promise<object[]> =>
  (await queue.take({ maxRows: 100, maxBytes: 10_000_000 })).map(({ data }) => JSON.parse(data) as object);

test('a retried dead letter that is a reading now is adopted under its identity, with its publisher and its text', async (t) => {
  const queue = await open(t);
  const payload = '{"timestamp":"2026-11-30T09:00:00+01:00","heart_rate":72,\n "note":"\u{1f6b4}"}';
  await bury(queue, letterOf(payload));
  assert.deepEqual(await queue.retryDead(null), { retried: 1, left: 0 });
  await eventually(() => queue.state.ledger.queued === 1);
  assert.deepEqual(queue.state.ledger, { accepted: 1, shipped: 0, queued: 1, dead: 0, evicted: 0, missed: 0 });
  assert.deepEqual(await rowsOf(queue), [
    {
      timestamp: '2026-11-30T08:00:00.000Z',
      heart_rate: 72,
      device: 'Bike1',
      ...IDENTITY,
      publisher: 'gym-app',
      original: payload,
    },
  ]);
});

test('without a timestamp of its own a retried reading has the time at which it arrived, not that of the retry', async (t) => {
  const queue = await open(t);
  await bury(queue, letterOf('72'));
  await queue.retryDead(null);
  const [row] = await rowsOf(queue);
  assert.deepEqual(row, {
    timestamp: '2026-11-30T08:00:00.500Z',
    heart_rate: 72,
    device: 'Bike1',
    ...IDENTITY,
    clock: 'unknown',
    publisher: 'gym-app',
    original: '72',
  });
});

test('a dead letter that is still refused stays, with the code that the rules give today', async (t) => {
  const queue = await open(t);
  await bury(queue, letterOf('{"heart_rate":72.5}'));
  assert.deepEqual(await queue.retryDead(null), { retried: 0, left: 1 });
  const { dead_letters: letters } = await queue.deadLetters(10, null);
  assert.deepEqual(
    letters.map(({ reason, gateway, run, seq, publisher }) => [reason, gateway, run, seq, publisher]),
    [['heart_rate_not_integer', 'box', RUN, 7, 'gym-app']],
  );
  await eventually(() => queue.state.causes.dead['heart_rate_not_integer'] === 1);
  assert.deepEqual(queue.state.causes.dead, { heart_rate_not_integer: 1 });
});

test('a dead letter that was refused for its topic is never adopted by a retry: its device belongs to somebody else', async (t) => {
  const queue = await open(t);
  await bury(queue, letterOf('{"timestamp":"2026-11-30T08:00:00Z","heart_rate":72}', 'device_claimed'), letterOf('72', 'topic'));
  assert.deepEqual(await queue.retryDead(null), { retried: 0, left: 2 });
  assert.deepEqual(queue.state.causes.dead, { device_claimed: 1, topic: 1 });
});

test('a payload of 64 KiB is kept whole, listed by its first 4 KiB, and adopted unaltered; a larger one is not retried', async (t) => {
  const queue = await open(t);
  const head = '{"heart_rate":72,"note":"';
  const payload = `${head}${'x'.repeat(65_536 - head.length - 2)}"}`;
  const larger = `${payload} `;
  await bury(queue, letterOf(payload), letterOf(larger, 'payload_too_large'));
  const { dead_letters: letters } = await queue.deadLetters(10, null);
  assert.deepEqual(
    letters.map(({ bytes, whole, payload: listed }) => [bytes, whole, listed]),
    [
      [65_537, false, larger.slice(0, 1024)],
      [65_536, true, payload.slice(0, 4096)],
    ],
  );
  assert.deepEqual(await queue.retryDead(null), { retried: 1, left: 1 });
  const [row] = await rowsOf(queue);
  assert.equal({ original: '', ...row }.original, payload);
});

test('bytes that are no text are kept exactly: a restart and a retry find them as they came', async (t) => {
  const folder = tempDir(t);
  const first = await open(t, folder);
  await bury(first, letterOf(Buffer.from([0x37, 0x32, 0xff])), letterOf('\u0000 72'));
  await first.stop();
  const queue = await open(t, folder);
  assert.equal(queue.state.damage, null);
  assert.deepEqual(await queue.retryDead(null), { retried: 0, left: 2 });
  await eventually(() => queue.state.causes.dead['payload_not_utf8'] === 1);
  assert.deepEqual(queue.state.causes.dead, { payload_not_utf8: 1, payload_not_json: 1 });
});

test('dead letters take at most a tenth of the queue in bytes, whatever their size: the oldest go first, counted', async (t) => {
  const queue = new Queue(testConfig({ DATA_DIR: tempDir(t), QUEUE_COMMIT_INTERVAL_MS: '5', QUEUE_MAX_BYTES: '2MiB' }));
  t.after(() => queue.stop());
  await queue.start();
  const payloads = Array.from({ length: 10 }, (_, index) => `${index}${'x'.repeat(60_000)}`);
  queue.append({
    rows: { data: [], devices: [], sources: [] },
    dead: payloads.map((payload) => letterOf(payload)),
    watermarks: [],
  });
  await eventually(() => queue.state.ledger.accepted === 10);
  assert.deepEqual(queue.state.causes.evicted, { dead_letters_full: 7 });
  const { dead_letters: letters } = await queue.deadLetters(10, null);
  assert.deepEqual(
    letters.map(({ payload }) => payload[0]),
    ['9', '8', '7'],
  );
});

test('the dead letter of a queue of version 1 is listed, and a retry judges it by the rules of today', async (t) => {
  const folder = path.join(tempDir(t));
  copyFileSync(fileURLToPath(new URL('../../data/queue-schema-1.db', import.meta.url)), path.join(folder, 'queue.db'));
  const queue = await open(t, folder);
  assert.equal(queue.state.damage, null);
  const { dead_letters: letters } = await queue.deadLetters(10, null);
  assert.deepEqual(
    letters.map(({ gateway, publisher }) => [gateway, publisher]),
    [[null, null]],
  );
  assert.deepEqual(await queue.retryDead(null), { retried: 0, left: 1 });
  assert.equal(queue.state.ledger.dead, 1);
});
