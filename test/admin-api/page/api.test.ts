import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Validator } from '@seriousme/openapi-schema-validator';
import { eventSchemas } from '../../../admin-api/answer-schemas.ts';
import { checkerOf, type Checker } from '../../../contract/validate.ts';
import { eventually } from '../../support/eventually.ts';
import { deviceStatus } from '../../support/messages.ts';
import { ApiContract, type Answer, type Description } from './support/api-contract.ts';
import { appReading, startBox, type Box } from './support/page-pipeline.ts';

const EVENT_CHECKS: Partial<Record<string, Checker<unknown>>> = {
  overview: checkerOf(eventSchemas.overview),
  reading: checkerOf(eventSchemas.reading),
  device: checkerOf(eventSchemas.device),
};

describe('the admin API on a running pipeline', () => {
  const cleanups: (() => unknown)[] = [];
  let box: Box;
  let description: Description;
  let contract: ApiContract;

  async function ask(
    method: string,
    path: string,
    options: { body?: unknown; operator?: boolean; headers?: Record<string, string> } = {},
  ): Promise<Answer & { json: <T>() => T; headers: Headers }> {
    const { body, operator = false, headers = {} } = options;
    const answer = await fetch(`${box.url}${path}`, {
      method,
      headers: {
        ...headers,
        ...(operator ? { authorization: `Bearer ${box.token}` } : {}),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const read: Answer = {
      method,
      path,
      status: answer.status,
      type: answer.headers.get('content-type') ?? '',
      body: await answer.text(),
    };
    assert.equal(contract.fault(read), undefined, `${method} ${path}: ${read.status} ${read.body.slice(0, 300)}`);
    return { ...read, headers: answer.headers, json: <T>() => JSON.parse(read.body) as T };
  }

  before(async () => {
    box = await startBox({ after: (cleanup: () => unknown) => void cleanups.push(cleanup) });
    await box.startSimulated();
    description = (await (await fetch(`${box.url}/openapi.json`)).json()) as Description;
    contract = new ApiContract(description);
    await eventually(
      async () =>
        ((await (await fetch(`${box.url}/devices`)).json()) as { state: string }[]).filter(({ state }) => state === 'streaming')
          .length === 3,
    );
  });
  after(async () => {
    for (const cleanup of cleanups.reverse()) await cleanup();
  });

  test('its description is valid OpenAPI 3.1', async () => {
    assert.match(description.openapi, /^3\.1\./);
    const result = await new Validator().validate(structuredClone(description) as unknown as Record<string, unknown>);
    assert.ok(result.valid, JSON.stringify(result.errors));
  });

  test('docs/api.md names every route, and no other', () => {
    const document = readFileSync(fileURLToPath(new URL('../../../docs/api.md', import.meta.url)), 'utf8');
    const documented = [...document.matchAll(/`(GET|POST|DELETE) (\/[^`\s?]*)`/g)]
      .map(([, method, path]) => `${method} ${path}`)
      .sort();
    const described = contract.operations.map(({ method, path }) => `${method} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`).sort();
    assert.deepEqual(
      documented.filter((route) => !['GET /openapi.json', 'GET /docs'].includes(route)),
      described,
    );
  });

  test('every answer to a valid request matches its description', async () => {
    const [device] = (await ask('GET', '/devices')).json<{ device: string }[]>();
    assert.ok(device);
    for (const path of [
      '/health',
      '/health?format=text',
      '/health/live',
      '/queue',
      '/queue/history',
      '/devices',
      `/devices/${device.device}`,
      `/devices/${device.device}/readings`,
      `/devices/${device.device}/readings?format=csv`,
      '/metrics',
      '/session',
    ])
      assert.equal((await ask('GET', path)).status, 200, path);
    for (const [method, path, body, expected] of [
      ['GET', '/dead-letters?limit=5', undefined, { total: 0, dead_letters: [], next_before: null }],
      ['POST', '/dead-letters/retry', { all: true }, { retried: 0, left: 0 }],
      ['POST', '/dead-letters/discard', { ids: [1] }, { discarded: 0 }],
      ['POST', '/damage/acknowledge', undefined, { acknowledged: false }],
      ['POST', '/scan', undefined, { scanning: true }],
      [
        'POST',
        `/devices/${device.device}/rename`,
        { name: 'Anna' },
        { device: device.device, name: 'Anna', max_heart_rate: null },
      ],
      ['POST', '/log-level', { service: 'forwarder', level: 'fatal' }, { level: 'fatal' }],
      ['POST', `/devices/${device.device}/reset-energy`, undefined, { reset: device.device }],
      ['DELETE', `/devices/${device.device}`, undefined, { forgotten: device.device }],
    ] as const) {
      const answer = await ask(method, path, { operator: true, ...(body === undefined ? {} : { body }) });
      assert.deepEqual([answer.status, answer.json()], [200, expected], `${method} ${path}`);
    }
    const backup = await ask('POST', '/backup', { operator: true });
    assert.ok(backup.json<{ bytes: number }>().bytes > 0);
    assert.equal((await ask('POST', '/login', { body: { token: box.token } })).status, 200);
    assert.equal((await ask('POST', '/logout')).status, 200);
  });

  test("changes and dead letters need the operator's token; a wrong token counts as none", async () => {
    const guarded = contract.operations.filter(({ operation }) => operation.security !== undefined);
    assert.equal(guarded.length, 10);
    for (const { method, path } of guarded)
      for (const headers of [{}, { authorization: 'Bearer wrong' }, { cookie: 'hr_gateway_session=wrong' }]) {
        const answer = await ask(method, path.replace('{id}', 'nobody'), { headers });
        assert.equal(answer.status, 401, `${method} ${path}`);
        assert.equal(answer.json<{ code: string }>().code, 'token_needed');
      }
  });

  test('a refused request is a problem with a code of the catalogue', async () => {
    // Unknown strap, invalid body, too large a body, foreign host, foreign origin, unknown path.
    const expectations: [string, string, Parameters<typeof ask>[2], number, string][] = [
      ['GET', '/devices/nobody', {}, 404, 'strap_unknown'],
      ['GET', '/devices/nobody/readings', {}, 404, 'strap_unknown'],
      ['DELETE', '/devices/nobody', { operator: true }, 404, 'strap_unknown'],
      ['GET', '/health?format=xml', {}, 400, 'request_invalid'],
      ['GET', '/dead-letters?limit=0', { operator: true }, 400, 'request_invalid'],
      ['POST', '/dead-letters/retry', { operator: true, body: { ids: ['a'] } }, 400, 'request_invalid'],
      ['POST', '/dead-letters/retry', { operator: true, body: {} }, 400, 'command_invalid'],
      ['POST', '/log-level', { operator: true, body: { service: 'nobody', level: 'info' } }, 400, 'request_invalid'],
      ['POST', '/login', { body: { token: 'wrong' } }, 401, 'token_needed'],
      ['POST', '/login', { body: { token: 'x'.repeat(70_000) } }, 413, 'request_invalid'],
      ['POST', '/scan', { operator: true, headers: { origin: 'http://evil.example' } }, 403, 'origin_not_allowed'],
      ['GET', '/nothing', {}, 404, 'not_found'],
    ];
    for (const [method, path, options, status, code] of expectations) {
      const answer = await ask(method, path, options);
      assert.deepEqual([answer.status, answer.json<{ code: string }>().code], [status, code], `${method} ${path}`);
    }
  });

  test('readings of the last ten minutes as JSON and CSV agree, from memory that is bounded', async () => {
    const publish = async (count: number): Promise<void> => {
      for (let index = 0; index < count; index += 1)
        await box.app.publishAsync(
          'hr/flood/bpm',
          appReading(60 + (index % 100), index % 2 === 0 ? { sensor_contact: true } : {}),
        );
    };
    box.app.publish('hr/flood/bpm', JSON.stringify({ timestamp: new Date(Date.now() - 601_000).toISOString(), heart_rate: 200 }));
    await publish(3000);
    await box.app.publishAsync('hr/flood/bpm', appReading(199));
    const readings = await eventually(
      async () => {
        const all = (await ask('GET', '/devices/flood/readings')).json<
          { timestamp: string; heart_rate: number; sensor_contact: boolean | null }[]
        >();
        return all.at(-1)?.heart_rate === 199 ? all : undefined;
      },
      { everyMs: 200, what: 'the last reading' },
    );
    assert.equal(readings.length, 2400);
    assert.ok(
      readings.every(({ heart_rate }) => heart_rate < 200),
      'the one of eleven minutes ago is gone',
    );
    const csv = await ask('GET', '/devices/flood/readings?format=csv');
    assert.equal(csv.type, 'text/csv; charset=utf-8');
    assert.match(csv.headers.get('content-disposition') ?? '', /^attachment; filename="flood_/);
    assert.equal(
      csv.body,
      [
        'timestamp,heart_rate,sensor_contact,rr_ms\n',
        ...readings.map(({ timestamp, heart_rate, sensor_contact }) => `${timestamp},${heart_rate},${sensor_contact ?? ''},\n`),
      ].join(''),
    );
  });

  test('a strap of another app, which has no status, is streaming while its readings arrive', async () => {
    await box.app.publishAsync('hr/treadmill/bpm', appReading(101, { source: 'replay' }));
    const device = await eventually(async () =>
      (await ask('GET', '/devices'))
        .json<{ device: string; state: string; source: string; last_reading_at: string | null }[]>()
        .find((candidate) => candidate.device === 'treadmill'),
    );
    assert.deepEqual([device.state, device.source], ['streaming', 'replay']);
    assert.ok(device.last_reading_at);
  });

  test('health has the cause: which check, since when, why, and what to do; and reports recovery', async () => {
    interface Health {
      status: string;
      checks: { name: string; status: string; since: string; code: string; reason: string; hint: string }[];
    }
    // Wrong tokens of the tests before are named for a minute.
    const isWell = async (): Promise<boolean> =>
      (await ask('GET', '/health')).json<Health>().checks.every(({ name, status }) => status === 'ok' || name === 'HTTP clients');
    await eventually(isWell, { what: 'all well' });
    const from = Date.now();
    await box.stream.faults({ request: 'accessDenied' });
    const check = await eventually(
      async () => {
        const health = (await ask('GET', '/health')).json<Health>();
        return health.status === 'degraded'
          ? health.checks.find(({ name, status }) => name === 'uplink' && status === 'fail')
          : undefined;
      },
      { what: 'a degraded uplink' },
    );
    assert.equal(check.code, 'unauthorized');
    assert.match(check.reason, /^AccessDeniedException/);
    assert.match(check.hint, /Allow kinesis:PutRecords/);
    assert.ok(Date.parse(check.since) >= from - 1000 && Date.parse(check.since) <= Date.now());
    assert.match(
      (await ask('GET', '/health?format=text')).body,
      /^degraded\n[^]*fail {2}uplink {2}since [^]*→ Allow kinesis:PutRecords/,
    );
    await box.stream.faults({});
    await eventually(isWell, {
      withinMs: 60_000,
      everyMs: 200,
      what: 'all well again',
    });
  });

  test('events: the overview at once, then readings, devices, and the overview every second', async () => {
    const stop = new AbortController();
    const answer = await fetch(`${box.url}/events`, { signal: stop.signal });
    assert.match(answer.headers.get('content-type') ?? '', /^text\/event-stream/);
    const seen = new Map<string, unknown>();
    const reader = (answer.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    await eventually(
      async () => {
        text += (await reader.read()).value ?? '';
        for (const [, name = '', data = ''] of text.matchAll(/event: (\w+)\ndata: (.*)\n\n/g)) {
          const event: unknown = JSON.parse(data);
          seen.set(name, event);
          const checked = EVENT_CHECKS[name]?.(event) ?? { ok: false, reason: 'no such event' };
          assert.ok(checked.ok, `${name}: ${checked.ok ? '' : checked.reason}`);
        }
        return (
          seen.has('overview') && seen.has('reading') && seen.has('device') && [...text.matchAll(/event: overview/g)].length >= 3
        );
      },
      { what: 'all kinds of events' },
    );
    stop.abort();
    assert.match(text, /^retry: \d+\n\nevent: overview\n/);
    const overview = seen.get('overview') as { gateway_name: string; rates: Record<string, number>; queue: { ledger: object } };
    assert.equal(overview.gateway_name, 'test-box');
    assert.ok((overview.rates['heard'] ?? 0) > 0);
  });

  test('a page that does not read is disconnected, and does not delay the others', async () => {
    const deaf = connect(Number(new URL(box.url).port), '127.0.0.1');
    let ended = false;
    deaf.on('error', () => {});
    deaf.on('close', () => {
      ended = true;
    });
    deaf.write(`GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
    await once(deaf, 'readable');
    deaf.pause();
    const pages = async (): Promise<number> =>
      Number(/^hr_gateway_pages\{gateway="test-box"\} (\d+)$/m.exec(await (await fetch(`${box.url}/metrics`)).text())?.[1]);
    await eventually(async () => (await pages()) === 1, { everyMs: 300, what: 'the deaf page to be counted' });
    // The largest status that the contract allows, about 45 kB.
    const disconnects = Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`${index} `.padEnd(200, 'x'), 1]));
    const status = JSON.stringify(deviceStatus('loud', { disconnects }));
    // More than the socket buffers on both sides: at most 32 MiB to receive and 4 MiB to send.
    const messages = Math.ceil((40 * 1024 * 1024) / status.length);
    for (let sent = 0; sent < messages; sent += 1) await box.bridgeClient.publishAsync('hr/loud/status', status);
    await eventually(async () => (await pages()) === 0, { everyMs: 300, what: 'the deaf page to be dropped' });
    deaf.resume();
    await eventually(() => ended);
    await box.bridgeClient.publishAsync('hr/loud/status', '', { retain: true });
    assert.equal((await ask('GET', '/health')).status, 200);
  });

  test('at most 200 pages follow the events; a further one is refused until another has left', async () => {
    const pages = await Promise.all(
      Array.from({ length: 200 }, async () => {
        const stop = new AbortController();
        const { status } = await fetch(`${box.url}/events`, { signal: stop.signal });
        assert.equal(status, 200);
        return stop;
      }),
    );
    const refused = await ask('GET', '/events');
    assert.deepEqual([refused.status, refused.json<{ code: string }>().code], [503, 'too_many_pages']);
    for (const page of pages) page.abort();
    await eventually(async () => {
      const stop = new AbortController();
      const { status } = await fetch(`${box.url}/events`, { signal: stop.signal });
      stop.abort();
      return status === 200;
    });
  });
});

test('without a broker, /queue is nothing_known, and health is down with broker_away', async (t) => {
  const box = await startBox(t, { MQTT_URL: 'mqtt://127.0.0.1:9' });
  const answer = await fetch(`${box.url}/queue`);
  assert.deepEqual([answer.status, ((await answer.json()) as { code: string }).code], [503, 'nothing_known']);
  const health = await fetch(`${box.url}/health`);
  assert.equal(health.status, 503);
  assert.match(await health.text(), /"status":"down".*broker_away/);
});

test('with ADMIN_ANONYMOUS=none nothing is readable without the token, except the page and its login', async (t) => {
  const box = await startBox(t, { ADMIN_ANONYMOUS: 'none' });
  const status = async (path: string, headers: Record<string, string> = {}): Promise<number> =>
    (await fetch(`${box.url}${path}`, { headers })).status;
  for (const path of ['/health', '/queue', '/queue/history', '/devices', '/metrics', '/events', '/openapi.json', '/docs'])
    assert.equal(await status(path), 401, path);
  for (const path of ['/', '/page.js', '/style.css', '/uplot.js', '/health/live', '/session'])
    assert.equal(await status(path), 200, path);
  assert.equal(await status('/devices', { authorization: `Bearer ${box.token}` }), 200);
  const login = await fetch(`${box.url}/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ token: box.token }),
  });
  // The login also clears the cookie of 1.0.0.
  const cookie = login.headers.getSetCookie().find((one) => !one.includes('Max-Age=0')) ?? '';
  assert.match(cookie, /HttpOnly/);
  assert.match(cookie, /SameSite=Strict/);
  assert.equal(await status('/devices', { cookie: cookie.split(';')[0] ?? '' }), 200);
});
