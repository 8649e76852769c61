import { test } from 'node:test';
import { FAILURES } from './support/fault-case.ts';
import { keySuite } from './support/key-faults.ts';

test('whatever fails while keys, token and name are read or written: none is half written, and a later start works', async (t) => {
  await keySuite(
    t,
    FAILURES.flatMap((failure) =>
      (['once', 'for ever'] as const).flatMap((duration) => [
        { ...failure, duration, isFirstStart: true },
        { ...failure, duration, isFirstStart: false },
      ]),
    ),
  );
});
