import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import type { MqttClient } from 'mqtt';
import { OFFER_FILTER } from '../../contract/delivery.ts';
import { eventually } from '../support/eventually.ts';
import { deviceStatus, forwarderStatus, gap, metricsMessage, reading, serviceStatus } from '../support/messages.ts';
import { DEVICE_STATUS, METRICS, SERVICE_STATUS } from './support/kinds.ts';
import { refusable, type Exceptions } from './support/mutations.ts';
import { startReaders, type ReadersBox } from './support/readers-box.ts';

describe('a message that does not match the contract has no effect on a running reader', () => {
  const cleanups: (() => unknown)[] = [];
  let box: ReadersBox;

  before(async () => {
    box = await startReaders({ after: (cleanup: () => unknown) => void cleanups.push(cleanup) });
  });
  after(async () => {
    for (const cleanup of cleanups.reverse()) await cleanup();
  });

  /** Publishes mutations of `message` and checks after each that what the API knows has not changed; returns how many. */
  async function withoutEffect(
    client: MqttClient,
    topic: string,
    message: object,
    exceptions: Exceptions,
    known: () => Promise<unknown>,
  ): Promise<number> {
    const before = await known();
    let count = 0;
    await fc.assert(
      fc.asyncProperty(refusable(message, exceptions), async ({ change, payload }) => {
        client.publish(topic, payload);
        count += 1;
        await box.handled(client);
        assert.deepEqual(await known(), before, change);
      }),
      { numRuns: 60 },
    );
    return count;
  }

  test('admin API: statuses of services; they are counted, and the bridge counts them as well', async () => {
    const topic = 'edge/test-box/forwarder/status';
    const valid = serviceStatus('forwarder', { forwarder: forwarderStatus({ depth: 41 }) });
    box.forwarder.publish(topic, JSON.stringify(valid), { retain: true });
    await eventually(async () => (await box.get<{ depth?: number }>('/queue')).depth === 41);
    const queue = async (): Promise<unknown> => {
      const { stale: _stale, ...rest } = await box.get<{ stale: boolean }>('/queue');
      return rest;
    };
    const changed = { ...valid, forwarder: forwarderStatus({ depth: 99 }) };
    const counted = await box.refused('admin-api', 'service_status');
    const count = await withoutEffect(box.forwarder, topic, changed, SERVICE_STATUS, queue);
    for (const service of ['admin-api', 'ble-bridge'] as const)
      await eventually(async () => (await box.refused(service, 'service_status')) >= counted + count, {
        what: `${service} counts ${count} refused statuses`,
      });
  });

  test('admin API: a status under the topic of another service is refused', async () => {
    const before = await box.get('/queue');
    const forged = serviceStatus('gateway', { forwarder: forwarderStatus({ depth: 98 }) });
    box.forwarder.publish('edge/test-box/forwarder/status', JSON.stringify(forged));
    const offline = serviceStatus('ble-bridge', { state: 'offline' });
    box.forwarder.publish('edge/test-box/forwarder/status', JSON.stringify(offline));
    await box.handled(box.forwarder);
    assert.equal((await box.get<{ depth: number }>('/queue')).depth, (before as { depth: number }).depth);
    const { checks } = await box.get<{ checks: { name: string; code: string }[] }>('/health');
    assert.deepEqual(
      checks.filter(({ name, code }) => name === 'ble-bridge' && code !== ''),
      [],
    );
  });

  test('admin API: metrics', async (t) => {
    const metrics = async (): Promise<string | undefined> => {
      const text = await (await fetch(`${box.url}/metrics`)).text();
      return /^hr_gateway_test_total.*$/m.exec(text)?.[0];
    };
    const message = metricsMessage('forwarder');
    // Metrics and the status of their service become stale: on a slow machine the test takes longer.
    const publishValid = (): void => {
      box.forwarder.publish('edge/test-box/forwarder/status', JSON.stringify(serviceStatus('forwarder')), { retain: true });
      box.forwarder.publish('edge/test-box/forwarder/metrics', JSON.stringify(message));
    };
    publishValid();
    const timer = setInterval(publishValid, 2000);
    t.after(() => clearInterval(timer));
    await eventually(async () => (await metrics()) !== undefined, { what: 'the valid metrics' });
    await withoutEffect(box.forwarder, 'edge/test-box/forwarder/metrics', message, METRICS, metrics);
  });

  test('admin API: statuses, gaps and readings of devices', async () => {
    const bridge = await box.as('ble-bridge');
    bridge.publish('hr/strap-1/status', JSON.stringify(deviceStatus('strap-1')));
    bridge.publish('hr/strap-1/gap', JSON.stringify(gap()));
    bridge.publish('hr/strap-1/bpm', JSON.stringify(reading('strap-1')));
    const known = async (): Promise<unknown> => [await box.get('/devices/strap-1'), await box.get('/devices/strap-1/readings')];
    await eventually(async () => (await box.get<unknown[]>('/devices/strap-1/readings')).length === 1);
    assert.equal((await box.get<{ name: string }>('/devices/strap-1')).name, deviceStatus('strap-1').name);
    const other = deviceStatus('strap-1', { name: 'another', readings: 999 });
    await withoutEffect(bridge, 'hr/strap-1/status', other, DEVICE_STATUS, known);
    const before = await known();
    bridge.publish('hr/strap-1/status', JSON.stringify(deviceStatus('strap-9', { name: 'of another device' })));
    await box.handled(bridge);
    assert.deepEqual(await known(), before);
    await withoutEffect(bridge, 'hr/strap-1/gap', gap(), { nullable: [], optional: ['readings'], maps: [] }, known);
    const whole = { timestamp: new Date().toISOString(), heart_rate: 199 };
    await withoutEffect(bridge, 'hr/strap-1/bpm', whole, { nullable: [], optional: ['timestamp'], maps: [] }, known);
  });

  test('command client: an invalid response is ignored, an invalid result is an error; the next valid one is used', async () => {
    let answer: (id: string) => object[] = () => [];
    box.forwarder.on('message', (topic, payload) => {
      if (!topic.startsWith('edge/test-box/forwarder/request/')) return;
      const { id } = JSON.parse(payload.toString()) as { id: string };
      for (const response of answer(id))
        box.forwarder.publish(`edge/test-box/forwarder/response/${id}`, JSON.stringify(response));
    });
    await box.forwarder.subscribeAsync('edge/test-box/forwarder/request/+');
    const result = { file: '/backups/queue.db', bytes: 4096 };
    answer = (id) => [{ id }, { id, ok: 'yes', result }, { id, ok: false }, { id, ok: true, result }];
    assert.deepEqual(await box.post('/backup'), { status: 200, body: result });
    for (const wrong of [null, {}, { file: 7, bytes: 4096 }, { file: '/a', bytes: -1 }, 'x', [result]]) {
      answer = (id) => [{ id, ok: true, result: wrong }];
      const { status, body } = await box.post('/backup');
      assert.deepEqual([status, body['code']], [502, 'command_failed'], JSON.stringify(wrong));
    }
    answer = (id) => [{ id, ok: true, result: { ...result, of_a_newer_version: 1 } }];
    assert.deepEqual(await box.post('/backup'), { status: 200, body: result });
  });

  test('command server: a request that does not match is not answered, and the next one is', async () => {
    const responses: { id: string; ok: boolean; error?: { code: string } }[] = [];
    const client = await box.as('admin-api');
    client.on('message', (_topic, payload) => responses.push(JSON.parse(payload.toString()) as (typeof responses)[number]));
    await client.subscribeAsync('edge/test-box/ble-bridge/response/+');
    const topic = 'edge/test-box/ble-bridge/request/scan-now';
    for (const wrong of [
      'rubbish',
      '{}',
      '{"id":7}',
      '{"id":"../x"}',
      '{"id":"a","more":1}',
      '{"id":"a","args":[]}',
      '['.repeat(9999),
    ])
      client.publish(topic, wrong);
    client.publish(topic, JSON.stringify({ id: 'b', args: { unknown: 1 } }));
    client.publish(topic, JSON.stringify({ id: 'c' }));
    await eventually(() => responses.length === 2);
    assert.deepEqual(
      responses.map(({ id, ok, error }) => [id, ok, error?.code]).sort(([a = ''], [b = '']) => (String(a) < String(b) ? -1 : 1)),
      [
        ['b', false, 'command_invalid'],
        ['c', true, undefined],
      ],
    );
  });

  test('bridge: it keeps asking a forwarder whose status has no commit interval', async () => {
    const offers: string[] = [];
    box.forwarder.on('message', (topic) => {
      if (topic.includes('/offer/')) offers.push(topic);
    });
    await box.forwarder.subscribeAsync(OFFER_FILTER);
    const { commit_interval_ms: _interval, ...incomplete } = forwarderStatus();
    for (const forwarder of [incomplete, {}])
      box.forwarder.publish('edge/test-box/forwarder/status', JSON.stringify({ ...serviceStatus('forwarder'), forwarder }), {
        retain: true,
      });
    await sleep(500);
    const from = offers.length;
    await eventually(() => offers.length >= from + 2, { withinMs: 45_000, what: 'two more offers' });
  });

  test('after all of it, the admin API and the bridge still run, and an empty retained status ends neither', async () => {
    box.forwarder.publish('edge/test-box/forwarder/status', '{"service":"forwarder","forwarder":{}}', { retain: true });
    await box.handled(box.forwarder);
    const { checks } = await box.get<{ checks: { name: string; code: string }[] }>('/health');
    assert.ok(
      checks.some(({ name, code }) => name === 'ble-bridge' && code === ''),
      JSON.stringify(checks),
    );
  });
});

test('an admin API that starts on a broker with an invalid retained status serves health and page', async (t) => {
  const box = await startReaders(t, async (forwarder) => {
    await forwarder.publishAsync(
      'edge/test-box/forwarder/status',
      JSON.stringify({ ...serviceStatus('forwarder'), forwarder: {} }),
      {
        retain: true,
      },
    );
  });
  const { checks } = await box.get<{ checks: { code: string }[] }>('/health');
  assert.ok(
    checks.some(({ code }) => code === 'service_unknown'),
    JSON.stringify(checks),
  );
  assert.equal((await fetch(`${box.url}/`)).status, 200);
  await eventually(async () => (await box.refused('admin-api', 'service_status')) > 0, { what: 'the refused status is counted' });
});
