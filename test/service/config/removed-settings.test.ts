import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseEnv } from 'node:util';
import { readConfig } from '../../../service/config/config.ts';
import { REMOVED_SETTINGS, removedSettingsIn } from '../../../service/config/removed-settings.ts';
import { SETTINGS, type Setting } from '../../../service/config/settings.ts';

const fixture = parseEnv(readFileSync(new URL('../../data/settings-1.0.0.env', import.meta.url), 'utf8'));

test('every setting of 1.0.0 is accepted: it still exists, or is one of the removed settings', () => {
  const names = Object.keys(fixture);
  assert.equal(names.length, 68);
  const config: Record<string, unknown> = { ...readConfig(fixture) };
  for (const name of names) {
    const setting = (SETTINGS as Record<string, Setting>)[name];
    if (setting === undefined) assert.ok(Object.hasOwn(REMOVED_SETTINGS, name), name);
    else assert.notDeepEqual(config[name], setting.default, `${name} has its default in the fixture`);
  }
});

test('a removed setting is no longer a setting, and is named only if it has a value', () => {
  for (const name of Object.keys(REMOVED_SETTINGS)) assert.ok(!Object.hasOwn(SETTINGS, name), name);
  assert.deepEqual(removedSettingsIn(fixture), Object.keys(REMOVED_SETTINGS).sort());
  assert.deepEqual(removedSettingsIn({ MQTT_MAX_RETAINED: ' ', MQTT_MAX_TOPIC_LEVELS: '4', PATH: '/bin' }), [
    'MQTT_MAX_TOPIC_LEVELS',
  ]);
});

test('the value of a removed setting is not checked: it has no effect', () => {
  assert.doesNotThrow(() => readConfig({ MQTT_MAX_TOPIC_LEVELS: 'many' }));
});
