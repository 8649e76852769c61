import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LinkTrouble } from '../../../service/mqtt/link-trouble.ts';

test('accepted connections that the broker ends one after the other are a client id conflict, until one lasts', () => {
  let now = 0;
  const trouble = new LinkTrouble(() => now);
  for (const lastsMs of [200, 5000, 400]) {
    trouble.accepted();
    trouble.up();
    now += lastsMs;
    trouble.down(true, 100);
  }
  const named = trouble.current;
  assert.equal(named?.code, 'client_id_conflict');
  trouble.accepted();
  trouble.up();
  assert.equal(trouble.current, named, 'the next connection may be cut short, too');
  now += 30_000;
  trouble.lasting();
  assert.equal(trouble.current, undefined);
  assert.equal(trouble.isCutShort, false);
});

test('a broker that restarts, or a connection that fails for a known reason, is no client id conflict', () => {
  let now = 0;
  const trouble = new LinkTrouble(() => now);
  for (let round = 0; round < 10; round += 1) {
    trouble.accepted();
    trouble.up();
    now += 100;
    trouble.down(true, 100);
    trouble.failed('broker_unreachable', 'connect ECONNREFUSED');
  }
  assert.equal(trouble.current?.code, 'broker_unreachable');
  for (let round = 0; round < 10; round += 1) {
    trouble.accepted();
    trouble.up();
    now += 100;
    trouble.down(false, 100);
  }
  assert.equal(trouble.isCutShort, false);
});

test('connections that end after large messages are a size limit, not a client id conflict', () => {
  const trouble = new LinkTrouble(() => 0);
  for (let round = 0; round < 3; round += 1) {
    trouble.accepted();
    trouble.up();
    trouble.down(true, 60_000);
  }
  assert.equal(trouble.current?.code, 'broker_size_limit');
});

test('a conflict is named although some of the connections end before their subscriptions are answered', () => {
  const trouble = new LinkTrouble(() => 0);
  for (const isSubscribed of [true, false, false]) {
    trouble.accepted();
    if (isSubscribed) trouble.up();
    trouble.down(true, 100);
  }
  assert.equal(trouble.current?.code, 'client_id_conflict');
});

test('a broker that ends every connection instead of answering its subscriptions refuses the subscriptions', () => {
  const trouble = new LinkTrouble(() => 0);
  for (let round = 0; round < 3; round += 1) {
    trouble.accepted();
    trouble.down(true, 100);
  }
  assert.equal(trouble.current?.code, 'subscription_refused');
});
