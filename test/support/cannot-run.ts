import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';

/** Skips a test for which this machine lacks something, with one line that names it; fails instead if CI is true. */
export function cannotRun(t: Pick<TestContext, 'skip'>, why: string): void {
  assert.notEqual(process.env['CI'], 'true', why);
  t.skip(why);
}
