import { test } from 'node:test';
import { casesOf } from './support/fault-case.ts';
import { faultSuite } from './support/fault-suite.ts';
import { TARGETS } from './support/targets.ts';

for (const target of [TARGETS.bridge, TARGETS.adoption])
  test(`${target.name}: every file operation fails in every way, 8 s; nothing secured is lost, all heals`, async (t) => {
    await faultSuite(
      t,
      casesOf('8 s').map((fault) => ({ target, fault })),
    );
  });
