import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_LIMITS } from '../../../ble-bridge/straps/link-limits.ts';
import { LinkRetry } from '../../../ble-bridge/straps/link-retry.ts';
import { PacketBudget } from '../../../ble-bridge/straps/packet-budget.ts';

test('a strap may send some packets a second, and many at once, but not many for long', () => {
  const calm = new PacketBudget();
  for (let second = 0; second < 600; second += 1) assert.equal(calm.exceeded(45 * second, 1000 * second), undefined);
  assert.equal(calm.exceeded(45 * 600 + 2400, 600_000), undefined, 'it catches up after an interference');
  const flood = new PacketBudget();
  let second = 0;
  while (flood.exceeded(1000 * second, 1000 * second) === undefined) second += 1;
  assert.ok(second > 1 && second < 5, `found after ${second} s`);
});

test('a strap that ends its link and comes back has no new budget', () => {
  const budget = new PacketBudget();
  const found = Array.from({ length: 10 }, (_, link) => {
    budget.newLink();
    return [budget.exceeded(0, 2000 * link), budget.exceeded(800, 2000 * link + 1000)];
  });
  assert.deepEqual(found[0], [undefined, undefined]);
  assert.match(String(found.flat().find((text) => text !== undefined)), /^it sent 800 packets within 1\.0 s/);
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
