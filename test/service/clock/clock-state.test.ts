import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clockState } from '../../../service/clock/clock-state.ts';

test('a clock is unsynced before the build year or more than 5 s off the stream, synced within, unknown without a comparison', () => {
  const now = new Date('2026-11-23T10:00:00Z');
  assert.equal(clockState(new Date('1970-01-01T00:03:00Z'), 0), 'unsynced');
  assert.equal(clockState(now, null), 'unknown');
  assert.equal(clockState(now, 4999), 'synced');
  assert.equal(clockState(now, -5001), 'unsynced');
});
