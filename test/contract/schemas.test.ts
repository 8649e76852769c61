import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseServiceStatus, STATUS_INTERVAL_MS, STATUS_STALE_MS } from '../../contract/service-status.ts';
import { MESSAGE_MAX_BYTES } from '../../contract/validate.ts';
import { serviceStatus } from '../support/messages.ts';
import { KINDS } from './support/kinds.ts';
import { refusable } from './support/mutations.ts';

for (const { name, message, parse, exceptions, strict } of KINDS) {
  test(`${name}: a complete message is accepted unchanged`, () => {
    assert.deepEqual(parse(JSON.stringify(message)), { ok: true, value: message });
  });

  test(`${name}: a field that is missing, null, huge, of a wrong type or nested refuses the message with a reason`, () => {
    fc.assert(
      fc.property(refusable(message, exceptions), ({ change, payload }) => {
        // Without required fields, an empty object is complete.
        fc.pre(payload !== '{}' || !parse('{}').ok);
        const parsed = parse(payload);
        assert.ok(!parsed.ok, change);
        assert.ok(parsed.reason !== '' && parsed.reason.length <= 500, change);
      }),
      { numRuns: 400 },
    );
  });

  if (strict === true)
    test(`${name}: an unknown field refuses the message, because it is acted on literally`, () => {
      assert.ok(!parse(JSON.stringify({ ...message, of_a_newer_version: 1 })).ok);
    });
  else if (name !== 'users file')
    test(`${name}: an unknown field of a newer version is ignored`, () => {
      assert.ok(parse(JSON.stringify({ ...message, of_a_newer_version: { a: [1] } })).ok);
    });
}

test('a message over the limit is refused unparsed, though it would match', () => {
  const status = JSON.stringify(serviceStatus('forwarder'));
  assert.ok(parseServiceStatus(status.padEnd(MESSAGE_MAX_BYTES)).ok);
  assert.ok(!parseServiceStatus(status.padEnd(MESSAGE_MAX_BYTES + 1)).ok);
});

test('a time that no clock shows is refused, so that no age is ever NaN', () => {
  for (const time of ['2026-13-01T00:00:00Z', '2026-01-32T00:00:00Z', '2026-01-01T24:00:00Z', '2026-01-01T00:00:60Z', 'now'])
    assert.ok(!parseServiceStatus(JSON.stringify(serviceStatus('forwarder', { as_of: time }))).ok, time);
});

test('a status is stale after three missed intervals', () => {
  assert.equal(STATUS_STALE_MS, 3 * STATUS_INTERVAL_MS);
});
