import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { pino } from 'pino';
import type { Parser } from '../../../contract/validate.ts';
import { RefusedMessages } from '../../../service/mqtt/refused-messages.ts';

/** Accepts only numbers. */
const parseNumber: Parser<number> = (payload) => {
  const value = Number(payload.toString());
  return Number.isNaN(value) ? { ok: false, reason: `${payload.toString()} is no number` } : { ok: true, value };
};

function makeRefused(): { refused: RefusedMessages; lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = [];
  const write = (chunk: Buffer, _: unknown, done: () => void): void => {
    lines.push(JSON.parse(chunk.toString()) as Record<string, unknown>);
    done();
  };
  return { refused: new RefusedMessages('forwarder', pino(new Writable({ write }))), lines };
}

test('a reader handles messages that match, with topic and retain flag, and no others', () => {
  const { refused } = makeRefused();
  const handled: unknown[] = [];
  const reader = refused.reader('reading', parseNumber, (...args) => handled.push(args));
  reader('hr/a/bpm', Buffer.from('72'), false);
  reader('hr/a/bpm', Buffer.from('rubbish'), false);
  reader('hr/a/bpm', Buffer.from('"72"'), false);
  reader('hr/b/bpm', Buffer.from('73'), true);
  assert.deepEqual(handled, [
    ['hr/a/bpm', 72, false],
    ['hr/b/bpm', 73, true],
  ]);
  assert.equal(refused.total, 2);
});

test('an empty payload, which removes a retained message, is neither handled nor refused', () => {
  const { refused, lines } = makeRefused();
  const handled: unknown[] = [];
  refused.reader('gap', parseNumber, (...args) => handled.push(args))('hr/a/gap', Buffer.alloc(0), false);
  assert.deepEqual([handled, refused.total, lines], [[], 0, []]);
});

test('refused messages are counted by kind, and each kind is logged once a minute with topic and reason', () => {
  const { refused, lines } = makeRefused();
  for (let count = 0; count < 3; count += 1) refused.refuse('gap', `hr/${'x'.repeat(300)}/gap`, 'from required');
  refused.reader('reading', parseNumber, () => {})('hr/a/bpm', Buffer.from('rubbish'), false);
  const { name, values } = refused.read();
  assert.equal(name, 'hr_gateway_contract_refused_total');
  assert.deepEqual(
    values.map(({ labels, value }) => [labels, value]),
    [
      [{ service: 'forwarder', message: 'gap' }, 3],
      [{ service: 'forwarder', message: 'reading' }, 1],
    ],
  );
  assert.equal(refused.total, 4);
  assert.deepEqual(
    lines.map(({ event, message, topic, reason }) => ({ event, message, topic, reason })),
    [
      { event: 'message_refused', message: 'gap', topic: `hr/${'x'.repeat(300)}/gap`.slice(0, 200), reason: 'from required' },
      { event: 'message_refused', message: 'reading', topic: 'hr/a/bpm', reason: 'rubbish is no number' },
    ],
  );
});
