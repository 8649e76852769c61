/**
 * npm run bench:pages: the cost of open pages: CPU of the admin API's process without pages and with fifty that follow /events, while
 * three straps stream. A page is a plain HTTP client here: the cost of the browser is not measured.
 */
import { get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { compile } from './support/child.ts';
import { intoStream, startNullStream, startSeparate } from './support/pipeline.ts';
import { usageOf } from './support/process-usage.ts';
import { finish, row } from './support/result.ts';
import { withScratch } from './support/scratch.ts';

const PAGES = 50;
const MEASURED_MS = 8000;
const RUNS = 3;

interface Pages {
  bytes(): number;
  close(): void;
}

async function openPages(url: string, count: number): Promise<Pages> {
  let bytes = 0;
  const requests = await Promise.all(
    Array.from(
      { length: count },
      async () =>
        await new Promise<{ destroy(): void }>((resolve, reject) => {
          const request = get(url, { agent: false }, (answer) => {
            answer.on('data', (chunk: Buffer) => {
              bytes += chunk.length;
            });
            answer.on('error', () => {});
            if (answer.statusCode === 200) resolve(request);
            else reject(new Error(`${url}: ${answer.statusCode}`));
          });
          request.on('error', reject);
        }),
    ),
  );
  return { bytes: () => bytes, close: () => requests.forEach((request) => request.destroy()) };
}

compile();
await withScratch(async (scratch) => {
  const stream = await startNullStream(scratch);
  const { processes } = await startSeparate(
    scratch,
    { ...intoStream(stream.endpoint), BLE_SOURCE: 'simulated', SIMULATED_STRAPS: '3' },
    ['forwarder', 'ble-bridge', 'admin-api'],
  );
  const admin = processes['admin-api'];
  if (admin === undefined) throw new Error('no admin API');
  const { port } = await admin.line(({ event }) => event === 'listening');
  const events = `http://127.0.0.1:${String(port)}/events`;
  await sleep(3000);
  const measure = async (count: number): Promise<Record<string, number>> => {
    const pages = await openPages(events, count);
    await sleep(500);
    const [before, began, bytes] = [usageOf(admin.pid), performance.now(), pages.bytes()];
    await sleep(MEASURED_MS);
    const [after, seconds] = [usageOf(admin.pid), (performance.now() - began) / 1000];
    const read = pages.bytes() - bytes;
    pages.close();
    return {
      '% of a core': (100 * (after.cpuSeconds - before.cpuSeconds)) / seconds,
      'kB/s per page': count === 0 ? 0 : read / 1000 / seconds / count,
      'RSS MiB': after.rssMiB,
    };
  };
  const none: Record<string, number>[] = [];
  const fifty: Record<string, number>[] = [];
  for (let run = 0; run < RUNS; run += 1) {
    none.push(await measure(0));
    fifty.push(await measure(PAGES));
  }
  finish({
    bench: 'pages',
    title: 'Open pages',
    note: [
      `CPU of the admin API's process, three straps at one reading per second, over ${MEASURED_MS / 1000} s,`,
      `${RUNS} alternating runs: median (minimum–maximum).`,
    ].join(' '),
    rows: [row('no page', none), row(`${PAGES} pages`, fifty)],
  });
});
