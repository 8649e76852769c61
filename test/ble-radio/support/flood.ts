/** A flood of advertising addresses beside a real strap: the whole product over the virtual radio. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { eventually } from '../../support/eventually.ts';
import { startRadioProduct } from './radio-product.ts';
import { startVirtualRadio, strapAddress } from './virtual-radio.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function heapMiB(): number {
  collect();
  return Math.round(process.memoryUsage().heapUsed / 2 ** 20);
}

const percentile = (values: readonly number[], share: number): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length * share)] ?? Infinity;

/**
 * 200 new addresses a second: the strap's readings arrive in time, memory and topics stay bounded, restarts of the bridge do not lock it
 * out of the broker, and the check warns and passes again.
 */
export async function floodBesideStrap(t: TestContext, restarts: number): Promise<void> {
  const radio = await startVirtualRadio(t);
  await radio.add(1, { name: 'Real', bpm: 71, period: 0.2 });
  const arrivals: { at: number; delayMs: number }[] = [];
  const product = await startRadioProduct(t, radio, {
    onReading: ({ timestamp }) => arrivals.push({ at: performance.now(), delayMs: Date.now() - Date.parse(timestamp) }),
  });
  const unknownStraps = (): string | undefined => product.checks().find(({ name }) => name === 'unknown straps')?.status;
  await eventually(() => arrivals.length > 5, { what: 'readings of the real strap' });
  await eventually(() => unknownStraps() === 'ok', { what: 'the check is ok before' });
  assert.equal(await product.retainedTopics(), 10, 'one strap has a status and four entities, the box has five entities');

  const began = performance.now();
  await radio.op('flood', { rate: 200 });
  await eventually(() => unknownStraps() === 'warn', { withinMs: 15_000, everyMs: 100, what: 'the check' });
  t.diagnostic(`the check warns after ${Math.round(performance.now() - began)} ms`);
  await sleep(5000);
  const heaps = [heapMiB()];
  let measuredFrom = performance.now();
  const pauses: number[] = [];
  const delays: number[] = [];
  const measure = (): void => {
    const measured = arrivals.filter(({ at }) => at >= measuredFrom);
    pauses.push(...measured.slice(1).map(({ at }, index) => at - (measured[index]?.at ?? at)));
    delays.push(...measured.map(({ delayMs }) => delayMs));
  };
  for (let restart = 1; restart <= restarts; restart += 1) {
    await sleep(4000);
    measure();
    await product.restartBridge();
    const from = performance.now();
    await eventually(() => (arrivals.at(-1)?.at ?? 0) > from, { what: `readings after restart ${restart}` });
    t.diagnostic(`restart ${restart}: readings again after ${Math.round(performance.now() - from)} ms`);
    heaps.push(heapMiB());
    measuredFrom = performance.now();
  }
  await sleep(4000);
  measure();
  const topics = await product.retainedTopics();
  const figures = `p99 ${percentile(delays, 0.99)} ms, longest pause ${Math.round(Math.max(...pauses))} ms of ${pauses.length} readings`;
  t.diagnostic(`${figures}; ${topics} retained topics; heap ${heaps.join(', ')} MiB`);
  assert.ok(percentile(delays, 0.99) < 1000, figures);
  assert.ok(percentile(pauses, 0.99) < 1000, figures);
  assert.ok(topics < 1500, `${topics} retained topics`);
  assert.ok((heaps.at(-1) ?? 0) - (heaps[0] ?? 0) < 40, `heap ${heaps.join(', ')} MiB`);
  assert.equal(product.deviceStatus(strapAddress(1))?.state, 'streaming');

  await radio.op('flood', { rate: 0 });
  const ended = performance.now();
  await eventually(() => unknownStraps() === 'ok', { withinMs: 60_000, everyMs: 200, what: 'the check is ok again' });
  t.diagnostic(`the check is ok again after ${Math.round(performance.now() - ended)} ms`);
  assert.deepEqual(product.fatal, []);
}
