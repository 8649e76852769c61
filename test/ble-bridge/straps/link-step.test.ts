import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import { RadioError } from '../../../ble-bridge/radio/radio-error.ts';
import { runStep, StepTimeout } from '../../../ble-bridge/straps/link-step.ts';

const hangs = async (): Promise<never> => await new Promise<never>(() => {});
const isLinkEnded = (error: unknown): boolean => error instanceof RadioError && error.code === 'link_ended';

describe('a step of a link', () => {
  test('rejects at its limit', async () => {
    const { signal } = new AbortController();
    await assert.rejects(runStep({ what: 'read', limitMs: 20, signal }, hangs), StepTimeout);
  });

  test('rejects as soon as the link ends, and starts no request after that', async () => {
    const link = new AbortController();
    const step = runStep({ what: 'read', limitMs: 60_000, signal: link.signal }, hangs);
    link.abort();
    await assert.rejects(step, isLinkEnded);
    let started = false;
    const late = runStep({ what: 'read', limitMs: 60_000, signal: link.signal }, async () => {
      started = true;
      await Promise.resolve();
    });
    await assert.rejects(late, isLinkEnded);
    assert.equal(started, false);
  });

  test('passes on the result and the error of the request', async () => {
    const step = { what: 'read', limitMs: 60_000, signal: new AbortController().signal };
    assert.equal(await runStep(step, async () => await Promise.resolve(7)), 7);
    await assert.rejects(
      runStep(step, async () => await Promise.reject(new Error('refused'))),
      /refused/,
    );
  });
});

test('a step whose strap answers slowly has its limit after each answer, up to six times in all', async () => {
  const { signal } = new AbortController();
  let answeredAt = -Infinity;
  const answering = setInterval(() => (answeredAt = performance.now()), 50);
  const from = performance.now();
  const step = { what: 'discovery', limitMs: 200, signal, answeredAt: () => answeredAt };
  await assert.rejects(
    runStep(step, () => new Promise(() => {})),
    StepTimeout,
  );
  clearInterval(answering);
  assert.ok(performance.now() - from >= 1200);
});

test('an answer that arrived within the limit counts, although the process was busy until after it', async (t) => {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection');
  const strap = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [ours] = (await accepted) as [Socket];
  t.after(() => {
    strap.destroy();
    ours.destroy();
    server.close();
  });
  const { signal } = new AbortController();
  const step = runStep({ what: 'read', limitMs: 50, signal }, async () => {
    const [bytes] = (await once(ours, 'data')) as [Buffer];
    return bytes.toString();
  });
  // Written in this turn of the event loop; nothing is read before the process is free again.
  strap.write('answer');
  const until = performance.now() + 150;
  while (performance.now() < until);
  assert.equal(await step, 'answer');
});
