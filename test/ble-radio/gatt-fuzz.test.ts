import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzzAnswers } from './support/gatt-fuzz.ts';

test('no answer of a peripheral, whatever it is, throws, hangs, or leaves a request open after the end of its link', async (t) => {
  const result = await fuzzAnswers({ pdus: 30_000, seed: 20_261_130 });
  t.diagnostic(JSON.stringify(result));
  for (const outcome of ['done', 'refused', 'bad_answer', 'pairing_failed', 'link_ended'])
    assert.ok((result.outcomes[outcome] ?? 0) > 20, `the answers reach the outcome ${outcome}`);
});
