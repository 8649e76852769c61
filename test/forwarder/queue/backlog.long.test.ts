import assert from 'node:assert/strict';
import { test } from 'node:test';
import { throughForwarder, throughQueue } from './support/backlog.ts';

/** What a garbage collector may let pile up; a row held by mistake would show as a hundred and more. */
const SLACK_MIB = 96;

test('a million rows are queued and shipped with flat memory and correct depth and oldest age', async (t) => {
  const many = await throughQueue(t, 1_000_000);
  t.diagnostic(JSON.stringify(many));
  assert.ok(many.rssMiB.most < many.rssMiB.early + SLACK_MIB, JSON.stringify(many));
});

test("a day's backlog of one strap at 2 readings a second (172,800) is shipped by a forwarder with flat memory", async (t) => {
  const backlog = await throughForwarder(t, 172_800);
  t.diagnostic(JSON.stringify(backlog));
  assert.ok(backlog.rssMiB.most < backlog.rssMiB.early + SLACK_MIB, JSON.stringify(backlog));
});
