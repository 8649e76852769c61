import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Traffic } from '../../../ble-bridge/radio/radio.ts';
import { DEFAULT_LIMITS } from '../../../ble-bridge/straps/link-limits.ts';
import { LinkRetry } from '../../../ble-bridge/straps/link-retry.ts';
import { PacketBudget } from '../../../ble-bridge/straps/packet-budget.ts';

/** A notification as long as the default MTU allows. */
const PACKET_BYTES = 23;
const packets = (count: number, bytes = PACKET_BYTES): Traffic => ({ packets: count, bytes: count * bytes, others: 0 });

const times = ({ packets: count, bytes, others }: Traffic, factor: number): Traffic => ({
  packets: factor * count,
  bytes: factor * bytes,
  others: factor * others,
});

/** How many seconds pass until a strap that sends so much a second is found; undefined: not within ten minutes. */
function foundAfterS(perSecond: Traffic): number | undefined {
  const budget = new PacketBudget();
  for (let second = 0; second < 600; second += 1)
    if (budget.exceeded(times(perSecond, second), 1000 * second) !== undefined) return second;
  return undefined;
}

test('a strap may send some packets a second, and many at once, but not many for long', () => {
  const calm = new PacketBudget();
  for (let second = 0; second < 600; second += 1) assert.equal(calm.exceeded(packets(45 * second), 1000 * second), undefined);
  assert.equal(calm.exceeded(packets(45 * 600 + 2400), 600_000), undefined, 'it catches up after an interference');
  const found = foundAfterS(packets(1000, 10)) ?? Infinity;
  assert.ok(found > 1 && found < 5, `found after ${found} s`);
});

test('few packets of many bytes are found in time, as the radio allows them: 67 of 254 bytes a second', () => {
  const found = foundAfterS(packets(67, 254)) ?? Infinity;
  assert.ok(found > 1 && found <= 6, `found after ${found} s`);
});

test('requests, signaling and changed services are found sooner than values', () => {
  const requests = (count: number): Traffic => ({ ...packets(count), others: count });
  assert.equal(foundAfterS(requests(19)), undefined);
  const found = foundAfterS(requests(100)) ?? Infinity;
  assert.ok(found > 1 && found <= 3, `found after ${found} s`);
});

test('a strap of 10 Hz that repeats each value, and a recorded workout of 1,641 values at once, are accepted', () => {
  assert.equal(foundAfterS(packets(20)), undefined);
  const workout = new PacketBudget();
  assert.equal(workout.exceeded(packets(1), 0), undefined);
  assert.equal(workout.exceeded(packets(1642), 1000), undefined);
});

test('a strap that ends its link and comes back has no new budget', () => {
  const budget = new PacketBudget();
  const found = Array.from({ length: 10 }, (_, link) => {
    budget.newLink();
    return [budget.exceeded(packets(0), 2000 * link), budget.exceeded(packets(800, 10), 2000 * link + 1000)];
  });
  assert.deepEqual(found[0], [undefined, undefined]);
  assert.match(
    String(found.flat().find((text) => text !== undefined)),
    /^it sent 800 packets of 8000 bytes within 1\.0 s; for long no more is accepted than 50 packets and 2 KiB a second/,
  );
});

test('after an excess a strap waits for a minute or so, then longer, whatever it delivers', () => {
  const retry = new LinkRetry(DEFAULT_LIMITS);
  const waits = Array.from({ length: 30 }, () => {
    retry.delivered();
    return retry.afterExcessMs();
  });
  assert.ok(Math.min(...waits) >= 30_000, `the shortest wait is ${Math.min(...waits)} ms`);
  assert.ok(Math.max(...waits) > 120_000, `the longest wait is ${Math.max(...waits)} ms`);
});
