import assert from 'node:assert/strict';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { eventually } from '../../support/eventually.ts';
import { ApiContract, type Answer, type Description } from './support/api-contract.ts';
import { startBox, type Box } from './support/page-pipeline.ts';

const REQUESTS = 10_000;
const AT_ONCE = 16;

interface Sent {
  method: string;
  path: string;
  headers: Record<string, string>;
  body: string | undefined;
}

const ids = [
  'simulated-rest-000000',
  'simulated-intervals-000001',
  'nobody',
  '',
  '%',
  '%00',
  '..',
  '%2e%2e%2fdata',
  'A',
  'a'.repeat(300),
  '😀',
  'constructor',
  '__proto__',
];
const odd = fc.oneof(
  fc.string({ maxLength: 40 }),
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.constantFrom(
    '0',
    '-1',
    '1',
    '9007199254740993',
    '1e999',
    'true',
    'null',
    '[]',
    '{}',
    'csv',
    'json',
    'text',
    'a'.repeat(5000),
  ),
);
/** Values that match the schemas, and any other JSON. */
const bodies: fc.Arbitrary<unknown> = fc.oneof(
  fc.record(
    { ids: fc.oneof(fc.array(fc.integer({ min: -1, max: 20 }), { maxLength: 5 }), fc.array(odd, { maxLength: 3 }), odd) },
    { requiredKeys: [] },
  ),
  fc.record({ all: fc.oneof(fc.constant(true), odd) }),
  fc.record(
    {
      service: fc.constantFrom('forwarder', 'ble-bridge', 'admin-api', 'nobody', 7),
      level: fc.constantFrom('fatal', 'loud', null),
    },
    { requiredKeys: [] },
  ),
  fc.record({ token: odd }),
  fc.jsonValue({ maxDepth: 4 }),
);
const bodyText = fc.oneof(
  { weight: 6, arbitrary: bodies.map((value) => JSON.stringify(value)) },
  { weight: 1, arbitrary: odd },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      '',
      '{',
      '[1,',
      '"',
      '{"ids":[1]}}',
      '{"__proto__":{"ids":[1]}}',
      'x'.repeat(70_000),
      `${'['.repeat(20_000)}${']'.repeat(20_000)}`,
    ),
  },
  { weight: 2, arbitrary: fc.constant(undefined) },
  { weight: 1, arbitrary: fc.constant(JSON.stringify({ token: 'x'.repeat(70_000) })) },
);
const httpText = /^[\t\x20-\x7e\x80-\xff]*$/;

function requests(contract: ApiContract, box: Box): fc.Arbitrary<Sent> {
  const paths = [
    ...new Set(contract.operations.map(({ path }) => path)),
    '/',
    '/docs',
    '/docs/json',
    '/openapi.json',
    '/page.js',
    '/../../package.json',
    '/nothing',
    '//',
    '/%',
    '/events/x',
  ];
  const path = fc
    .tuple(
      fc.constantFrom(...paths),
      fc.constantFrom(...ids),
      fc.oneof(
        { weight: 3, arbitrary: fc.constant('') },
        {
          weight: 1,
          arbitrary: fc
            .tuple(fc.constantFrom('format', 'limit', 'before', 'x'), odd)
            .map(([name, value]) => `?${name}=${encodeURIComponent(value.replaceAll(/[\uD800-\uDFFF]/g, ''))}`),
        },
      ),
    )
    .map(([template, id, query]) => `${template.replace('{id}', /[^\x21-\x7e]/.test(id) ? encodeURIComponent(id) : id)}${query}`);
  const headers = fc.record(
    {
      authorization: fc.oneof(
        { weight: 6, arbitrary: fc.constant(`Bearer ${box.token}`) },
        { weight: 1, arbitrary: odd.filter((text) => httpText.test(text)) },
      ),
      'content-type': fc.oneof(
        { weight: 6, arbitrary: fc.constant('application/json') },
        {
          weight: 1,
          arbitrary: fc.constantFrom(
            'text/plain',
            'application/xml',
            'multipart/form-data; boundary=x',
            '',
            ';',
            'application/json; charset=utf-99',
          ),
        },
      ),
      cookie: odd.filter((text) => httpText.test(text)).map((text) => `hr_gateway_session=${text}`),
      origin: fc.oneof(
        { weight: 8, arbitrary: fc.constant(box.url) },
        { weight: 1, arbitrary: fc.constantFrom('http://evil.example', 'null', '') },
      ),
      host: fc.oneof(
        { weight: 8, arbitrary: fc.constant(new URL(box.url).host) },
        { weight: 1, arbitrary: fc.constantFrom('localhost', 'evil.example', '[::1]', '') },
      ),
      accept: fc.constantFrom('*/*', 'text/html', 'image/png', ''),
    },
    { requiredKeys: [] },
  );
  return fc.record({
    method: fc.constantFrom('GET', 'GET', 'POST', 'POST', 'DELETE', 'PUT', 'PATCH', 'HEAD', 'OPTIONS'),
    path,
    headers,
    body: bodyText,
  });
}

function send(agent: Agent, box: Box, { method, path, headers, body }: Sent): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(box.url);
    const outgoing = request({ agent, hostname, port, method, path: path.replaceAll(/[^\x21-\x7e]/g, ''), headers }, (answer) => {
      const type = answer.headers['content-type'] ?? '';
      const status = answer.statusCode ?? 0;
      // A stream of events does not end.
      if (type.startsWith('text/event-stream')) {
        outgoing.destroy();
        return resolve({ method, path, status, type, body: '' });
      }
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('end', () => resolve({ method, path, status, type, body: Buffer.concat(chunks).toString() }));
      answer.on('error', reject);
    });
    outgoing.on('error', (error: NodeJS.ErrnoException) => {
      // A malformed request is answered before it is known to be a HEAD, so with a body, which the client treats as further data.
      if (method === 'HEAD' && error.code === 'HPE_CLOSED_CONNECTION') resolve({ method, path, status: 400, type: '', body: '' });
      // The connection may be closed while a body that is too large is still being sent; the answer is lost then.
      else if ((body?.length ?? 0) > 65_536 && ['ECONNRESET', 'EPIPE'].includes(error.code ?? ''))
        resolve({
          method,
          path,
          status: 413,
          type: 'application/problem+json',
          body: '{"code":"request_invalid","status":413,"type":"","title":"","detail":"","hint":""}',
        });
      else reject(new Error(`${method} ${path} ${JSON.stringify(headers)}`, { cause: error }));
    });
    outgoing.setTimeout(30_000, () => outgoing.destroy(new Error(`no answer in 30 s: ${method} ${path}`)));
    if (body !== undefined && method !== 'GET' && method !== 'HEAD') outgoing.write(body);
    outgoing.end();
  });
}

test('ten thousand requests, valid and invalid: no 500, every answer as described, and the box keeps running', async (t) => {
  const box = await startBox(t);
  await box.startSimulated();
  const contract = new ApiContract((await (await fetch(`${box.url}/openapi.json`)).json()) as Description);
  const seed = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`FUZZ_SEED=${seed}`);
  const all = fc.sample(requests(contract, box), { numRuns: REQUESTS, seed });
  const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });
  t.after(() => agent.destroy());
  const counts = new Map<number, number>();
  const faults: string[] = [];
  let next = 0;
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (let sent = all[next++]; sent !== undefined && faults.length < 5; sent = all[next++]) {
        const answer = await send(agent, box, sent);
        counts.set(answer.status, (counts.get(answer.status) ?? 0) + 1);
        const broken = sent.method === 'HEAD' ? undefined : contract.fault(answer);
        const fault = answer.status === 500 ? `500 ${answer.body}` : broken;
        if (fault !== undefined) faults.push(`${JSON.stringify(sent).slice(0, 500)}: ${fault}`);
      }
    }),
  );
  t.diagnostic(`answers by status: ${JSON.stringify(Object.fromEntries(counts))}`);
  assert.deepEqual(faults, [], `FUZZ_SEED=${seed}`);
  assert.equal(
    [...counts.values()].reduce((sum, count) => sum + count, 0),
    REQUESTS,
  );
  for (const status of [200, 400, 401, 403, 404, 413])
    assert.ok(counts.has(status), `no ${status}: the requests are not as mixed as they should be`);
  const health = await fetch(`${box.url}/health/live`);
  assert.equal(health.status, 200);
});

test('malformed HTTP gets a problem and its connection is closed; other clients are not disturbed', async (t) => {
  const box = await startBox(t);
  const { hostname, port } = new URL(box.url);
  for (const raw of [
    '\r\n\r\nnonsense\r\n\r\n',
    'GET / HTTP/9.9\r\n\r\n',
    'GET /\u0000 HTTP/1.1\r\nHost: x\r\n\r\n',
    `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(50_000)}\r\n\r\n`,
    'POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n',
    '\u0016\u0003\u0001',
  ]) {
    // A connection that is closed with unread bytes may lose its answer; the request is then repeated.
    const answer = await eventually(
      async () => {
        const socket = connect(Number(port), hostname);
        const chunks: Buffer[] = [];
        socket.on('data', (chunk) => chunks.push(chunk));
        socket.on('error', () => {});
        const closed = new Promise((resolve) => socket.once('close', resolve));
        socket.write(raw);
        await closed;
        return chunks.length > 0 ? Buffer.concat(chunks).toString() : undefined;
      },
      { what: `an answer to ${JSON.stringify(raw.slice(0, 40))}` },
    );
    assert.match(answer, /^HTTP\/1\.1 4\d\d /, JSON.stringify(raw.slice(0, 40)));
    assert.match(answer, /application\/problem\+json[^]*"code":"request_invalid"/);
  }
  assert.equal((await fetch(`${box.url}/health/live`)).status, 200);
});
