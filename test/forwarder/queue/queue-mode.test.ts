import assert from 'node:assert/strict';
import { test } from 'node:test';
import { QueueModes, type QueueMode, type QueueReason } from '../../../forwarder/queue/queue-mode.ts';

const FULL: QueueReason = { code: 'queue_full', detail: 'test' };

/** The shortest way into each mode. */
const WAYS: Readonly<Record<QueueMode, readonly QueueMode[]>> = {
  checking: [],
  waiting_to_open: ['waiting_to_open'],
  open: ['open'],
  full: ['open', 'full'],
  disk_low: ['open', 'disk_low'],
  write_failed: ['open', 'write_failed'],
  recovering: ['open', 'write_failed', 'recovering'],
  replacing: ['open', 'replacing'],
  closed: ['closed'],
};
const ALL = Object.keys(WAYS) as QueueMode[];

function inMode(mode: QueueMode): QueueModes {
  const modes = new QueueModes();
  for (const step of WAYS[mode]) modes.set(step, FULL);
  return modes;
}

const successorsOf = (mode: QueueMode): QueueMode[] =>
  ALL.filter((next) => {
    if (next === mode) return false;
    try {
      inMode(mode).set(next, null);
      return true;
    } catch {
      return false;
    }
  });

test('an illegal transition throws, names both modes, and changes nothing', () => {
  const modes = inMode('closed');
  assert.throws(() => modes.set('open', null), { message: 'illegal transition closed -> open' });
  assert.equal(modes.current, 'closed');
  assert.equal(modes.reason, FULL);
});

test('nothing leads out of closed, nothing leads back to checking, and closed can be reached from every mode', () => {
  assert.deepEqual(successorsOf('closed'), []);
  for (const mode of ALL) {
    assert.ok(!successorsOf(mode).includes('checking'), mode);
    if (mode !== 'closed') assert.ok(successorsOf(mode).includes('closed'), mode);
  }
});

test('after a failed write nothing but a successful commit leads back, and the limits apply only then', () => {
  assert.deepEqual(successorsOf('write_failed'), ['recovering', 'replacing', 'closed']);
  for (const limit of ['full', 'disk_low'] as const) assert.ok(successorsOf('recovering').includes(limit));
});

test('only an open queue accepts', () => {
  assert.deepEqual(
    ALL.filter((mode) => inMode(mode).accepts),
    ['open'],
  );
});

test('a mode that stays may change its reason', () => {
  const modes = inMode('write_failed');
  const reason: QueueReason = { code: 'disk_error', detail: 'another' };
  modes.set('write_failed', reason);
  assert.equal(modes.reason, reason);
});
