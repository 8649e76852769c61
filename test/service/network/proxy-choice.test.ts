import assert from 'node:assert/strict';
import { test } from 'node:test';
import { proxyFor } from '../../../service/network/proxy-choice.ts';

const PROXIES = { http: 'http://plain:3128', https: 'http://secure:3128', all: 'socks5://any:1080', none: '' };
const isDirect = (url: string, none: string): boolean => proxyFor(url, { ...PROXIES, none }) === '';

test('a URL uses the proxy of its scheme, else that for all; a proxy without a scheme is an HTTP proxy', () => {
  assert.equal(proxyFor('http://stream:4567', PROXIES), 'http://plain:3128');
  assert.equal(proxyFor('https://kinesis.eu-west-1.amazonaws.com/', PROXIES), 'http://secure:3128');
  assert.equal(proxyFor('https://stream', { ...PROXIES, https: '' }), 'socks5://any:1080');
  assert.equal(proxyFor('https://stream', { ...PROXIES, https: 'proxy:8080' }), 'http://proxy:8080');
  assert.equal(proxyFor('https://stream', { http: 'http://plain', https: '', all: '', none: '' }), '');
});

test('NO_PROXY takes hosts, domains, addresses, networks and ports, of IPv4 and IPv6', () => {
  for (const [none, direct, proxied] of [
    ['*', 'https://anything', undefined],
    ['stream', 'http://STREAM:4567', 'http://other-stream'],
    ['.example.com', 'https://kinesis.example.com', 'https://example.com'],
    ['*.example.com', 'https://kinesis.example.com', 'https://example.org'],
    ['stream:4567', 'http://stream:4567', 'http://stream:4568'],
    ['stream:443', 'https://stream', 'http://stream'],
    ['10.0.0.0/8', 'http://10.255.1.2:4567', 'http://11.0.0.1:4567'],
    ['10.1.2.3/32', 'http://10.1.2.3', 'http://10.1.2.4'],
    ['192.168.0.0/16:4567', 'http://192.168.7.7:4567', 'http://192.168.7.7:4568'],
    ['0.0.0.0/0', 'http://8.8.8.8', 'http://stream'],
    ['127.0.0.1', 'http://127.0.0.1:4567', 'http://127.0.0.2:4567'],
    ['::1', 'http://[::1]:4567', 'http://[::2]:4567'],
    ['[::1]', 'http://[::1]:4567', 'http://[::2]:4567'],
    ['[::1]:4567', 'http://[::1]:4567', 'http://[::1]:4568'],
    ['fd00::/8', 'https://[fd12:3456::1]', 'https://[fe80::1]'],
    ['[fd00::]/8', 'https://[fd12:3456::1]', 'https://[fe80::1]'],
    ['0:0:0:0:0:0:0:1', 'http://[::1]', 'http://[::3]'],
    [' a , b  10.0.0.0/8', 'http://10.0.0.1', 'http://c'],
  ] as const) {
    assert.ok(isDirect(direct, none), `${direct} is direct with ${none}`);
    if (proxied !== undefined) assert.ok(!isDirect(proxied, none), `${proxied} is proxied with ${none}`);
  }
});

test('an entry that means nothing matches nothing', () => {
  for (const none of ['10.0.0.0/33', '10.0.0.0/x', '/8', '::/129', ',,,', 'stream:x', ''])
    for (const url of ['http://10.0.0.1', 'http://[::1]', 'http://stream:80'])
      assert.ok(!isDirect(url, none), `${url} with ${none}`);
});
