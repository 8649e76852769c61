/** Runs behaviours over the whole product: virtual radio, unmodified noble, bridge, broker, forwarder, local stream. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DeviceStatus } from '../../../contract/device-status.ts';
import { eventually } from '../../support/eventually.ts';
import { startRadioProduct, type RadioProduct } from '../support/radio-product.ts';
import type { StreamReading } from '../../system/pipeline/support/stream.ts';
import { startVirtualRadio, strapAddress, virtualRadioMissing, type VirtualRadio } from '../support/virtual-radio.ts';
import type { Behaviour } from './behaviour.ts';

/** Behaviours that run side by side: most of their time is waiting. */
const CONCURRENCY = 5;

/** A shard serves five reads a second (Kinesis' limit, which the local stream has as well): behaviours share what was read. */
const READ_EVERY_MS = 500;

class SharedStream {
  readonly #product: RadioProduct;
  #startedAt = -Infinity;
  #reading: Promise<StreamReading[]> | undefined;

  constructor(product: RadioProduct) {
    this.#product = product;
  }

  /** All readings, not older than the last but one read. */
  async read(): Promise<StreamReading[]> {
    if (this.#reading === undefined || performance.now() - this.#startedAt > READ_EVERY_MS) {
      this.#startedAt = performance.now();
      const before = this.#reading ?? Promise.resolve([]);
      this.#reading = before.catch(() => []).then(async () => await this.#product.readStream());
    }
    return await this.#reading;
  }
}

interface Run {
  radio: VirtualRadio;
  product: RadioProduct;
  stream: SharedStream;
}

const withoutRepetitions = (rates: readonly number[]): number[] => rates.filter((rate, index) => rate !== rates[index - 1]);

async function ratesOf({ stream }: Run, device: string | undefined): Promise<number[]> {
  const readings = (await stream.read()).filter((reading) => reading.device === device);
  return withoutRepetitions(readings.sort((a, b) => a.seq - b.seq).map(({ heart_rate }) => heart_rate));
}

/** What differs from the expectation, in words; undefined if nothing does. */
async function difference(run: Run, { expect }: Behaviour, status: DeviceStatus | undefined): Promise<string | undefined> {
  const shown = { state: status?.state ?? 'none', reason: status?.reason?.code, name: status?.name, device: status?.device };
  for (const field of ['state', 'reason', 'name', 'device'] as const)
    if (expect[field] !== undefined && shown[field] !== expect[field]) return `${field} ${JSON.stringify(shown[field])}`;
  const ends = status?.disconnects ?? {};
  if (expect.ended !== undefined && ends[expect.ended] === undefined) return `ends ${JSON.stringify(ends)}`;
  if (expect.rates === undefined) return undefined;
  const rates = await ratesOf(run, status?.device);
  return JSON.stringify(rates) === JSON.stringify(expect.rates) ? undefined : `rates ${rates.join(' ')}`;
}

async function play(run: Run, id: number, behaviour: Behaviour): Promise<number> {
  const { strap, steps = [], expect } = behaviour;
  const address = strap.address?.toLowerCase() ?? strapAddress(id);
  await run.radio.add(id, { name: `Strap${id}`, period: 0.5, ...strap });
  for (const { op, afterMs = 0, ...fields } of steps) {
    await sleep(afterMs);
    await run.radio.op(op, { id, ...fields });
  }
  const from = performance.now();
  let found: string | undefined;
  const current = (): DeviceStatus | undefined => run.product.deviceStatus(address);
  await eventually(async () => (found = await difference(run, behaviour, current())) === undefined, {
    withinMs: expect.withinMs,
    everyMs: 100,
  }).catch((error: unknown) => {
    throw new Error(`${expect.state} not within ${expect.withinMs} ms: ${found} (${JSON.stringify(current())})`, {
      cause: error,
    });
  });
  const tookMs = Math.round(performance.now() - from);
  const until = performance.now() + (expect.staysMs ?? 0);
  while (performance.now() < until) {
    await sleep(100);
    assert.equal(current()?.state ?? 'none', expect.state, 'the state stays');
  }
  const status = current();
  if (expect.reconnects !== undefined) assert.equal(status?.reconnects, expect.reconnects);
  if (expect.notEnded !== undefined) assert.equal(status?.disconnects?.[expect.notEnded], undefined);
  return tookMs;
}

/** In `npm test` one behaviour in this many runs; `catalogue.long.test.ts` runs all of them. */
const SAMPLED = 4;

/** A sample of a list of behaviours. */
export const sampleOf = (behaviours: readonly Behaviour[]): readonly Behaviour[] =>
  behaviours.filter((_, index) => index % SAMPLED === 0);

/** Registers one test per behaviour. `environment` is that of the bridge. */
export function runBehaviours(title: string, behaviours: readonly Behaviour[], environment: Record<string, string> = {}): void {
  describe(title, { skip: virtualRadioMissing(), concurrency: CONCURRENCY }, () => {
    const run = {} as Run;
    const ends: (() => unknown)[] = [];
    before(async () => {
      const owner = { after: (end: () => unknown): void => void ends.unshift(end) };
      run.radio = await startVirtualRadio(owner);
      run.product = await startRadioProduct(owner, run.radio, {
        environment: { BLE_SILENCE_MS: '3000', BLE_MAX_STRAPS: '64', ...environment },
      });
      run.stream = new SharedStream(run.product);
      await eventually(() => run.product.status()?.radio.state === 'powered_on');
    });
    after(async () => {
      for (const end of ends) await end();
    });
    for (const [index, behaviour] of behaviours.entries())
      test(`${behaviour.law} (${behaviour.source})`, async (t) => {
        const id = index + 1;
        t.diagnostic(`${await play(run, id, behaviour)} ms`);
        await run.radio.op('vanish', { id });
        assert.deepEqual(run.product.fatal, []);
      });
  });
}
