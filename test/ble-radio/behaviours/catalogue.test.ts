import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ADVERTISEMENTS } from './advertisements.ts';
import { ANSWERS } from './answers.ts';
import { NAMES } from './names.ts';
import { VALUES } from './values.ts';

const ALL = [...ADVERTISEMENTS, ...ANSWERS, ...NAMES, ...VALUES];

/** An issue, a forum, a manufacturer's page, or a section of a specification. */
const PUBLIC: readonly RegExp[] = [
  /github\.com\/[^/]+\/[^/]+\/(issues|pull)\/\d+/,
  /forums\.garmin\.com|stackoverflow\.com\/questions\/\d+|support\.google\.com/,
  /^HR[SP] v1\.0, /,
  /^Core, volume \d part [A-H], \d/,
  /^Core Specification Supplement, part [AB], \d/,
];

test('the catalogue has at least 60 behaviours, 30 of them misbehaving, each with a public source and a law of its own', () => {
  assert.ok(ALL.length >= 60, `${ALL.length} behaviours`);
  const misbehaving = ALL.filter(({ misbehaves }) => misbehaves).length;
  assert.ok(misbehaving >= 30, `${misbehaving} misbehaving`);
  for (const { law, source } of ALL)
    assert.ok(
      PUBLIC.some((form) => form.test(source)),
      `${law}: ${source}`,
    );
  assert.equal(new Set(ALL.map(({ law }) => law)).size, ALL.length);
});
