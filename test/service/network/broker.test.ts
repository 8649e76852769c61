import assert from 'node:assert/strict';
import { test } from 'node:test';
import { brokerOf } from '../../../service/network/broker.ts';
import { readConfig } from '../../../service/config/config.ts';

const decided = (environment: Record<string, string>): string => {
  const { kind, assumed } = brokerOf(readConfig(environment));
  return `${kind}${assumed ? ', assumed' : ''}`;
};

test('MQTT_BROKER decides, whatever MQTT_URL says', () => {
  assert.equal(decided({ MQTT_BROKER: 'external' }), 'external');
  assert.equal(decided({ MQTT_BROKER: 'external', MQTT_URL: 'mqtt://127.0.0.1:1883' }), 'external');
  assert.equal(decided({ MQTT_BROKER: 'own', MQTT_URL: 'mqtts://anna:secret@broker.example' }), 'own');
});

test('without MQTT_BROKER a broker is external if MQTT_URL has credentials or names a host that is not our gateway', () => {
  for (const url of ['', 'mqtt://127.0.0.1:1883', 'mqtt://localhost:1884', 'ws://[::1]:9001', 'mqtt://gateway:1883'])
    assert.equal(decided({ MQTT_URL: url }), 'own', url);
  for (const url of [
    'mqtt://anna:secret@127.0.0.1:1883',
    'mqtt://broker.example',
    'mqtts://10.0.0.7:8883',
    'mqtt://127.evil.example',
  ])
    assert.equal(decided({ MQTT_URL: url }), 'external, assumed', url);
});
