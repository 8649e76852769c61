import { test } from 'node:test';
import { casesOf } from './support/fault-case.ts';
import { faultSuite } from './support/fault-suite.ts';
import { TARGETS } from './support/targets.ts';

for (const target of [TARGETS.queue, TARGETS.stream])
  test(`${target.name}: every file operation fails in every way, once; nothing secured is lost, all heals`, async (t) => {
    await faultSuite(
      t,
      casesOf('once').map((fault) => ({ target, fault })),
    );
  });
