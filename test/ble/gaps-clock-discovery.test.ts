import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { clockState } from '../../ble-bridge/clock-state.ts';
import { GapTracker } from '../../ble-bridge/gap-tracker.ts';
import { discoveryMessages, HomeAssistant } from '../../ble-bridge/home-assistant.ts';

describe('gaps', () => {
  const t0 = Date.parse('2026-11-23T10:00:00.000Z');

  test('readings a second apart have none; a longer pause is told once readings come again, with its cause', () => {
    const gaps = new GapTracker();
    assert.equal(gaps.reading(t0), undefined);
    assert.equal(gaps.reading(t0 + 1000), undefined);
    gaps.explain('sensor_silent');
    gaps.explain('out_of_range');
    gaps.explain('adapter');
    assert.deepEqual(gaps.reading(t0 + 31_000), { from: '2026-11-23T10:00:01.000Z', to: '2026-11-23T10:00:31.000Z', cause: 'out_of_range' });
    assert.equal(gaps.reading(t0 + 32_000), undefined);
  });

  test('what explains nothing is forgotten with the next reading', () => {
    const gaps = new GapTracker();
    gaps.reading(t0);
    gaps.explain('no_pulse');
    assert.equal(gaps.reading(t0 + 2000), undefined);
    assert.equal(gaps.reading(t0 + 60_000)?.cause, 'sensor_silent');
  });

  test('what an earlier process last read begins a gap of a restart', () => {
    const gaps = new GapTracker();
    gaps.seed('2026-11-23T09:59:00.000Z');
    gaps.explain('out_of_range');
    assert.deepEqual(gaps.reading(t0), { from: '2026-11-23T09:59:00.000Z', to: '2026-11-23T10:00:00.000Z', cause: 'bridge_restart' });
  });

  test('a clock set back makes no gap', () => {
    const gaps = new GapTracker();
    gaps.reading(t0);
    assert.equal(gaps.reading(t0 - 3_600_000), undefined);
  });
});

test('the clock: unsynced before the build year or 5 s off, synced within, unknown while nobody has said', () => {
  const now = new Date('2026-11-23T10:00:00Z');
  assert.equal(clockState(new Date('1970-01-01T00:03:00Z'), { clock_ahead_ms: 0 }), 'unsynced');
  assert.equal(clockState(now, undefined), 'unknown');
  assert.equal(clockState(now, { clock_ahead_ms: null }), 'unknown');
  assert.equal(clockState(now, { clock_ahead_ms: 4999 }), 'synced');
  assert.equal(clockState(now, { clock_ahead_ms: -5001 }), 'unsynced');
});

/** Keys that Home Assistant documents for `sensor.mqtt` and `binary_sensor.mqtt` (www.home-assistant.io/integrations/*.mqtt). */
const SHARED = ['availability', 'availability_mode', 'device', 'device_class', 'entity_category', 'expire_after', 'icon', 'name', 'object_id', 'origin', 'state_topic', 'unique_id', 'value_template'];
const DOCUMENTED: Record<string, readonly string[]> = { sensor: [...SHARED, 'state_class', 'unit_of_measurement'], binary_sensor: SHARED };

describe('Home Assistant discovery', () => {
  test('each entity has only documented fields, its own id, one device, and availability from strap and bridge', () => {
    const messages = discoveryMessages('front-desk', 'polar-h10-a1b2c3', 'Polar H10');
    const configs = messages.map(({ topic, payload }) => ({ topic, config: JSON.parse(payload) as Record<string, unknown> }));
    assert.deepEqual(
      configs.map(({ topic }) => topic),
      ['sensor', 'binary_sensor', 'sensor', 'sensor'].map((component, at) => `homeassistant/${component}/front-desk_polar-h10-a1b2c3/${['heart_rate', 'contact', 'battery', 'rssi'][at]}/config`),
    );
    for (const { topic, config } of configs) {
      const documented = DOCUMENTED[topic.split('/')[1] ?? ''] ?? [];
      assert.deepEqual(Object.keys(config).filter((key) => !documented.includes(key)), []);
      // Home Assistant takes node and object ids of letters, digits, _ and - only.
      assert.match(topic, /^homeassistant\/[a-z_]+\/[a-zA-Z0-9_-]+\/[a-zA-Z0-9_-]+\/config$/);
      assert.deepEqual(config['device'], { identifiers: ['front-desk_polar-h10-a1b2c3'], name: 'Polar H10' });
      assert.equal(config['availability_mode'], 'all');
      assert.deepEqual((config['availability'] as { topic: string }[]).map(({ topic: available }) => available), ['hr/polar-h10-a1b2c3/status', 'edge/ble-bridge/status']);
    }
    assert.equal(new Set(configs.map(({ config }) => config['unique_id'])).size, 4);
  });

  test('what was removed while the broker was away is removed when it is back', () => {
    let up = false;
    const sent: [string, string][] = [];
    const discovery = new HomeAssistant({ publish: (topic, payload) => up && sent.push([topic, payload]) > 0 });
    discovery.start('box');
    discovery.add('anna', 'Polar');
    discovery.remove('anna');
    discovery.add('bert', null);
    up = true;
    discovery.up();
    assert.deepEqual(sent.filter(([, payload]) => payload === '').map(([topic]) => topic.includes('box_anna')), [true, true, true, true]);
    assert.equal(sent.filter(([topic, payload]) => topic.includes('box_bert') && payload !== '').length, 4);
  });
});
