import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ServiceStatus } from '../../../contract/service-status.ts';
import { StatusReporter } from '../../../service/mqtt/status-reporter.ts';
import { eventually } from '../../support/eventually.ts';

test('urgent changes are published at once, others with the next status; by default every change is urgent', async (t) => {
  const published: ServiceStatus[] = [];
  const link = {
    publish: (topic: string, payload: string) =>
      topic.endsWith('/status') && published.push(JSON.parse(payload) as ServiceStatus) > 0,
    on: () => undefined,
  };
  let depth = 0;
  const reporter = new StatusReporter({
    service: 'forwarder',
    gateway: () => 'test-box',
    link,
    checks: () => [],
    news: () => String(depth),
    intervalMs: 60_000,
  });
  reporter.start();
  t.after(() => reporter.stop());
  assert.equal(published.length, 1);
  // Filled and emptied again before it would have been published.
  depth = 2;
  reporter.changed();
  depth = 0;
  await new Promise((resolve) => setTimeout(resolve, 1500));
  assert.equal(published.length, 1);
  depth = 3;
  reporter.changed();
  await eventually(() => published.length === 2);
  // Nothing changed since the last status.
  reporter.changed();
  await new Promise((resolve) => setTimeout(resolve, 1500));
  assert.equal(published.length, 2);

  const plain = new StatusReporter({
    service: 'ble-bridge',
    gateway: () => 'test-box',
    link,
    checks: () => [],
    intervalMs: 60_000,
  });
  plain.start();
  t.after(() => plain.stop());
  plain.changed();
  await eventually(() => published.filter(({ service }) => service === 'ble-bridge').length === 2);
});
