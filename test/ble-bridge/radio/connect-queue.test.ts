import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { ConnectQueue, ConnectTimeout, NoSlot, GaveWay } from '../../../ble-bridge/radio/connect-queue.ts';
import { eventually } from '../../support/eventually.ts';

const never = new AbortController().signal;
const hangs = async (signal: AbortSignal): Promise<never> =>
  await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));

test('runs one connect at a time, in the order of the calls', async () => {
  const queue = new ConnectQueue({ timeoutMs: 5000 });
  const log: string[] = [];
  let open = 0;
  const connect = async (name: string): Promise<void> => {
    log.push(name);
    open += 1;
    assert.equal(open, 1);
    await sleep(5);
    open -= 1;
  };
  await Promise.all(['a', 'b', 'c'].map(async (name) => await queue.run(async () => await connect(name), never)));
  assert.deepEqual(log, ['a', 'b', 'c']);
  assert.equal(queue.busy, false);
});

test('a connect that hangs is cancelled at its timeout, and the next one runs', async () => {
  const queue = new ConnectQueue({ timeoutMs: 30 });
  const hanging = queue.run(hangs, never);
  const next = queue.run(async () => await Promise.resolve('connected'), never);
  await assert.rejects(hanging, ConnectTimeout);
  assert.equal(await next, 'connected');
});

test('a connect that ignores its cancellation does not block the next one', async () => {
  const queue = new ConnectQueue({ timeoutMs: 20, cancelMs: 20 });
  const stuck = queue.run(async () => await new Promise<never>(() => {}), never);
  const next = queue.run(async () => await Promise.resolve(2), never);
  await assert.rejects(stuck, ConnectTimeout);
  assert.equal(await next, 2);
});

test('a connect that failed and is queued again runs after all that waited', async () => {
  const queue = new ConnectQueue({ timeoutMs: 5000 });
  const turns: string[] = [];
  const bad = async (): Promise<void> => {
    for (let attempt = 0; attempt < 3; attempt += 1)
      await queue.run(async () => await Promise.reject(new Error(`${turns.push('bad')}`)), never).catch(() => {});
  };
  const good = async (name: string): Promise<void> =>
    await queue.run(async () => {
      await sleep(1);
      turns.push(name);
    }, never);
  const first = bad();
  await Promise.all([first, ...['a', 'b', 'c'].map(good)]);
  assert.deepEqual(turns, ['bad', 'a', 'b', 'c', 'bad', 'bad']);
});

test('without a free slot at its turn a connect is not attempted and does not block the next one', async () => {
  const queue = new ConnectQueue({ timeoutMs: 5000 });
  let tried = false;
  const none = queue.run(
    async () => await Promise.resolve((tried = true)),
    never,
    () => {},
    () => false,
  );
  const next = queue.run(async () => await Promise.resolve('connected'), never);
  await assert.rejects(none, NoSlot);
  assert.equal(tried, false);
  assert.equal(await next, 'connected');
});

test('nothing retains the signal of a connect after its link has ended', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const queue = new ConnectQueue({ timeoutMs: 60_000 });
  const signals: WeakRef<AbortSignal>[] = [];
  for (let i = 0; i < 20; i += 1) {
    const link = new AbortController();
    await queue.run(async (signal) => {
      signals.push(new WeakRef(signal));
      // As the radio does: it listens while the connect is in progress.
      const cancel = (): void => {};
      signal.addEventListener('abort', cancel);
      await sleep(1);
      signal.removeEventListener('abort', cancel);
    }, link.signal);
    link.abort(new Error('the link has ended'));
  }
  await eventually(
    () => {
      collect();
      return signals.every((signal) => signal.deref() === undefined);
    },
    { withinMs: 10_000, what: 'signals of ended links collected' },
  );
});

test('a connect that is aborted while it waits is never started', async () => {
  const queue = new ConnectQueue({ timeoutMs: 1000 });
  let open = (): void => {};
  const gate = new Promise<void>((resolve) => (open = resolve));
  const first = queue.run(async () => await gate, never);
  const aborted = new AbortController();
  let begun = false;
  const second = queue.run(async () => await Promise.resolve((begun = true)), aborted.signal);
  aborted.abort(new Error('aborted'));
  open();
  await first;
  await assert.rejects(second, /aborted/);
  assert.equal(begun, false);
});

test('straps that have delivered come first, then those with fewer failures, then who came first', async () => {
  const queue = new ConnectQueue({ timeoutMs: 10_000 });
  const { signal } = new AbortController();
  const order: string[] = [];
  const add = async (name: string, proven: boolean, failures: number): Promise<void> =>
    await queue.run(
      async () => {
        order.push(name);
        await sleep(5);
      },
      signal,
      undefined,
      undefined,
      { proven, failures },
    );
  await Promise.all([
    add('running', false, 0),
    add('phantom', false, 4),
    add('new 1', false, 0),
    add('failed once', false, 1),
    add('new 2', false, 0),
    add('known', true, 2),
  ]);
  assert.deepEqual(order, ['running', 'known', 'new 1', 'new 2', 'failed once', 'phantom']);
});

test('a connect to a strap that never accepted gives way to one that has delivered; that is not its timeout', async () => {
  const queue = new ConnectQueue({ timeoutMs: 10_000, cancelMs: 5 });
  const { signal } = new AbortController();
  const hangs = async (end: AbortSignal): Promise<never> =>
    await new Promise<never>((_, reject) => end.addEventListener('abort', () => reject(end.reason as Error)));
  const from = performance.now();
  const phantom = queue.run(hangs, signal, undefined, undefined, { proven: false, failures: 3 });
  const known = queue.run(async () => await Promise.resolve('connected'), signal, undefined, undefined, {
    proven: true,
    failures: 0,
  });
  await assert.rejects(phantom, GaveWay);
  assert.equal(await known, 'connected');
  assert.ok(performance.now() - from >= 290, 'the phantom had its share');
});

test('a strap that the settings name comes before strangers, unless it never accepts', async () => {
  const queue = new ConnectQueue({ timeoutMs: 10_000 });
  const { signal } = new AbortController();
  const order: string[] = [];
  const add = async (name: string, listed: boolean, failures: number): Promise<void> =>
    await queue.run(
      async () => {
        order.push(name);
        await sleep(5);
      },
      signal,
      undefined,
      undefined,
      { proven: false, listed, failures },
    );
  await Promise.all([
    add('running', false, 0),
    add('stranger', false, 0),
    add('phantom', true, 30),
    add('alias', true, 2),
    add('alias 2', true, 0),
  ]);
  assert.deepEqual(order, ['running', 'alias 2', 'alias', 'stranger', 'phantom']);
});
