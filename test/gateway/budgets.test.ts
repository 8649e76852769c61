/** Budgets of clients that are no services: one client, one user or address, and the box. Who exceeds them waits, not the others. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { generate } from 'mqtt-packet';
import { BUDGET_ROWS } from '../../gateway/budgets/budget-table.ts';
import { MemoryBudget } from '../../gateway/budgets/memory-budget.ts';
import { Offenders } from '../../gateway/budgets/offenders.ts';
import { CLIENT_LIMITS } from '../../gateway/client-limits.ts';
import { RetainedStore } from '../../gateway/retained-store.ts';
import { eventually } from '../support/eventually.ts';
import { filesBelow, readSource } from '../support/source-tree.ts';
import { startGateway, type TestGateway } from './support/gateway.ts';
import { connected, type RawClient } from './support/raw-client.ts';

const USERS = {
  app: { password: 'pass-word', subscribe: ['hr/#', 'app/#'], publish: ['hr/#', 'app/#'] },
  hog: { password: 'pass-word', subscribe: ['app/#'], publish: ['app/#', 'hr/hog/bpm'] },
};
const client = async (t: TestContext, gateway: TestGateway, username: 'app' | 'hog'): Promise<RawClient> =>
  await connected(t, gateway.ports.mqtt, { username, password: Buffer.from('pass-word') });
const blamed = (gateway: TestGateway): string =>
  gateway.service.checks.find(({ name, status }) => name === 'client budgets' && status === 'warn')?.reason ?? '';

/** Time for which this process could have run and another one did, in milliseconds (Linux, Documentation/scheduler/sched-stats). */
function waitedForProcessorMs(): number {
  return Number(readFileSync('/proc/self/schedstat', 'utf8').split(' ')[1]) / 1e6;
}

/** The longest of some round trips of a calm publisher, beside whatever goes on in this process; other processes do not count. */
async function slowestPublish(calm: RawClient, forMs: number): Promise<number> {
  const endMs = performance.now() + forMs;
  let slowest = 0;
  while (performance.now() < endMs) {
    const sentAt = performance.now() - waitedForProcessorMs();
    await calm.publishAcknowledged('hr/calm/bpm', '72');
    slowest = Math.max(slowest, performance.now() - waitedForProcessorMs() - sentAt);
    await sleep(20);
  }
  return slowest;
}

const FLOODS: readonly [limit: string, packets: (index: number) => Buffer][] = [
  ['request_rate', () => Buffer.concat(Array.from({ length: 500 }, () => generate({ cmd: 'pingreq' })))],
  [
    'request_rate',
    () =>
      Buffer.concat(
        Array.from({ length: 100 }, () => generate({ cmd: 'unsubscribe', messageId: 1, unsubscriptions: ['app/x'] })),
      ),
  ],
  [
    'filter_rate',
    (index) =>
      generate({
        cmd: 'subscribe',
        messageId: 1,
        subscriptions: Array.from({ length: 90 }, (_, filter) => ({ topic: `app/${index}/${filter}`, qos: 0 as const })),
      }),
  ],
  [
    'byte_rate',
    () => generate({ cmd: 'publish', topic: 'app/x', payload: Buffer.alloc(500_000), qos: 0, dup: false, retain: false }),
  ],
];

for (const [index, [limit, packets]] of FLOODS.entries())
  test(`a flood is slowed down (${limit}, ${packets(0).length} bytes), named and disconnected; the others do not wait`, async (t) => {
    const gateway = await startGateway(t, {}, USERS, { requestsOverMs: 1000, publishesOverMs: 1000 });
    const calm = await client(t, gateway, 'app');
    const hog = await client(t, gateway, 'hog');
    const timer = setInterval(() => {
      for (let count = 0; count < 5 && hog.socket.writableLength < 5_000_000; count += 1) hog.sendBytes(packets(count));
    }, 5);
    t.after(() => clearInterval(timer));
    const slowest = await slowestPublish(calm, 2000);
    assert.ok(gateway.breached(limit), `${limit} in ${JSON.stringify(gateway.service.breaches)}`);
    assert.ok(slowest < 1000, `the calm one waited for ${slowest} ms`);
    await eventually(() => hog.closed);
    clearInterval(timer);
    assert.ok(gateway.breached('over_budget'), 'it was disconnected for that');
    assert.match(blamed(gateway), /^user hog exceeds limits of the broker/);
    if (index === 0) await eventually(() => blamed(gateway) === '', { withinMs: 15_000 });
    assert.equal(calm.closed, false);
  });

test('a hundred anonymous clients that subscribe 3,000 times each delay a publisher by less than a second', async (t) => {
  const gateway = await startGateway(t, {}, USERS);
  const calm = await client(t, gateway, 'app');
  for (let index = 0; index < 500; index += 1) calm.publish(`app/${index}`, 'x'.repeat(500), { retain: true });
  await calm.settled();
  const before = process.memoryUsage().rss;
  const some = Buffer.concat(
    Array.from({ length: 3000 }, (_, index) =>
      generate({ cmd: 'subscribe', messageId: 1 + (index % 60_000), subscriptions: [{ topic: 'hr/#', qos: 0 }] }),
    ),
  );
  const strangers = await Promise.all(Array.from({ length: 100 }, async () => await connected(t, gateway.ports.mqtt)));
  for (const stranger of strangers) stranger.sendBytes(some);
  const slowest = await slowestPublish(calm, 3000);
  assert.ok(slowest < 1000, `the publisher waited for ${slowest} ms`);
  const grown = process.memoryUsage().rss - before;
  assert.ok(grown < 200 * 1024 * 1024, `${grown} bytes more`);
  assert.match(blamed(gateway), /^address 127\.0\.0\.1 exceeds/);
});

test('frozen subscribers delay nobody, and cost at most their backlog', async (t) => {
  const gateway = await startGateway(t, {}, USERS, { memoryOfBacklogs: 4 * 1024 * 1024 });
  const calm = await client(t, gateway, 'app');
  const frozen = await Promise.all(Array.from({ length: 20 }, async () => await client(t, gateway, 'hog')));
  for (const each of frozen) {
    await each.subscribe('app/#');
    each.socket.pause();
  }
  // More publishes at once than Aedes delivers side by side.
  const hogs = await Promise.all(Array.from({ length: 150 }, async () => await client(t, gateway, 'hog')));
  const timer = setInterval(() => {
    for (const hog of hogs) if (hog.socket.writableLength < 100_000) hog.publish('app/x', Buffer.alloc(20_000));
  }, 100);
  t.after(() => clearInterval(timer));
  const slowest = await slowestPublish(calm, 3500);
  clearInterval(timer);
  assert.ok(slowest < 1000, `the calm one waited for ${slowest} ms`);
  assert.ok(
    (gateway.service.breaches['memory'] ?? 0) + (gateway.service.breaches['slow_subscriber'] ?? 0) > 0,
    'some were disconnected',
  );
});

test('packets that are never completed cost at most their share of memory', async (t) => {
  const gateway = await startGateway(t, {}, USERS, { memoryOfIncoming: 2 * 1024 * 1024 });
  const almost = generate({ cmd: 'publish', topic: 'app/x', payload: Buffer.alloc(900_000), qos: 0, dup: false, retain: false });
  const slow = await Promise.all(Array.from({ length: 8 }, async () => await client(t, gateway, 'hog')));
  for (const each of slow) each.sendBytes(almost.subarray(0, 800_000));
  await eventually(() => gateway.breached('memory'));
  await eventually(() => slow.filter(({ closed }) => closed).length >= 5);
  // Before the login no long packet is accepted at all.
  const stranger = await connected(t, gateway.ports.mqtt);
  stranger.sendBytes(almost);
  await stranger.ended();
});

test('the same filter subscribed again replays its retained messages once within ten seconds', async (t) => {
  const gateway = await startGateway(t, {}, USERS, { replayAgainMs: 1000 });
  const calm = await client(t, gateway, 'app');
  await calm.publishAcknowledged('app/kept', 'x', true);
  const reader = await client(t, gateway, 'hog');
  for (let index = 0; index < 20; index += 1) await reader.subscribe('app/#');
  await reader.settled();
  assert.equal(reader.messages().length, 1);
  await sleep(1100);
  await reader.subscribe('app/#');
  await eventually(() => reader.messages().length === 2);
});

test('subscriptions of a user and of all clients are bounded, and a disconnected client frees its own', async (t) => {
  const gateway = await startGateway(t, {}, USERS, { subscriptionsOfParty: 6, subscriptionsOfAll: 8 });
  const [first, second] = [await client(t, gateway, 'hog'), await client(t, gateway, 'hog')];
  for (let index = 0; index < 4; index += 1) assert.equal(await first.subscribe(`app/${index}`), 0);
  for (let index = 0; index < 2; index += 1) assert.equal(await second.subscribe(`app/${index}`), 0);
  assert.equal(await second.subscribe('app/2'), 128);
  assert.ok(gateway.breached('subscriptions_of_party'), 'of the user');
  const other = await client(t, gateway, 'app');
  for (let index = 0; index < 2; index += 1) assert.equal(await other.subscribe(`app/${index}`), 0);
  assert.equal(await other.subscribe('app/2'), 128);
  assert.ok(gateway.breached('subscriptions_of_all'), 'of all');
  first.destroy();
  await eventually(async () => (await other.subscribe('app/2')) === 0);
});

test('health names the party with the most breaches, and nobody ten seconds later; one breach names nobody', () => {
  let nowMs = 0;
  const offenders = new Offenders(() => nowMs);
  offenders.note('user anna', 'login', 1);
  assert.equal(offenders.worst(), undefined);
  for (let index = 0; index < 8; index += 1) offenders.note('address 10.0.0.9', 'request_rate', 1);
  for (let index = 0; index < 6; index += 1) offenders.note('user anna', 'publish_rate', 1);
  assert.equal(offenders.worst()?.party, 'address 10.0.0.9');
  nowMs = 6000;
  assert.equal(offenders.worst()?.party, 'address 10.0.0.9');
  nowMs = 12_000;
  assert.equal(offenders.worst(), undefined);
  for (let index = 0; index < 100_000; index += 1) offenders.note(`address ${index}`, 'login', 1);
  assert.equal(offenders.worst(), undefined);
});

test('the memory of all uses together is bounded below the sum of their bounds', () => {
  const MiB = 1024 * 1024;
  const memory = new MemoryBudget(CLIENT_LIMITS, 32 * MiB);
  memory.add('retained', 30 * MiB);
  memory.add('backlogs', 60 * MiB);
  assert.equal(memory.hasRoom('held', 30 * MiB), true);
  memory.add('held', 37 * MiB);
  assert.equal(memory.hasRoom('incoming', 2 * MiB), false);
  memory.add('backlogs', -60 * MiB);
  assert.equal(memory.hasRoom('incoming', 2 * MiB), true);
});

test('the store of retained messages finds what a filter matches, as the rules of section 4.7 say, and forgets what is removed', () => {
  const store = new RetainedStore();
  const topics = ['hr', 'hr/a', 'hr/a/status', 'hr/b/status', '/x', 'hr//status', '$SYS/a', 'app'];
  for (const topic of topics) store.set({ topic, payload: Buffer.from(topic), qos: 0 });
  const matching = (filter: string): string[] => [...store.matching(filter)].map(({ topic }) => topic).sort();
  assert.deepEqual(matching('hr/#'), ['hr', 'hr//status', 'hr/a', 'hr/a/status', 'hr/b/status']);
  assert.deepEqual(matching('hr/+/status'), ['hr//status', 'hr/a/status', 'hr/b/status']);
  assert.deepEqual(matching('hr/a/status'), ['hr/a/status']);
  assert.deepEqual(matching('+'), ['app', 'hr']);
  assert.deepEqual(matching('+/x'), ['/x']);
  assert.deepEqual(matching('#'), topics.filter((topic) => !topic.startsWith('$')).sort());
  assert.deepEqual(matching('$SYS/#'), ['$SYS/a']);
  for (const topic of topics) store.delete(topic);
  assert.equal(store.size, 0);
  assert.deepEqual(matching('hr/#'), []);
});

test('every limit that is counted in the gateway is in the table of limits or of budgets, and the other way round', () => {
  const code = filesBelow('gateway')
    .filter((file) => file.endsWith('.ts') && !file.endsWith('budget-table.ts'))
    .map(readSource)
    .join('\n');
  const documented = readSource('docs/mqtt.md') + readSource('SECURITY.md');
  for (const { limits } of BUDGET_ROWS)
    for (const limit of limits) assert.ok(code.includes(`'${limit}'`), `nothing counts ${limit}`);
  const counted = [...code.matchAll(/(?:breaches\.add|refused|disconnect)\((?:client, )?'([a-z_0-9]+)'/g)].map(
    (match) => match[1] ?? '',
  );
  assert.ok(counted.length > 10, 'they are found');
  for (const limit of counted) assert.ok(documented.includes(`\`${limit}\``), `${limit} is not documented`);
});
