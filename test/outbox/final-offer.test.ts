import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import Type from 'typebox';
import { offerSchema, parseOffer, type Offer } from '../../contract/delivery.ts';
import { parserOf } from '../../contract/validate.ts';
import { Outbox } from '../../outbox/outbox.ts';
import { eventually } from '../support/eventually.ts';
import { tempDir } from '../support/temp-dir.ts';
import { testConfig, testLog } from '../support/test-config.ts';
import { StoringForwarder } from './support/disk-bench.ts';

const reading = { timestamp: '2026-11-22T19:00:00.123Z', heart_rate: 72, device: 'strap' };
const log = testLog(testConfig({}));

/** Offers as a forwarder that does not know `final` reads them. */
const { final: _, ...known } = offerSchema.properties;
const parseEarlierOffer = parserOf(Type.Object(known, { additionalProperties: false }));

/** Connected, but it answers nothing. */
class SilentForwarder extends StoringForwarder {
  override answer(): undefined {
    return undefined;
  }
}

interface Bench {
  outbox: Outbox;
  /** In the order of their arrival at the forwarder. */
  finals: Offer[];
}

/** An outbox and a forwarder; `isEarlier`: one that refuses offers with unknown fields. */
function start(t: TestContext, folder: string, forwarder: StoringForwarder, isEarlier = false): Bench {
  const finals: Offer[] = [];
  const outbox: Outbox = new Outbox({
    gateway: 'box',
    line: {
      publish(topic, payload) {
        const offer = topic.includes('/offer/') ? parseOffer(payload) : undefined;
        if (offer?.ok === true && offer.value.final === true) finals.push(offer.value);
        if (offer !== undefined && isEarlier && !parseEarlierOffer(payload).ok) return true;
        setImmediate(() => {
          const answer = forwarder.answer(topic, payload);
          if (answer !== undefined) outbox.receive(answer.topic, JSON.stringify(answer.message));
        });
        return true;
      },
      writableLength: () => 0,
    },
    log,
    window: 1000,
    spill: { folder, memoryMax: 200, maxBytes: 64 * 1024 * 1024 },
  });
  t.after(async () => {
    outbox.down();
    await outbox.stop();
  });
  return { outbox, finals };
}

test('a stop in order says that the run has ended, once everything of it is stored', async (t) => {
  const forwarder = new StoringForwarder();
  const { outbox, finals } = start(t, tempDir(t), forwarder);
  await outbox.start();
  outbox.up();
  for (let i = 0; i < 30; i += 1) outbox.add(reading);
  await outbox.stop();
  assert.deepEqual(
    finals.map(({ run, from, last, dropped }) => ({ run, from, last, dropped })),
    [{ run: outbox.run, from: 31, last: 30, dropped: {} }],
  );
  assert.equal(forwarder.seqs(outbox.run).length, 30);
});

test('a stop while something is held says nothing; the next process delivers the rest and then says it', async (t) => {
  const forwarder = new StoringForwarder();
  const folder = tempDir(t);
  const first = start(t, folder, new SilentForwarder());
  await first.outbox.start();
  first.outbox.up();
  for (let i = 0; i < 30; i += 1) first.outbox.add(reading);
  await first.outbox.stop();
  assert.deepEqual(first.finals, []);

  const second = start(t, folder, forwarder);
  await second.outbox.start();
  second.outbox.up();
  const [offer] = await eventually(() => (second.finals.length > 0 ? second.finals : undefined));
  assert.equal(offer?.run, first.outbox.run);
  assert.equal(offer.last, 30);
  assert.equal(forwarder.seqs(first.outbox.run).length, 30);
  await second.outbox.stop();
  assert.equal(second.finals.length, 1, 'nothing is said of a run without readings');
});

test('a forwarder that refuses offers with unknown fields gets every reading all the same, and nothing is held for it', async (t) => {
  const forwarder = new StoringForwarder();
  const folder = tempDir(t);
  const first = start(t, folder, forwarder, true);
  await first.outbox.start();
  for (let i = 0; i < 30; i += 1) first.outbox.add(reading);
  await first.outbox.stop();
  const second = start(t, folder, forwarder, true);
  await second.outbox.start();
  second.outbox.up();
  for (let i = 0; i < 20; i += 1) second.outbox.add(reading);
  await eventually(() => second.finals.length === 1 && second.outbox.held === 0, { what: 'both runs are stored' });
  await second.outbox.stop();
  assert.equal(second.finals.length, 2);
  assert.deepEqual([forwarder.seqs(first.outbox.run).length, forwarder.seqs(second.outbox.run).length], [30, 20]);
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith('spill-')),
    [],
  );
});
