import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { connect as tcpConnect } from 'node:net';
import { connect as tlsConnect } from 'node:tls';
import { test, type TestContext } from 'node:test';
import { connectAsync } from 'mqtt';
import { AdminApiService } from '../../admin-api/service.ts';
import type { ClientLimits } from '../../gateway/client-limits.ts';
import { HrError } from '../../service/errors/errors.ts';
import { MqttLink } from '../../service/mqtt/mqtt-link.ts';
import { makeAuthority, type Authority } from '../support/certificates.ts';
import { eventually } from '../support/eventually.ts';
import { tempDir } from '../support/temp-dir.ts';
import { testConfig, testLog } from '../support/test-config.ts';
import { startGateway, type TestGateway } from './support/gateway.ts';

interface Secured {
  gateway: TestGateway;
  authority: Authority;
}

async function secured(
  t: TestContext,
  environment: Record<string, string> = {},
  limits: Partial<ClientLimits> = {},
): Promise<Secured> {
  const authority = makeAuthority(tempDir(t));
  return {
    authority,
    gateway: await startGateway(
      t,
      { MQTT_TLS_CERT_FILE: authority.certFile, MQTT_TLS_KEY_FILE: authority.keyFile, ...environment },
      {},
      limits,
    ),
  };
}

/** Serial number of the certificate that a port presents; throws if there is no connection. */
async function shownSerial(
  port: number,
  options: { caFile: string; maxVersion?: 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3' },
): Promise<{ serial: string; protocol: string | null }> {
  return await new Promise((resolve, reject) => {
    const ciphers = options.maxVersion === 'TLSv1.1' ? { minVersion: 'TLSv1' as const, ciphers: 'DEFAULT@SECLEVEL=0' } : {};
    const socket = tlsConnect(
      {
        port,
        host: '127.0.0.1',
        servername: 'localhost',
        ca: readFileSync(options.caFile),
        ...(options.maxVersion === undefined ? {} : { maxVersion: options.maxVersion }),
        ...ciphers,
      },
      () => {
        resolve({ serial: socket.getPeerCertificate().serialNumber, protocol: socket.getProtocol() });
        socket.destroy();
      },
    );
    socket.on('error', reject);
  });
}

const serialOf = (file: string): string => new X509Certificate(readFileSync(file)).serialNumber;

test('with a certificate, MQTT and WebSocket are served over TLS 1.2 and 1.3 on separate ports', async (t) => {
  const { gateway, authority } = await secured(t);
  const ca = readFileSync(authority.caFile);
  for (const url of [`mqtts://localhost:${gateway.ports.mqtts}`, `wss://localhost:${gateway.ports.wss}`]) {
    const client = await connectAsync(url, { protocolVersion: 4, reconnectPeriod: 0, ca });
    t.after(() => client.end(true));
    assert.deepEqual(
      (await client.subscribeAsync('hr/+/bpm')).map(({ qos }) => qos),
      [0],
    );
  }
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const)
    assert.equal((await shownSerial(gateway.ports.mqtts, { caFile: authority.caFile, maxVersion })).protocol, maxVersion);
  await assert.rejects(shownSerial(gateway.ports.mqtts, { caFile: authority.caFile, maxVersion: 'TLSv1.1' }));
  await eventually(() => gateway.breached('tls_handshake'));
  // A client that does not trust the authority cannot connect.
  await assert.rejects(connectAsync(`mqtts://localhost:${gateway.ports.mqtts}`, { protocolVersion: 4, reconnectPeriod: 0 }));
});

test('a service connects over mqtts with the authority in MQTT_TLS_CA_FILE, and not without it', async (t) => {
  const { gateway, authority } = await secured(t);
  for (const [file, comesUp] of [
    [authority.caFile, true],
    [undefined, false],
  ] as const) {
    const config = testConfig({
      DATA_DIR: gateway.config.DATA_DIR,
      MQTT_URL: `mqtts://localhost:${gateway.ports.mqtts}`,
      ...(file === undefined ? {} : { MQTT_TLS_CA_FILE: file }),
    });
    const link = new MqttLink({ service: 'forwarder', config, log: testLog(config), subscriptions: { 'hr/+/bpm': () => {} } });
    t.after(() => link.stop());
    link.start();
    if (comesUp) await eventually(() => link.connected);
    else {
      const before = gateway.service.breaches['tls_handshake'] ?? 0;
      await eventually(() => (gateway.service.breaches['tls_handshake'] ?? 0) > before);
      assert.equal(link.connected, false);
    }
  }
});

test('a renewed certificate is used for new connections, older ones stay; a mismatched pair changes nothing', async (t) => {
  const { gateway, authority } = await secured(t);
  const client = await connectAsync(`mqtts://localhost:${gateway.ports.mqtts}`, {
    protocolVersion: 4,
    reconnectPeriod: 0,
    ca: readFileSync(authority.caFile),
  });
  t.after(() => client.end(true));
  const first = serialOf(authority.certFile);
  assert.equal((await shownSerial(gateway.ports.mqtts, authority)).serial, first);
  authority.issue();
  const second = serialOf(authority.certFile);
  assert.notEqual(second, first);
  for (const port of [gateway.ports.mqtts, gateway.ports.wss])
    await eventually(async () => (await shownSerial(port, authority)).serial === second);
  await client.subscribeAsync('hr/+/bpm');

  writeFileSync(authority.keyFile, 'half a renewal');
  await eventually(() => gateway.lines.some((line) => line['event'] === 'certificate_unusable'));
  assert.equal((await shownSerial(gateway.ports.mqtts, authority)).serial, second);
  authority.issue();
  await eventually(async () => (await shownSerial(gateway.ports.mqtts, authority)).serial === serialOf(authority.certFile));
  assert.ok(client.connected);
});

test('a certificate that expires soon is a warning of the gateway; an unreadable one fails the start with its code', async (t) => {
  const authority = makeAuthority(tempDir(t));
  authority.issue(3);
  const environment = { MQTT_TLS_CERT_FILE: authority.certFile, MQTT_TLS_KEY_FILE: authority.keyFile };
  const gateway = await startGateway(t, environment);
  const client = await connectAsync(`mqtt://127.0.0.1:${gateway.ports.mqtt}`, { protocolVersion: 4, reconnectPeriod: 0 });
  t.after(() => client.end(true));
  const status = new Promise<string>((resolve) => client.once('message', (_topic, payload) => resolve(payload.toString())));
  await client.subscribeAsync('edge/test-box/gateway/status');
  const { checks } = JSON.parse(await status) as { checks: { name: string; status: string; code: string; reason: string }[] };
  assert.deepEqual(
    checks.filter(({ status: state }) => state !== 'ok').map(({ name, status: state }) => [name, state]),
    [['certificate', 'warn']],
  );
  assert.equal(checks.find(({ name }) => name === 'certificate')?.code, 'certificate_expiring');
  writeFileSync(authority.certFile, 'no certificate');
  await assert.rejects(
    startGateway(t, environment),
    (error) => error instanceof HrError && error.code === 'certificate_unusable',
  );
});

test('a connection that never finishes its handshake is closed in time, and is counted as a connection meanwhile', async (t) => {
  const { gateway } = await secured(t, { MQTT_MAX_CONNECTIONS: '10' }, { connectTimeoutMs: 400, connectionsShareOfAddress: 1 });
  const silent = Array.from({ length: 10 }, () => tcpConnect({ port: gateway.ports.mqtts, host: '127.0.0.1' }));
  for (const socket of silent) socket.on('error', () => {}).resume();
  t.after(() => silent.forEach((socket) => void socket.destroy()));
  await eventually(() => silent.every((socket) => !socket.connecting));
  const oneMore = tcpConnect({ port: gateway.ports.mqtt, host: '127.0.0.1' })
    .on('error', () => {})
    .resume();
  await eventually(() => oneMore.closed);
  assert.equal(gateway.breached('connections'), true);
  await eventually(() => silent.every((socket) => socket.closed));
});

test('with a certificate the admin API serves HTTPS, reloads the certificate, and sets a Secure cookie', async (t) => {
  const folder = tempDir(t);
  const authority = makeAuthority(folder);
  const config = testConfig({
    DATA_DIR: folder,
    ADMIN_TLS_CERT_FILE: authority.certFile,
    ADMIN_TLS_KEY_FILE: authority.keyFile,
    MQTT_URL: 'mqtt://127.0.0.1:1',
  });
  const service = new AdminApiService({ config, log: testLog(config) });
  t.after(() => service.stop());
  await service.start();
  const ask = async (method: string, path: string, body?: string): Promise<{ status: number; cookie: string; text: string }> =>
    await new Promise((resolve, reject) => {
      const asked = request(
        {
          port: service.port,
          host: 'localhost',
          method,
          path,
          ca: readFileSync(authority.caFile),
          agent: false,
          headers: body === undefined ? {} : { 'content-type': 'application/json' },
        },
        (answer) => {
          let text = '';
          answer
            .on('data', (chunk) => (text += String(chunk)))
            .on('end', () =>
              resolve({ status: answer.statusCode ?? 0, cookie: String(answer.headers['set-cookie'] ?? ''), text }),
            );
        },
      );
      asked.on('error', reject);
      asked.end(body);
    });
  assert.equal((await ask('GET', '/health/live')).status, 200);
  const token = readFileSync(`${folder}/token`, 'utf8').trim();
  const login = await ask('POST', '/login', JSON.stringify({ token }));
  assert.equal(login.status, 200, login.text);
  assert.match(login.cookie, /HttpOnly/);
  assert.match(login.cookie, /Secure/);
  assert.match(login.cookie, /SameSite=Strict/);
  await assert.rejects(fetch(`http://127.0.0.1:${service.port}/health/live`));
  authority.issue();
  await eventually(async () => (await shownSerial(service.port, authority)).serial === serialOf(authority.certFile));
});
