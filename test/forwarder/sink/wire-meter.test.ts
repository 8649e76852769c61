import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent as HttpAgent, createServer as createHttpServer, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, createServer as createHttpsServer, request as httpsRequest } from 'node:https';
import { connect, createServer, type AddressInfo, type Server } from 'node:net';
import { readFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { WireMeter } from '../../../forwarder/sink/wire-meter.ts';
import { makeAuthority } from '../../support/certificates.ts';
import { tempDir } from '../../support/temp-dir.ts';

/** A TCP line to a server, which counts what passes. */
async function line(t: TestContext, server: Server): Promise<{ port: number; sent: number; received: number }> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const target = (server.address() as AddressInfo).port;
  const counted = { port: 0, sent: 0, received: 0 };
  const proxy = createServer((client) => {
    const onward = connect(target, '127.0.0.1');
    client.on('data', (chunk: Buffer) => (counted.sent += chunk.length));
    onward.on('data', (chunk: Buffer) => (counted.received += chunk.length));
    client.pipe(onward).pipe(client);
    client.on('error', () => onward.destroy());
    onward.on('error', () => client.destroy());
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  counted.port = (proxy.address() as AddressInfo).port;
  t.after(() => {
    server.close();
    proxy.close();
  });
  return counted;
}

for (const scheme of ['http', 'https'] as const)
  test(`what ${scheme} requests exchange is counted as it is on the wire, headers included`, async (t) => {
    const answer = 'y'.repeat(3000);
    const { keyFile, certFile } = makeAuthority(tempDir(t));
    const server =
      scheme === 'http'
        ? createHttpServer((incoming, response) => incoming.resume().on('end', () => response.end(answer)))
        : createHttpsServer({ key: readFileSync(keyFile), cert: readFileSync(certFile) }, (incoming, response) =>
            incoming.resume().on('end', () => response.end(answer)),
          );
    const counted = await line(t, server);
    const meter = new WireMeter();
    const agent =
      scheme === 'http' ? new HttpAgent({ keepAlive: true }) : new HttpsAgent({ keepAlive: true, rejectUnauthorized: false });
    t.after(() => agent.destroy());
    meter.watch(agent);
    const send = async (): Promise<void> => {
      const request = (scheme === 'http' ? httpRequest : httpsRequest)({ port: counted.port, method: 'POST', agent });
      request.end('x'.repeat(20_000));
      const [response] = (await once(request, 'response')) as [IncomingMessage];
      response.resume();
      await once(response, 'end');
    };
    for (let count = 0; count < 5; count += 1) await send();
    const { sent, received } = meter.bytes;
    assert.ok(sent >= 100_000 && Math.abs(sent - counted.sent) <= counted.sent * 0.01, `${sent} of ${counted.sent} sent`);
    // With TLS Node counts what is received after decryption: handshake and records' frames are missing.
    assert.ok(
      received >= 15_000 && Math.abs(received - counted.received) <= counted.received * (scheme === 'https' ? 0.1 : 0.01),
      `${received} of ${counted.received} received`,
    );
    agent.destroy();
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.ok(meter.bytes.sent >= sent, 'closed connections still count');
  });
