import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { discoveryMessages, HomeAssistant } from '../../ble-bridge/home-assistant.ts';
import { deviceStatusTopic, readingTopic, serviceStatusTopic } from '../../contract/topics.ts';

/**
 * What Home Assistant takes, and of which kind: www.home-assistant.io/integrations/sensor.mqtt and /binary_sensor.mqtt, and the schemas of its
 * source, homeassistant/components/mqtt/schemas.py, sensor.py and binary_sensor.py. `object_id` is not among them any more: since 2026.4 it
 * is `default_entity_id`. A key that is not here is refused by its schema, and the entity with it.
 */
const text = (value: unknown): boolean => typeof value === 'string' && value !== '';
const topic = (value: unknown): boolean => typeof value === 'string' && /^[^#+\0]+$/.test(value);
const template = (value: unknown): boolean => typeof value === 'string' && /\{\{.*\}\}/.test(value);
const oneOf = (...allowed: string[]) => (value: unknown): boolean => typeof value === 'string' && allowed.includes(value);
const fields = (known: Record<string, (value: unknown) => boolean>, needed: string[]) => (value: unknown): boolean =>
  typeof value === 'object' && value !== null && Object.entries(value).every(([key, field]) => known[key]?.(field) === true) && needed.every((key) => key in value);
const SHARED: Record<string, (value: unknown) => boolean> = {
  name: text,
  unique_id: text,
  icon: (value) => typeof value === 'string' && /^mdi:[a-z-]+$/.test(value),
  state_topic: topic,
  value_template: template,
  expire_after: (value) => Number.isInteger(value) && Number(value) > 0,
  entity_category: oneOf('config', 'diagnostic'),
  availability_mode: oneOf('all', 'any', 'latest'),
  availability: (value) => Array.isArray(value) && value.every(fields({ topic, value_template: template, payload_available: text, payload_not_available: text }, ['topic'])),
  device: fields({ identifiers: (value) => Array.isArray(value) && value.length > 0 && value.every(text), name: text, manufacturer: text, model: text, model_id: text, sw_version: text, hw_version: text, serial_number: text, suggested_area: text, via_device: text, configuration_url: text }, ['identifiers']),
  origin: fields({ name: text, sw_version: text, support_url: text }, ['name']),
};
const FIELDS: Record<string, Record<string, (value: unknown) => boolean>> = {
  sensor: { ...SHARED, default_entity_id: (value) => typeof value === 'string' && /^sensor\.[a-z0-9_]+$/.test(value), state_class: oneOf('measurement', 'total', 'total_increasing'), unit_of_measurement: text, device_class: oneOf('battery', 'signal_strength') },
  binary_sensor: { ...SHARED, default_entity_id: (value) => typeof value === 'string' && /^binary_sensor\.[a-z0-9_]+$/.test(value), device_class: oneOf('connectivity'), payload_on: text, payload_off: text },
};
/** www.home-assistant.io/integrations/sensor, device classes and their units. */
const UNITS: Record<string, string> = { battery: '%', signal_strength: 'dBm' };

type Config = Record<string, unknown>;
const DEVICE = 'polar-h10-a1b2c3';
const configs = (): { topic: string; config: Config }[] => discoveryMessages('front-desk', DEVICE, 'Polar H10').map((message) => ({ topic: message.topic, config: JSON.parse(message.payload) as Config }));

describe('Home Assistant discovery', () => {
  test('every field is one that Home Assistant takes, of the kind that it takes', () => {
    for (const { topic: at, config } of configs()) {
      const [prefix, component, node, entity, end] = at.split('/');
      assert.deepEqual([prefix, end], ['homeassistant', 'config']);
      assert.match(`${node}${entity}`, /^[a-zA-Z0-9_-]+$/);
      const known = FIELDS[component ?? ''] ?? {};
      for (const [key, value] of Object.entries(config)) assert.ok(known[key]?.(value) === true, `${at}: ${key}: ${JSON.stringify(value)}`);
      for (const key of ['name', 'state_topic', 'unique_id', 'device', 'origin', 'availability']) assert.ok(key in config, `${at}: ${key}`);
      if (typeof config['device_class'] === 'string' && component === 'sensor') assert.equal(config['unit_of_measurement'], UNITS[config['device_class']]);
    }
  });

  test('heart rate, contact, battery and signal of one device, each with its own id', () => {
    const all = configs();
    assert.deepEqual(all.map(({ config }) => [config['default_entity_id'], config['state_topic']]), [
      ['sensor.polar_h10_a1b2c3_heart_rate', readingTopic(DEVICE)],
      ['binary_sensor.polar_h10_a1b2c3_contact', readingTopic(DEVICE)],
      ['sensor.polar_h10_a1b2c3_battery', deviceStatusTopic(DEVICE)],
      ['sensor.polar_h10_a1b2c3_rssi', deviceStatusTopic(DEVICE)],
    ]);
    assert.equal(new Set(all.map(({ config }) => config['unique_id'])).size, 4);
    for (const { config } of all) assert.deepEqual(config['device'], { identifiers: ['front-desk_polar-h10-a1b2c3'], name: 'Polar H10' });
  });

  test('an entity is available only while the strap and the bridge are', () => {
    for (const { config } of configs()) {
      assert.equal(config['availability_mode'], 'all');
      assert.deepEqual((config['availability'] as { topic: string }[]).map((item) => item.topic), [deviceStatusTopic(DEVICE), serviceStatusTopic('ble-bridge')]);
    }
  });

  test('what was removed while the broker was away is removed when it is back', () => {
    let up = false;
    const sent: [string, string][] = [];
    const discovery = new HomeAssistant({ publish: (at, payload) => up && sent.push([at, payload]) > 0 });
    discovery.start('box');
    discovery.add('anna', 'Polar');
    discovery.remove('anna');
    discovery.add('bert', null);
    up = true;
    discovery.up();
    assert.deepEqual(sent.filter(([, payload]) => payload === '').map(([at]) => at.includes('box_anna')), [true, true, true, true]);
    assert.equal(sent.filter(([at, payload]) => at.includes('box_bert') && payload !== '').length, 4);
  });
});
