/** A real Home Assistant core on our broker: what a person sees there. Its user has the rights that docs/mqtt.md gives it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { connectAsync } from 'mqtt';
import { newUser, readUsers, writeUsers } from '../../../gateway/users.ts';
import { startBox, type Box } from '../../admin-api/page/support/page-pipeline.ts';
import { eventually } from '../../support/eventually.ts';
import { testConfig } from '../../support/test-config.ts';
import { entity, ids, startCore } from './support/core.ts';

const PASSWORD = 'living-room-lamp';
const STRAP = 'test-box_simulated-rest-000000';

async function ask(box: Box, method: string, route: string, body?: unknown): Promise<number> {
  const answer = await fetch(`${box.url}${route}`, {
    method,
    headers: { authorization: `Bearer ${box.token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return answer.status;
}

describe('Home Assistant', () => {
  test('shows straps and box with right names and values, follows a rename without another entity id, and forgets', async (t) => {
    const box = await startBox(t);
    const config = testConfig({ DATA_DIR: box.folder });
    // As docs/mqtt.md says.
    const rights = { subscribe: ['homeassistant/#', 'hr/#', 'edge/+/+/status'], publish: ['homeassistant/status'] };
    writeUsers(config, { ...readUsers(config), 'home-assistant': await newUser(PASSWORD, rights) });
    const { hostname: host, port } = new URL(box.mqttUrl);
    // The running gateway reads the file again within 2 s.
    await eventually(
      async () => {
        const client = await connectAsync(box.mqttUrl, { username: 'home-assistant', password: PASSWORD, reconnectPeriod: 0 });
        await client.endAsync();
        return true;
      },
      { everyMs: 300, what: 'the user to be known' },
    );
    const bridge = await box.startSimulated({ SIMULATED_STRAPS: '2' });
    const core = await startCore(t, { host, port, user: 'home-assistant', password: PASSWORD });
    if (core === undefined) return;

    const strap = await eventually(
      async () => {
        const device = await core.device(STRAP);
        return entity(device, 'contact')?.state === 'on' && entity(device, 'battery')?.state === '96' ? device : undefined;
      },
      { withinMs: 90_000, everyMs: 500, what: 'the strap with its values' },
    );
    const { entities, ...about } = strap;
    assert.deepEqual(about, {
      identifiers: [STRAP],
      connections: [],
      name: 'Simulated Rest',
      manufacturer: 'hr-gateway',
      model: 'simulated (rest)',
      firmware: '1.0',
      via: 'test-box',
    });
    assert.deepEqual(
      entities.map(({ unique_id, category, attributes }) => [
        unique_id,
        category,
        attributes['friendly_name'],
        attributes['device_class'],
        attributes['unit_of_measurement'],
      ]),
      [
        [`${STRAP}_battery`, 'diagnostic', 'Simulated Rest Battery', 'battery', '%'],
        [`${STRAP}_contact`, null, 'Simulated Rest Skin contact', 'occupancy', undefined],
        [`${STRAP}_heart_rate`, null, 'Simulated Rest Heart rate', undefined, 'bpm'],
        [`${STRAP}_rssi`, 'diagnostic', 'Simulated Rest Signal strength', 'signal_strength', 'dBm'],
      ],
    );
    assert.match(entity(strap, 'heart_rate')?.state ?? '', /^\d{2,3}$/);
    assert.match(entity(strap, 'rssi')?.state ?? '', /^-\d+$/);

    const shown = await eventually(
      async () => {
        const device = await core.device('hr-gateway_test-box');
        const isKnown = entity(device, 'problem')?.state === 'off' && entity(device, 'last_shipped')?.state?.startsWith('20');
        return isKnown === true ? device : undefined;
      },
      { withinMs: 60_000, everyMs: 500, what: 'the box with its values' },
    );
    assert.deepEqual([shown.name, shown.manufacturer, shown.model], ['test-box', 'hr-gateway', 'Heart rate gateway']);
    assert.deepEqual(
      shown.entities.map(({ unique_id, attributes }) => [unique_id, attributes['friendly_name'], attributes['device_class']]),
      [
        ['test-box_bridge_problem', 'test-box Bluetooth problem', 'problem'],
        ['test-box_depth', 'test-box Readings waiting', undefined],
        ['test-box_last_shipped', 'test-box Last shipped', 'timestamp'],
        ['test-box_problem', 'test-box Problem', 'problem'],
        ['test-box_uplink', 'test-box Uplink', undefined],
      ],
    );
    assert.equal(entity(shown, 'uplink')?.state, 'ok');

    assert.equal(await ask(box, 'POST', '/devices/simulated-rest-000000/rename', { name: 'Anna' }), 200);
    const named = await eventually(
      async () => {
        const device = await core.device(STRAP);
        return entity(device, 'heart_rate')?.attributes['friendly_name'] === 'Anna Heart rate' ? device : undefined;
      },
      { withinMs: 30_000, everyMs: 300, what: 'the name' },
    );
    assert.equal(named.name, 'Anna');
    assert.deepEqual(ids(named), ids(strap), 'entity ids and unique ids stay');

    await box.stream.faults({ request: 'expiredToken' });
    await eventually(async () => entity(await core.device('hr-gateway_test-box'), 'problem')?.state === 'on', {
      withinMs: 60_000,
      everyMs: 500,
      what: 'the problem',
    });
    const uplink = entity(await core.device('hr-gateway_test-box'), 'uplink');
    assert.equal(uplink?.state, 'credentials_expired');
    assert.match(String(uplink.attributes['hint']), /Renew the credentials/);
    await box.stream.faults({});

    await bridge.stop();
    await eventually(async () => entity(await core.device(STRAP), 'heart_rate')?.state === 'unavailable', {
      withinMs: 30_000,
      everyMs: 300,
      what: 'a strap that is unavailable without its bridge',
    });
    assert.notEqual(entity(await core.device('hr-gateway_test-box'), 'uplink')?.state, 'unavailable', 'the box stays available');
    await box.startSimulated({ SIMULATED_STRAPS: '1', BLE_DENY: 'simulated-rest-*' });
    await eventually(async () => (await ask(box, 'DELETE', '/devices/simulated-rest-000000')) === 200, {
      everyMs: 300,
      what: 'the bridge to answer',
    });
    await eventually(async () => (await core.device(STRAP)) === undefined, {
      withinMs: 30_000,
      everyMs: 300,
      what: 'a device that is gone',
    });
    assert.doesNotMatch(core.stderr, /(ERROR|WARNING):homeassistant\.(helpers\.template|components\.mqtt)/);
  });
});
