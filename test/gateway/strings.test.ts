/** Strings of MQTT packets that must close the connection: U+0000 [MQTT-1.5.3-2] and encoded surrogates [MQTT-1.5.3-1]. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { textFault } from '../../gateway/mqtt-text.ts';
import { startGateway, type TestGateway } from './support/gateway.ts';
import { connected, rawClient, type RawClient } from './support/raw-client.ts';

const USERS = { app: { password: 'pass-word', subscribe: ['hr/#', 'app/#'], publish: ['hr/#', 'app/#'] } };

const text = (bytes: Buffer): Buffer => Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
const packet = (header: number, body: Buffer): Buffer => Buffer.concat([Buffer.from([header, body.length]), body]);
const app = async (t: TestContext, gateway: TestGateway): Promise<RawClient> =>
  await connected(t, gateway.ports.mqtt, { username: 'app', password: Buffer.from('pass-word') });

/** A CONNECT with these strings; MQTT 3.1.1 section 3.1. */
function connectPacket({ clientId = 'c', will = 'app/w', username = 'app' }: Record<string, string | Buffer>): Buffer {
  const strings = [clientId, will, 'gone', username, 'pass-word'].map((value) => text(Buffer.from(value)));
  return packet(0x10, Buffer.concat([text(Buffer.from('MQTT')), Buffer.from([4, 0xc6, 0, 0]), ...strings]));
}

for (const [what, bad, limit] of [
  ['a null character', Buffer.from('app/\0x'), 'null_character'],
  ['the first surrogate', Buffer.from([0x61, 0xed, 0xa0, 0x80]), 'surrogate'],
  ['the last surrogate', Buffer.from([0xed, 0xbf, 0xbf, 0x61]), 'surrogate'],
] as const) {
  test(`${what} in a topic or a filter closes the connection`, async (t) => {
    const gateway = await startGateway(t, {}, USERS);
    for (const bytes of [
      packet(0x30, Buffer.concat([text(bad), Buffer.from('72')])),
      packet(0x32, Buffer.concat([text(bad), Buffer.from([0, 1]), Buffer.from('72')])),
      packet(
        0x82,
        Buffer.concat([Buffer.from([0, 1]), text(Buffer.from('app/x')), Buffer.from([0]), text(bad), Buffer.from([0])]),
      ),
      packet(0xa2, Buffer.concat([Buffer.from([0, 1]), text(bad)])),
    ]) {
      const client = await app(t, gateway);
      client.sendBytes(bytes);
      await client.ended();
      assert.deepEqual(client.packets, [], 'nothing is answered');
    }
    assert.ok(gateway.breached(limit), limit);
  });

  test(`${what} in a client id, a will topic or a name refuses the CONNECT and closes the connection`, async (t) => {
    const gateway = await startGateway(t, {}, USERS);
    const good = await rawClient(t, gateway.ports.mqtt);
    good.sendBytes(connectPacket({}));
    assert.equal((await good.next('connack')).returnCode, 0);
    for (const strings of [{ clientId: bad }, { will: bad }, { username: bad }]) {
      const client = await rawClient(t, gateway.ports.mqtt);
      client.sendBytes(connectPacket(strings));
      await client.ended();
      assert.ok(!client.packets.some((answer) => answer.cmd === 'connack' && answer.returnCode === 0), 'it is not accepted');
    }
    assert.ok(gateway.breached(limit), limit);
  });
}

test('text with characters beyond the basic plane, and the replacement character itself, are allowed', () => {
  for (const allowed of ['hr/🚲/bpm', 'hr/\ufffd/bpm', 'hr/\ud7ff/bpm', 'hr/\ue000/bpm'])
    assert.equal(
      textFault(allowed, () => Buffer.from(allowed)),
      undefined,
      allowed,
    );
  const surrogate = Buffer.from([0x68, 0xed, 0xad, 0xbf]);
  assert.equal(
    textFault(surrogate.toString(), () => surrogate),
    'surrogate',
  );
});
