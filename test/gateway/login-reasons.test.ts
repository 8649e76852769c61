import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { startGateway } from './support/gateway.ts';
import { rawClient, type ConnectFields } from './support/raw-client.ts';

const ACCOUNT = { username: 'app', password: Buffer.from('pass-word') };
const wrong = (attempt: number): ConnectFields => ({ username: 'app', password: Buffer.from(`wrong-${attempt}`) });

test('the log says why a login is refused; the client is only told that it is', async (t) => {
  const gateway = await startGateway(t, { MQTT_ANONYMOUS: 'none' }, { app: { password: 'pass-word' } });
  const { mqtt, services } = gateway.ports;
  const reasonOf = async (port: number, fields: ConnectFields): Promise<string> => {
    const before = gateway.lines.length;
    assert.equal(await (await rawClient(t, port)).connect(fields), 5, JSON.stringify(fields));
    const line = await eventually(() => gateway.lines.slice(before).find(({ limit }) => limit === 'login'), {
      what: `a line about ${JSON.stringify(fields)}`,
    });
    return String(line['msg']);
  };
  assert.match(await reasonOf(mqtt, {}), /without a user name .*MQTT_ANONYMOUS/);
  assert.match(await reasonOf(mqtt, wrong(0)), /wrong name or password/);
  assert.match(await reasonOf(services, ACCOUNT), /only for the services/);

  // More than may wait for their turn: these are refused whether or not the password is right.
  const clients = await Promise.all(Array.from({ length: 30 }, async () => await rawClient(t, mqtt)));
  await Promise.all(clients.map(async (client, attempt) => await client.connect(wrong(attempt + 1))));
  await eventually(() => gateway.lines.some(({ msg }) => /too many attempts.*not checked/.test(String(msg))), {
    what: 'a line about logins that were not checked',
  });
});
