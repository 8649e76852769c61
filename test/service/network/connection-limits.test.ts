/** HTTP: connections over a limit. Which of them are closed, and that none is closed before what it has sent was read. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer as createHttp, request as requestHttp, type ClientRequest, type RequestListener } from 'node:http';
import { createServer as createHttps, request as requestHttps } from 'node:https';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConnectionLimits } from '../../../service/network/connection-limits.ts';
import { makeAuthority } from '../../support/certificates.ts';
import { eventually } from '../../support/eventually.ts';
import { tempDir } from '../../support/temp-dir.ts';

const PER_ADDRESS = 40;
const UNFINISHED = 'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n';

interface Setup {
  port: number;
  limits: ConnectionLimits;
  delayedCount: () => number;
  /** A request with a body, which arrives in a packet of its own. */
  post: () => ClientRequest;
}

async function startServer(t: TestContext, isSecure: boolean, waitingMax = 500): Promise<Setup> {
  let delayed = 0;
  const limits = new ConnectionLimits({
    total: 2 * PER_ADDRESS,
    perAddress: PER_ADDRESS,
    protectedMax: 1,
    waitingMax,
    onClosed: () => undefined,
    onDelayed: () => (delayed += 1),
  });
  const answer: RequestListener = (request, response) => {
    request.resume();
    request.on('end', () => response.end('answer'));
  };
  const { certFile, keyFile } = makeAuthority(tempDir(t));
  const server = isSecure
    ? createHttps({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, answer)
    : createHttp(answer);
  limits.attach(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const post = (): ClientRequest => {
    const options = { port, host: '127.0.0.1', method: 'POST', headers: { 'content-length': 4 }, agent: false };
    const asked = isSecure ? requestHttps({ ...options, rejectUnauthorized: false }) : requestHttp(options);
    asked.setNoDelay(true);
    asked.flushHeaders();
    setTimeout(() => asked.end('body'), 20);
    t.after(() => asked.destroy());
    return asked;
  };
  return { port, limits, delayedCount: () => delayed, post };
}

/** The status of the answer; what went wrong, if there is none. */
async function answerTo(asked: ClientRequest): Promise<number | string> {
  return await new Promise((resolve) => {
    asked.on('response', (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    asked.on('error', (error) => resolve(String(error)));
  });
}

/** Opens connections until the test ends, so many per second, which send this and nothing more. */
function flood(t: TestContext, port: number, perSecond: number, data: string): readonly Socket[] {
  const sockets: Socket[] = [];
  const timer = setInterval(() => {
    for (let count = 0; count < perSecond / 100; count += 1) {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => {});
      socket.write(data);
      sockets.push(socket);
    }
  }, 10);
  t.after(() => {
    clearInterval(timer);
    for (const socket of sockets) socket.destroy();
  });
  return sockets;
}

for (const isSecure of [false, true]) {
  const scheme = isSecure ? 'HTTPS' : 'HTTP';

  test(`a request that waits, because its address opens so many connections, is read before others close it (${scheme})`, async (t) => {
    const { port, delayedCount, limits, post } = await startServer(t, isSecure);
    flood(t, port, 500, UNFINISHED);
    await eventually(() => delayedCount() > PER_ADDRESS, { what: 'connections that wait' });
    for (let time = 0; time < 3; time += 1) assert.equal(await answerTo(post()), 200);
    await eventually(() => limits.size <= PER_ADDRESS, { what: 'the surplus to be closed' });
  });

  test(`connections that say nothing are closed before one that waits for the rest of its request (${scheme})`, async (t) => {
    const { port, limits } = await startServer(t, isSecure);
    const slow = connect(port, '127.0.0.1');
    t.after(() => void slow.destroy());
    let isClosed = false;
    slow.on('error', () => {});
    slow.on('close', () => (isClosed = true));
    slow.write(isSecure ? Buffer.from([22, 3, 1]) : UNFINISHED);
    await eventually(() => limits.size === 1);
    const silent = flood(t, port, 1000, '');
    await eventually(() => silent.filter(({ destroyed }) => destroyed).length > 3 * PER_ADDRESS, {
      what: 'silent ones to be closed',
    });
    await sleep(50);
    assert.equal(isClosed, false, 'the one that has sent something is open');
    assert.ok(limits.size <= PER_ADDRESS + 1, `${limits.size} are open`);
  });
}

test('connections that wait are bounded, beside those that are open', async (t) => {
  const { port, limits, delayedCount } = await startServer(t, false, 20);
  const sockets = flood(t, port, 500, UNFINISHED);
  await eventually(() => delayedCount() > 200, { withinMs: 20_000, what: 'many that wait' });
  const open = sockets.filter(({ destroyed }) => !destroyed).length;
  // Some are not accepted yet, or closed and the client has not heard of it.
  assert.ok(open <= PER_ADDRESS + 20 + 50, `${open} are open`);
  assert.ok(limits.size <= PER_ADDRESS + 10, `${limits.size} are open`);
});
