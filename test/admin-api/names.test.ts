/** A person's name: where it is shown, and where it never is. */
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { connectAsync, type MqttClient } from 'mqtt';
import type { KnownDevice } from '../../admin-api/answer-schemas.ts';
import { eventually } from '../support/eventually.ts';
import { deviceStatus } from '../support/messages.ts';
import { startBox, type Box } from './page/support/page-pipeline.ts';

const NAME = 'Änne Müller-Lüdenscheidt';
const DEVICE = 'simulated-rest-000000';
const PERSON_TOPIC = `edge/test-box/person/${DEVICE}`;

type Named = Pick<KnownDevice, 'device' | 'state' | 'name' | 'person' | 'max_heart_rate'>;

const devices = async (box: Box): Promise<Named[]> => (await (await fetch(`${box.url}/devices`)).json()) as Named[];
const shown = async (box: Box): Promise<Named | undefined> => (await devices(box)).find(({ device }) => device === DEVICE);

async function ask(box: Box, method: string, route: string, body?: unknown): Promise<{ status: number; json: unknown }> {
  const answer = await fetch(`${box.url}${route}`, {
    method,
    headers: { authorization: `Bearer ${box.token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: answer.status, json: await answer.json() };
}
const rename = async (box: Box, body: unknown, device = DEVICE): ReturnType<typeof ask> =>
  await ask(box, 'POST', `/devices/${device}/rename`, body);

/** What a client receives, by topic; retained messages that were removed are gone. */
async function listen(
  client: MqttClient,
  filters: string[],
): Promise<{ all: [string, string][]; retained: Map<string, string> }> {
  const all: [string, string][] = [];
  const retained = new Map<string, string>();
  client.on('message', (topic, payload) => {
    all.push([topic, payload.toString()]);
    if (payload.length === 0) retained.delete(topic);
    else retained.set(topic, payload.toString());
  });
  await client.subscribeAsync(filters);
  return { all, retained };
}

async function anonymous(t: TestContext, box: Box): Promise<{ client: MqttClient; granted: string[] }> {
  const client = await connectAsync(box.mqttUrl, { protocolVersion: 4, reconnectPeriod: 0 });
  t.after(() => client.end(true));
  const asked = ['#', '+/#', 'hr/#', 'edge/#', 'edge/+/+/status', 'edge/+/person/+', PERSON_TOPIC, 'homeassistant/#', '$SYS/#'];
  const grants = await Promise.all(
    asked.map(async (filter) => {
      // MQTT.js rejects a subscription that is answered with 0x80.
      const [grant] = await client.subscribeAsync(filter).catch(() => []);
      return grant === undefined || grant.qos > 2 ? [] : [filter];
    }),
  );
  return { client, granted: grants.flat() };
}

describe('the name of a person', () => {
  test('is shown by API and discovery, and stands in no reading, no topic that anonymous clients read, and no metric', async (t) => {
    const box = await startBox(t);
    const { client, granted } = await anonymous(t, box);
    assert.deepEqual(granted, ['hr/#', 'edge/+/+/status']);
    const heard = await listen(client, granted);
    const service = await listen(await box.clientAs('admin-api'), ['homeassistant/#', 'edge/+/person/+']);
    await box.startSimulated();
    await eventually(async () => (await shown(box))?.state === 'streaming', { what: 'a strap that streams' });
    const before = await eventually(() => [...service.retained.keys()].filter((topic) => topic.includes(`_${DEVICE}/`)), {
      what: 'discovery',
    });

    assert.deepEqual(await rename(box, { name: ` ${NAME} `, max_heart_rate: 188 }), {
      status: 200,
      json: { device: DEVICE, name: NAME, max_heart_rate: 188 },
    });
    const known = await eventually(async () => ((await shown(box))?.person === NAME ? await shown(box) : undefined));
    assert.equal(known.max_heart_rate, 188);
    assert.notEqual(known.name, NAME, "the strap's own name stays what it advertises");
    assert.deepEqual(JSON.parse(service.retained.get(PERSON_TOPIC) ?? '{}'), { name: NAME, max_heart_rate: 188 });
    const named = await eventually(() => {
      const topics = [...service.retained].filter(
        ([, payload]) => payload.includes(`"name":"${NAME}"`) && payload.includes('unique_id'),
      );
      return topics.length === 4 ? topics.map(([topic]) => topic) : undefined;
    });
    assert.deepEqual(named.sort(), before.sort(), 'the topics of discovery stay');

    // Readings after the renaming have reached the stream.
    const from = new Date().toISOString();
    const readings = await eventually(async () => {
      const all = await box.stream.readAll();
      return all.filter(({ device, timestamp }) => device === DEVICE && timestamp > from).length > 3 ? all : undefined;
    });
    const metrics = await (await fetch(`${box.url}/metrics`)).text();
    assert.match(metrics, /hr_gateway_straps/);
    for (const [what, text] of [
      ['the stream', JSON.stringify(readings)],
      ['metrics', metrics],
      ['what anonymous clients receive', JSON.stringify(heard.all)],
      ['what a reading looks like to Home Assistant', JSON.stringify(service.all.filter(([topic]) => topic.endsWith('/bpm')))],
    ] as const)
      assert.ok(!text.includes('Lüdenscheidt'), `${what} has the name`);
    assert.ok(
      heard.all.some(([topic]) => topic === `hr/${DEVICE}/bpm`),
      'the anonymous client receives readings',
    );
  });

  test('is kept for the owner only, outlives the bridge, and is gone everywhere once the strap is forgotten', async (t) => {
    const box = await startBox(t);
    const service = await listen(await box.clientAs('admin-api'), ['homeassistant/#', 'edge/+/person/+', 'hr/+/status']);
    const file = path.join(box.folder, 'people.json');
    const first = await box.startSimulated();
    await eventually(async () => (await shown(box))?.state === 'streaming');
    assert.equal((await rename(box, { name: NAME })).status, 200);
    assert.equal((await rename(box, { max_heart_rate: 180 })).status, 200);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.ok(readFileSync(file, 'utf8').includes(NAME), 'it is on disk before the answer');
    await first.stop();
    const second = await box.startSimulated();
    await eventually(async () => (await shown(box))?.state === 'streaming');
    const { person, max_heart_rate } = (await shown(box)) ?? {};
    assert.deepEqual({ person, max_heart_rate }, { person: NAME, max_heart_rate: 180 });

    assert.equal((await ask(box, 'DELETE', `/devices/${DEVICE}`)).status, 200);
    await eventually(() => ![...service.retained.values()].some((payload) => payload.includes('Lüdenscheidt')), {
      what: 'no retained message with the name',
    });
    await eventually(() => !readFileSync(file, 'utf8').includes('Lüdenscheidt'));
    // The strap advertises again: it is nobody's.
    await eventually(async () => (await shown(box))?.state === 'streaming');
    assert.equal((await shown(box))?.person, null);
    await second.stop();
  });

  test('is removed from a broker that kept it while the strap was forgotten', async (t) => {
    const box = await startBox(t);
    const service = await listen(await box.clientAs('admin-api'), ['edge/+/person/+']);
    const left = JSON.stringify({ name: NAME, max_heart_rate: null });
    box.bridgeClient.publish('edge/test-box/person/gone-000001', left, { retain: true });
    await eventually(() => service.retained.size === 1);
    await box.startSimulated();
    await eventually(() => service.retained.size === 0, { what: 'the removal' });
  });

  test('null removes it, and the strap is shown by its own name again', async (t) => {
    const box = await startBox(t);
    await box.startSimulated();
    await eventually(async () => (await shown(box))?.state === 'streaming');
    await rename(box, { name: NAME, max_heart_rate: 190 });
    assert.deepEqual((await rename(box, { name: null })).json, { device: DEVICE, name: null, max_heart_rate: 190 });
    await eventually(async () => (await shown(box))?.person === null);
    assert.equal((await shown(box))?.max_heart_rate, 190);

    await rename(box, { name: NAME });
    assert.deepEqual((await rename(box, { name: '' })).json, { device: DEVICE, name: null, max_heart_rate: 190 }, 'empty');
    assert.deepEqual((await rename(box, { max_heart_rate: null })).json, { device: DEVICE, name: null, max_heart_rate: null });
  });

  test('has 1 to 64 visible characters; others, unknown fields and unknown straps are refused with a code', async (t) => {
    const box = await startBox(t);
    await box.startSimulated();
    await eventually(async () => (await shown(box))?.state === 'streaming');
    const entered = { name: 'Ben', max_heart_rate: 190 };
    await rename(box, entered);
    for (const name of ['   ', 'a'.repeat(65), 'a\nb', 'a\u0000b', '\u202eannA', { first: 'Anna' }, 0, 7, false, ['Anna'], []]) {
      const { status, json } = await rename(box, { name });
      assert.deepEqual([status, (json as { code?: string }).code], [400, 'request_invalid'], JSON.stringify(name));
    }
    for (const max of [0, 1, 99, 251, 180.5, '180 bpm', '180', '', true, false, [180]])
      assert.equal((await rename(box, { max_heart_rate: max })).status, 400, JSON.stringify(max));
    for (const body of [null, [], 'Anna', 7]) assert.equal((await rename(box, body)).status, 400, JSON.stringify(body));
    assert.deepEqual(
      (await rename(box, {})).json,
      { device: DEVICE, ...entered },
      'nothing that was refused has changed anything',
    );
    assert.equal((await rename(box, { nickname: 'x' })).status, 400);
    assert.equal((await rename(box, { name: 'a' }, 'nobody-000001')).status, 404);
    for (const name of ['李', '😀', 'José', "O'Brien", '<b>x</b>'])
      assert.equal((await rename(box, { name })).status, 200, JSON.stringify(name));
    const anonymously = await fetch(`${box.url}/devices/${DEVICE}/rename`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'Mallory' }),
    });
    assert.equal(anonymously.status, 401);
  });

  test('of a strap that another box reads goes to the bridge of that box', async (t) => {
    const box = await startBox(t);
    const status = deviceStatus('polar-h10-0a0b0c', { gateway: 'gym-2' });
    const other = await listen(box.otherBridge, ['edge/gym-2/ble-bridge/request/+']);
    box.otherBridge.publish(`hr/${status.device}/status`, JSON.stringify(status), { retain: true });
    box.otherBridge.publish('edge/gym-2/person/polar-h10-0a0b0c', JSON.stringify({ name: NAME, max_heart_rate: null }), {
      retain: true,
    });
    await eventually(async () => (await devices(box)).find(({ device }) => device === status.device)?.person === NAME);
    void rename(box, { name: 'Bert' }, status.device).catch(() => undefined);
    await eventually(() => other.all.some(([topic]) => topic === 'edge/gym-2/ble-bridge/request/rename-device'));
  });
});
