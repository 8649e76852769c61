/** What can be known of docker-compose.yml without an engine: which broker each service gets, and who builds the image. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readSource } from '../support/source-tree.ts';

const compose = readSource('docker-compose.yml');
const sectionOf = (service: string): string => new RegExp(`^  ${service}:\\n((?:    .*\\n|\\n)+)`, 'm').exec(compose)?.[1] ?? '';

/** `${NAME:-default}` as compose replaces it, nested ones too. */
function substituted(text: string, environment: Readonly<Record<string, string>>): string {
  const inner = /\$\{([A-Z_]+):-([^${}]*)\}/;
  for (let match = inner.exec(text); match !== null; match = inner.exec(text))
    text = text.replace(match[0], environment[match[1] ?? ''] ?? match[2] ?? '');
  return text;
}
const brokerOf = (service: string, environment: Record<string, string>): string =>
  substituted(/^\s+MQTT_URL: (.*)$/m.exec(sectionOf(service))?.[1] ?? '', environment);

test('MQTT_URL is for all services that connect to a broker; unset, each keeps its default', () => {
  const url = 'mqtts://user:password@broker.example:8883';
  for (const [service, unset] of [
    ['forwarder', 'mqtt://gateway:1884'],
    ['ble-bridge', 'mqtt://127.0.0.1:1884'],
    ['admin-api', 'mqtt://gateway:1884'],
  ] as const) {
    assert.equal(brokerOf(service, { MQTT_URL: url }), url, service);
    assert.equal(brokerOf(service, {}), unset, service);
  }
  assert.equal(brokerOf('ble-bridge', { MQTT_URL: url, BRIDGE_MQTT_URL: 'mqtt://10.0.0.1:1883' }), 'mqtt://10.0.0.1:1883');
});

test('one service builds the image that all of them run, so that a build leaves no dangling copies', () => {
  assert.equal([...compose.matchAll(/^\s+build:/gm)].length, 1);
  assert.match(sectionOf('prepare-volumes'), /^ {4}build: \.$/m);
  assert.equal([...compose.matchAll(/^\s+image: hr-gateway$/gm)].length, 1, 'all services have the image of x-service');
});
