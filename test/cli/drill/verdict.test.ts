import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunAccount, StreamAccount } from '../../../cli/drill/account.ts';
import { verdictOf } from '../../../cli/drill/verdict.ts';

const ledger = { accepted: 10, shipped: 10, queued: 0, dead: 0, evicted: 0, missed: 0 };
const produced = { run: 'a', total: 10, whileCut: 4, whileDead: 2 };
const whole: RunAccount = { run: 'a', last: 10, present: 10, missing: [], duplicates: 3 };

const streamOf = (...runs: RunAccount[]): StreamAccount => ({ runs, others: 0, firstReason: '' });
const passes = (...args: Parameters<typeof verdictOf>): boolean => verdictOf(...args).passed;

test('the drill passes if every reading is in the stream and the ledger balances; duplicates are allowed', () => {
  const { passed, lines } = verdictOf(ledger, produced, streamOf(whole));
  assert.ok(passed);
  assert.match(lines.join('\n'), /^sent by the straps +10, 4 while the stream was cut, 2 while the forwarder was dead$/m);
  assert.match(lines.join('\n'), /^in the stream +10, duplicates: 3, missing: 0$/m);
});

test('the drill fails if one reading is missing, and names it', () => {
  const { passed, lines } = verdictOf(ledger, produced, streamOf({ ...whole, present: 9, missing: [4] }));
  assert.ok(!passed);
  assert.match(lines.join('\n'), /missing: 1 \(4\)$/m);
});

test('the drill fails if the stream has no reading of the run, if there were no readings, and without a status', () => {
  assert.ok(!passes(ledger, produced, streamOf({ ...whole, run: 'b' })));
  assert.ok(!passes(ledger, { ...produced, total: 0 }, streamOf()));
  assert.ok(!passes(undefined, produced, streamOf(whole)));
});

test('the drill fails if the ledger does not balance', () => {
  for (const changed of [{ shipped: 9 }, { queued: 1 }, { dead: 1 }, { evicted: 1 }])
    assert.ok(!passes({ ...ledger, ...changed }, produced, streamOf(whole)), JSON.stringify(changed));
  assert.ok(passes({ ...ledger, shipped: 7, queued: 1, dead: 1, evicted: 1 }, produced, streamOf(whole)));
});

test('records of the stream that are no numbered readings are reported', () => {
  const { passed, lines } = verdictOf(ledger, produced, { ...streamOf(whole), others: 2, firstReason: 'not JSON' });
  assert.ok(passed);
  assert.match(lines.join('\n'), /^other records +2; the first: not JSON$/m);
});
