import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';

/** Ends a test for which this machine lacks something: said in one line, and a failure where CI is true. */
export function cannotRun(t: Pick<TestContext, 'skip'>, why: string): void {
  assert.notEqual(process.env['CI'], 'true', why);
  t.skip(why);
}
