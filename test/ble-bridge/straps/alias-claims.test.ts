import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AliasClaims } from '../../../ble-bridge/straps/alias-claims.ts';

const ADDRESS = 'c0:00:00:00:00:02';

describe('a new address with the name of an aliased strap', () => {
  test('waits while the former one may still be in the air, and is the same strap once that is gone', () => {
    const claims = new AliasClaims();
    const [seenAt, listeningSince] = [100_000, 0];
    assert.equal(claims.decide(ADDRESS, seenAt, listeningSince, 101_000), 'wait');
    assert.equal(claims.decide(ADDRESS, seenAt, listeningSince, 109_900), 'wait');
    assert.equal(claims.decide(ADDRESS, seenAt, listeningSince, 110_100), 'same');
  });

  test('is the same strap at once if the former one has been gone for long', () => {
    assert.equal(new AliasClaims().decide(ADDRESS, 100_000, 0, 200_000), 'same');
  });

  test('is another strap if the former one is received after it', () => {
    const claims = new AliasClaims();
    assert.equal(claims.decide(ADDRESS, 100_000, 0, 101_000), 'wait');
    // The end of the former link is noticed only after 3 s: until then it seems to be connected.
    assert.equal(claims.decide(ADDRESS, 104_000, 0, 104_000), 'wait');
    assert.equal(claims.decide(ADDRESS, 105_600, 0, 105_600), 'apart');
  });

  test('waits if the radio has not listened for long enough to have received the former one', () => {
    const claims = new AliasClaims();
    assert.equal(claims.decide(ADDRESS, -Infinity, 200_000, 201_000), 'wait');
    assert.equal(claims.decide(ADDRESS, -Infinity, 200_000, 211_000), 'same');
  });

  test('any number of addresses with that name take a bounded amount of memory', () => {
    const claims = new AliasClaims();
    for (let n = 0; n < 1000; n += 1) assert.equal(claims.decide(`address ${n}`, 100_000, 0, 101_000 + n), 'wait');
    // The first of them was forgotten, and begins to wait again.
    assert.equal(claims.decide('address 0', 106_500, 0, 106_500), 'wait');
    assert.equal(claims.decide('address 999', 106_900, 0, 106_900), 'apart');
  });
});
