import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ServiceStatus } from '../../../contract/service-status.ts';
import { StatusReporter } from '../../../service/mqtt/status-reporter.ts';
import { eventually } from '../../support/eventually.ts';

test('counts are published once nothing has changed for a second; news goes out at once, at most one status a second', async (t) => {
  const published: ServiceStatus[] = [];
  const link = {
    publish: (topic: string, payload: string) =>
      topic.endsWith('/status') && published.push(JSON.parse(payload) as ServiceStatus) > 0,
    on: () => undefined,
  };
  let depth = 0;
  const reporter = new StatusReporter({
    gateway: () => 'box',
    service: 'forwarder',
    link,
    checks: () => [],
    news: () => String(depth),
    intervalMs: 60_000,
  });
  reporter.start();
  t.after(() => reporter.stop());
  assert.equal(published.length, 1);
  const wait = async (ms: number): Promise<void> => await new Promise((resolve) => setTimeout(resolve, ms));
  // A steady flow, filled and emptied again each time before it would have been published.
  for (let reading = 0; reading < 8; reading += 1) {
    depth = 2;
    reporter.changed();
    depth = 0;
    await wait(300);
    assert.equal(published.length, 1);
  }
  const endedAtMs = performance.now();
  await eventually(() => published.length === 2);
  assert.ok(performance.now() - endedAtMs < 1000, 'the last numbers are known within a second');
  await wait(1500);
  assert.equal(published.length, 2, 'an idle service publishes nothing');
  depth = 3;
  reporter.changed();
  await eventually(() => published.length === 3);
  await wait(1500);
  assert.equal(published.length, 3, 'the status has the last change already');

  const plain = new StatusReporter({ gateway: () => 'box', service: 'ble-bridge', link, checks: () => [], intervalMs: 60_000 });
  plain.start();
  t.after(() => plain.stop());
  plain.changed();
  await eventually(() => published.filter(({ service }) => service === 'ble-bridge').length === 2);
});
