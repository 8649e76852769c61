/** Content that would make careless patterns and calls slow or fail: long runs, deep nesting, very many cells. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { refusal } from './support/read.ts';

const many = (text: string, count = 1_000_000): string => text.repeat(count);

/** In each of them a pattern of quadratic time would take hours. */
const CONTENTS: Record<string, string | Uint8Array> = {
  'zeros within a text': Buffer.concat([Buffer.from('time,hr\n'), Buffer.alloc(2_000_000), Buffer.from('x')]),
  'blanks before a value': `time,hr\n0,72\n1,${many(' ')}x\n`,
  'blanks in a list': `time,hr,rr\n0,72,1${many(' ')}x\n`,
  'digits as a time': `time,hr\n${many('1')}x,72\n`,
  'digits as a heart rate': `time,hr\n0,${many('1')}x\n`,
  'blanks in a date': `time,hr\n2024-01-01${many(' ')}x10:00:00,72\n`,
  'brackets in a name': `${many('(')},hr\n`,
  'intervals in a cell': `time,hr,rr\n0,72,${many('812 ', 200_000)}\n`,
  quotes: many('"'),
  separators: `time;hr\n${many(';')}`,
  'nested tags': `<gpx>${many('<a>', 200_000)}`,
  attributes: `<gpx ${many('a="1" ', 20_000)}>`,
  'nested arrays': `[{${many('[')}`,
};

describe('hostile content is refused in one line, in bounded time', () => {
  for (const [what, content] of Object.entries(CONTENTS))
    test(what, { timeout: 60_000 }, async () => {
      const began = process.cpuUsage();
      await refusal(content);
      const ms = process.cpuUsage(began).user / 1000;
      assert.ok(ms < 10_000, `${ms} ms of CPU time`);
    });
});
