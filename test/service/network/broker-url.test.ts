import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseBrokerUrl } from '../../../service/network/broker-url.ts';
import { maskUrl } from '../../../service/config/config.ts';

const HOST = 'broker.example:1883';

test('credentials may have any characters, as they are or percent-encoded, and none reaches the address or the mask', () => {
  for (const [credentials, username, password] of [
    ['user:secret', 'user', 'secret'],
    ['user:p@ss:w/o#r?d', 'user', 'p@ss:w/o#r?d'],
    ['us%3Aer:p%40ss%2Fw', 'us:er', 'p@ss/w'],
    ['user:100%', 'user', '100%'],
    ['user', 'user', ''],
    ['user:', 'user', ''],
    ['üser:pässwörd', 'üser', 'pässwörd'],
  ] as const) {
    const url = `mqtt://${credentials}@${HOST}`;
    const address = `mqtt://${HOST}`;
    assert.deepEqual(parseBrokerUrl(url), { address, hostname: 'broker.example', username, password }, url);
    assert.equal(maskUrl(url), `mqtt://***@${HOST}`);
  }
});

test('a URL without credentials is its own address', () => {
  for (const url of [`mqtt://${HOST}`, 'wss://broker.example/mqtt', 'mqtt://[::1]:1883', `mqtt://@${HOST}`]) {
    const { address, username } = parseBrokerUrl(url);
    assert.equal(address, url.replace('@', ''));
    assert.equal(username, undefined);
  }
});
