/** Attacks on the admin API and on the port of the local stream, each on both, and pages of other sites. */
import { ask, each, keepOpen, type Attack, type Blame } from './attack.ts';

const CLIENT: readonly Blame[] = [
  { check: 'HTTP clients', reason: /^127\.0\.0\.1: / },
  { check: 'local stream clients', reason: /^127\.0\.0\.1: / },
];
const CLIENT_OF_ADMIN = CLIENT.slice(0, 1);

const HOST = 'Host: 127.0.0.1\r\n';
const KINESIS = 'x-amz-target: Kinesis_20131202.DescribeStream\r\ncontent-type: application/x-amz-json-1.1\r\n';
const LAST = 'connection: close\r\n';
const get = (path: string, more = HOST): string => `GET ${path} HTTP/1.1\r\n${more}\r\n`;
const post = (path: string, headers: string, body: string, bytes = body.length): string =>
  `POST ${path} HTTP/1.1\r\n${headers}content-length: ${bytes}\r\n\r\n${body}`;
const login = (body: string, bytes?: number): string =>
  post('/login', `${HOST}${LAST}content-type: application/json\r\n`, body, bytes);
const EVIL = 'Host: evil.example\r\nOrigin: http://evil.example\r\n';
const UPGRADE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n';

export const HTTP_ATTACKS: readonly Attack[] = [
  {
    name: 'opens HTTP connections, and says nothing',
    named: CLIENT,
    run: async ({ admin, stream }) =>
      void (await Promise.all([admin, stream].map(async (port) => await keepOpen(port, 600, () => undefined)))),
  },
  {
    name: 'sends headers that never end',
    named: CLIENT,
    run: async ({ admin, stream }) =>
      void (await Promise.all(
        [admin, stream].map(
          async (port) =>
            await keepOpen(port, 500, () => `GET / HTTP/1.1\r\n${HOST}`, { drip: { everyMs: 500, data: 'x-a: b\r\n' } }),
        ),
      )),
  },
  {
    name: 'sends bodies that never end',
    named: CLIENT,
    run: async ({ admin, stream }) =>
      void (await Promise.all([
        keepOpen(admin, 400, () => login('{', 1000), { drip: { everyMs: 1000, data: ' ' } }),
        keepOpen(stream, 300, () => post('/', HOST + KINESIS, '{', 1000), { drip: { everyMs: 1000, data: ' ' } }),
      ])),
  },
  {
    name: 'begins large bodies on many connections',
    named: CLIENT_OF_ADMIN,
    run: async ({ admin, stream }) => {
      const large = 'a'.repeat(14_000_000);
      await Promise.all([
        keepOpen(admin, 400, () => login('a'.repeat(60_000), 64_000)),
        keepOpen(stream, 40, () => post('/', HOST + KINESIS, large, 15_000_000)),
      ]);
    },
  },
  {
    name: 'asks on new connections without a pause',
    named: CLIENT_OF_ADMIN,
    run: async ({ admin, stream }) =>
      await each(40, async (index) =>
        index % 4 === 0
          ? await ask(stream, () => post('/', HOST + LAST + KINESIS, '{"StreamName":"hr-data-stream"}'))
          : await ask(admin, () => get(index % 2 === 0 ? '/devices' : '/health', HOST + LAST)),
      ),
  },
  {
    name: 'guesses the token',
    named: CLIENT_OF_ADMIN,
    run: async ({ admin }) =>
      await each(40, async (index) =>
        index % 2 === 0
          ? await ask(admin, () => login('{"token":"guess"}'))
          : await ask(admin, () => get('/health', `${HOST}${LAST}authorization: Bearer guess\r\n`)),
      ),
  },
  {
    name: 'takes all event streams, and opens others',
    named: CLIENT_OF_ADMIN,
    run: async ({ admin }) => await keepOpen(admin, 300, () => get('/events')),
  },
  {
    name: 'opens event streams, and reads none of them',
    named: CLIENT_OF_ADMIN,
    run: async ({ admin }) => await keepOpen(admin, 300, () => get('/events'), { isFrozen: true }),
  },
  {
    name: 'asks as the page of another site, under a name that leads here',
    named: CLIENT_OF_ADMIN,
    run: async ({ admin, stream, ws }) =>
      await each(30, async (index) => {
        if (index % 3 === 0) await ask(ws, () => get('/', EVIL + UPGRADE));
        else if (index % 3 === 1) await ask(admin, () => get('/devices', EVIL + LAST));
        else
          await ask(stream, () =>
            post('/', EVIL + LAST + KINESIS.replace('Describe', 'Delete'), '{"StreamName":"hr-data-stream"}'),
          );
      }),
  },
];
