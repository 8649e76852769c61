import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEAD_LETTERS_MAX_BYTES, type DeadLetters } from '../../contract/dead-letter.ts';
import { eventually } from '../support/eventually.ts';
import { startBox } from './page/support/page-pipeline.ts';

const LETTERS = 300;

test('a list of large dead letters is bounded in bytes, and next_before leads to all of them', async (t) => {
  const box = await startBox(t);
  const ask = async (query: string): Promise<DeadLetters> => {
    const answer = await fetch(`${box.url}/dead-letters?${query}`, { headers: { authorization: `Bearer ${box.token}` } });
    const body = await answer.text();
    assert.equal(answer.status, 200, body.slice(0, 300));
    return JSON.parse(body) as DeadLetters;
  };
  // A control character takes six bytes in JSON: 24 KiB each, 7 MiB in all, far more than the broker accepts in one packet.
  const payload = Buffer.alloc(4096, 1);
  for (let sent = 0; sent < LETTERS; sent += 1) await box.app.publishAsync('hr/strap/bpm', payload, { qos: 1 });
  await eventually(async () => (await ask('limit=1')).total === LETTERS, { withinMs: 30_000, what: 'all dead letters' });

  const ids: number[] = [];
  let pages = 0;
  for (let before: number | null | undefined; before !== null; pages += 1) {
    const page: DeadLetters = await ask(`limit=500${before === undefined ? '' : `&before=${before}`}`);
    assert.ok(JSON.stringify(page.dead_letters).length <= DEAD_LETTERS_MAX_BYTES + 2);
    assert.equal(page.next_before, page.next_before === null ? null : page.dead_letters.at(-1)?.id);
    ids.push(...page.dead_letters.map(({ id }) => id));
    before = page.next_before;
  }
  assert.ok(pages > 10, `${pages} pages`);
  assert.equal(ids.length, LETTERS);
  assert.deepEqual(
    ids,
    [...new Set(ids)].sort((a, b) => b - a),
  );

  const small = await ask('limit=2');
  assert.deepEqual([small.dead_letters.length, small.next_before], [2, ids[1]]);
  assert.equal((await ask(`limit=2&before=${ids.at(-2)}`)).next_before, null);
});
