import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fleet } from '../../../admin-api/fleet.ts';
import { History } from '../../../admin-api/history.ts';
import { serviceStatusTopic, SERVICE_STATUS_FILTER } from '../../../contract/topics.ts';
import { RefusedMessages } from '../../../service/mqtt/refused-messages.ts';
import { forwarderStatus, serviceStatus } from '../../support/messages.ts';
import { testConfig, testLog } from '../../support/test-config.ts';

const newFleet = (): Fleet =>
  new Fleet(new RefusedMessages('admin-api', testLog(testConfig({}))), () => ({ gateway: 'test-box', served: ['*'] }));

/** Gives a fleet the status of a forwarder as of a time. */
function forwarder(
  fleet: Fleet,
): (atMs: number, accepted: number, depth: number, state?: 'online' | 'offline', bytes?: number) => void {
  return (atMs, accepted, depth, state = 'online', bytes = 4096) => {
    const at = new Date(atMs).toISOString();
    const ledger = { accepted, shipped: accepted - depth, queued: depth, dead: 0, evicted: 0, missed: 0 };
    const details = forwarderStatus({ depth, bytes, oldest_age_seconds: depth / 10, ledger });
    const online = serviceStatus('forwarder', { since: at, as_of: at, forwarder: details });
    const status = state === 'online' ? online : { service: 'forwarder', state, since: at, version: '1', as_of: at };
    fleet.subscriptions[SERVICE_STATUS_FILTER]?.(
      serviceStatusTopic('test-box', 'forwarder'),
      Buffer.from(JSON.stringify(status)),
      false,
    );
  };
}

test('rates cover the last ten seconds, by the times at which services published their counts', () => {
  const fleet = newFleet();
  const history = new History(fleet);
  const say = forwarder(fleet);
  const from = Date.now() - 20_000;
  assert.deepEqual(history.rates(), { heard: null, accepted: null, shipped: null, broker_in: null });
  // Nothing for ten seconds, then 30 a second; the last ten seconds count.
  for (let second = 0; second <= 20; second += 1) {
    say(from + second * 1000 + 7, second < 10 ? 0 : (second - 10) * 30, 0);
    fleet.readingsReceived = second < 10 ? 0 : (second - 10) * 20;
    history.take(from + second * 1000);
  }
  const { heard, accepted, broker_in } = history.rates();
  assert.deepEqual([heard, accepted, broker_in], [20, 30, null]);
});

test('a count that decreased is a restart, not a negative rate', () => {
  const fleet = newFleet();
  const history = new History(fleet);
  const say = forwarder(fleet);
  const now = Date.now();
  say(now - 2000, 500, 0);
  history.take(now - 2000);
  say(now - 1000, 3, 0);
  history.take(now - 1000);
  assert.equal(history.rates().accepted, 0);
});

test('at most ten minutes are kept; while the forwarder is offline there is a gap, not its last value', () => {
  const fleet = newFleet();
  const history = new History(fleet);
  const say = forwarder(fleet);
  const now = Date.now();
  say(now, 10, 4);
  for (let second = 0; second < 700; second += 1) history.take(now + second * 1000);
  say(now, 10, 4, 'offline');
  history.take(now + 700_000);
  const { at, depth, oldest_age_seconds } = history.queue();
  assert.deepEqual([at.length, depth.length, oldest_age_seconds.length], [600, 600, 600]);
  assert.deepEqual([depth.at(-2), oldest_age_seconds.at(-2), depth.at(-1), oldest_age_seconds.at(-1)], [4, 0.4, null, null]);
  assert.equal(history.rates().accepted, null);
});

test('a queue that is not open yet, because it is being checked, is a gap and causes no flood of readings afterwards', () => {
  const fleet = newFleet();
  const history = new History(fleet);
  const say = forwarder(fleet);
  const now = Date.now();
  say(now - 2000, 0, 0, 'online', 0);
  history.take(now - 2000);
  for (const ago of [1000, 0]) {
    say(now - ago, 5_000_000, 5_000_000);
    history.take(now - ago);
  }
  assert.deepEqual(history.queue().depth, [null, 5_000_000, 5_000_000]);
  assert.equal(history.rates().accepted, 0);
});
