import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunAccount } from '../../contract/run-account.ts';
import { eventually } from '../support/eventually.ts';
import { startBox } from './page/support/page-pipeline.ts';

test('the account of a run says which readings the stream has, and which were refused', async (t) => {
  const box = await startBox(t);
  for (const payload of ['71', '72', 'seventy-three', '74']) await box.app.publishAsync('hr/strap/bpm', payload, { qos: 1 });
  await eventually(async () => (await box.stream.readAll()).length === 3, { withinMs: 20_000 });
  const [reading] = await box.stream.readAll();
  const run = String(reading?.['run']);
  const ask = async (path: string): Promise<{ status: number; body: unknown }> => {
    const answer = await fetch(`${box.url}/queue/runs/${path}`);
    return { status: answer.status, body: await answer.json() };
  };
  await eventually(async () => ((await ask(run)).body as RunAccount).counts.queued === 0, { withinMs: 20_000 });
  const { status, body } = await ask(`${run}?gateway=test-box`);
  assert.equal(status, 200);
  assert.deepEqual(body, {
    gateway: 'test-box',
    run,
    state: 'open',
    watermark: 4,
    counts: { shipped: 3, queued: 0, dead: 1, evicted: 0, missed: 0, unknown: 0 },
    causes: { dead: { payload_not_json: 1 }, evicted: {}, missed: {} },
    counted_only: null,
    spans: [
      { from: 1, to: 2, outcome: 'shipped', cause: null },
      { from: 3, to: 3, outcome: 'dead', cause: 'payload_not_json' },
      { from: 4, to: 4, outcome: 'shipped', cause: null },
    ],
    next_from: null,
    complete: false,
    verdict: 'missing: 1 reading of 4: 3 (dead: payload_not_json); the run is open',
  });
  for (const [path, expected, code] of [
    ['0000000000000000', 404, 'run_unknown'],
    [`${run}?gateway=other`, 404, 'run_unknown'],
    ['no-run', 400, 'request_invalid'],
  ] as const) {
    const refused = await ask(path);
    assert.deepEqual([refused.status, (refused.body as { code: string }).code], [expected, code], path);
  }
});
