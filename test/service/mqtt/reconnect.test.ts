/** When a service connects again, and to which address. */
import assert from 'node:assert/strict';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { BrokerAddresses } from '../../../service/mqtt/broker-addresses.ts';
import { MqttLink } from '../../../service/mqtt/mqtt-link.ts';
import { readConfig } from '../../../service/config/config.ts';
import { eventually } from '../../support/eventually.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig, testLog } from '../../support/test-config.ts';

/** Answers a CONNECT with a CONNACK, each SUBSCRIBE with a SUBACK, and then closes the connection. */
async function startShortBroker(t: TestContext): Promise<{ port: number; connects: number[] }> {
  const connects: number[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', (bytes) => {
      if (bytes[0] === 0x10) {
        connects.push(performance.now());
        socket.write(Buffer.from([0x20, 2, 0, 0]));
      } else if (bytes[0] === 0x82) socket.end(Buffer.from([0x90, 3, bytes[2] ?? 0, bytes[3] ?? 0, 0]));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, connects };
}

test('a broker that accepts a service and closes its connection is asked less and less often', async (t) => {
  const { port, connects } = await startShortBroker(t);
  const config = testConfig({ DATA_DIR: tempDir(t), MQTT_URL: `mqtt://127.0.0.1:${port}` });
  const link = new MqttLink({ service: 'forwarder', config, log: testLog(config), subscriptions: { 'a/b': () => {} } });
  t.after(() => link.stop());
  link.start();
  await sleep(6000);
  // A fixed delay of 0.1 s would make 60.
  assert.ok(connects.length >= 3 && connects.length <= 15, `${connects.length} connections in 6 s`);
});

test('without MQTT_URL a service uses the listener for services, and after 5 s without it the ordinary one', () => {
  let nowMs = 0;
  const config = readConfig({ MQTT_LISTEN_PORT: '1999', MQTT_SERVICES_PORT: '2000' });
  assert.equal(config.MQTT_URL, 'mqtt://127.0.0.1:2000');
  const addresses = new BrokerAddresses(config, () => nowMs);
  assert.equal(addresses.ended(false), false);
  nowMs = 4000;
  assert.equal(addresses.ended(false), false);
  assert.equal(addresses.current, 'mqtt://127.0.0.1:2000');
  nowMs = 5000;
  assert.equal(addresses.ended(false), true);
  assert.equal(addresses.current, 'mqtt://127.0.0.1:1999');
  // It always comes after an attempt at the first address.
  assert.equal(addresses.ended(false), false);
  assert.equal(addresses.current, 'mqtt://127.0.0.1:2000');
  assert.equal(addresses.ended(false), true);
  addresses.accepted();
  assert.equal(addresses.ended(true), false);
  assert.equal(addresses.ended(false), false);
  assert.equal(addresses.current, 'mqtt://127.0.0.1:2000');
});

test('MQTT_URL wins, and an external broker without one is where earlier releases looked for it', () => {
  const chosen = readConfig({ MQTT_URL: 'mqtt://10.0.0.7:1883' });
  const addresses = new BrokerAddresses(chosen, () => 1e9);
  addresses.ended(false);
  assert.equal(addresses.ended(false), false);
  assert.equal(addresses.current, 'mqtt://10.0.0.7:1883');
  assert.equal(readConfig({ MQTT_BROKER: 'external' }).MQTT_URL, 'mqtt://127.0.0.1:1883');
  assert.equal(readConfig({}).MQTT_URL, 'mqtt://127.0.0.1:1884');
});

test('a service whose gateway has no listener for services connects to the ordinary one', async (t) => {
  const { port, connects } = await startShortBroker(t);
  const config = testConfig({ DATA_DIR: tempDir(t), MQTT_LISTEN_PORT: String(port), MQTT_SERVICES_PORT: '9' });
  const link = new MqttLink({ service: 'forwarder', config, log: testLog(config), subscriptions: { 'a/b': () => {} } });
  t.after(() => link.stop());
  link.start();
  await eventually(() => connects.length > 0, { withinMs: 15_000 });
});
