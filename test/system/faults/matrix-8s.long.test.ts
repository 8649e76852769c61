import { test } from 'node:test';
import { casesOf } from './support/fault-case.ts';
import { BOXES, faultMatrix } from './support/fault-suite.ts';
import { TARGETS } from './support/targets.ts';

test('every file operation fails in every way, 8 s; nothing secured is lost, all heals', { concurrency: BOXES }, async (t) => {
  const targets = Object.values(TARGETS);
  await faultMatrix(
    t,
    targets.flatMap((target) => casesOf('8 s').map((fault) => ({ target, fault }))),
  );
});
