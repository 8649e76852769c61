/** Runs behaviours over the whole product: virtual radio, unmodified noble, bridge, broker, forwarder, local stream. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DeviceStatus } from '../../../contract/device-status.ts';
import { eventually } from '../../support/eventually.ts';
import { NotifiedValues } from '../support/air.ts';
import { startRadioProduct, type RadioProduct } from '../support/radio-product.ts';
import type { StreamReading } from '../../system/pipeline/support/stream.ts';
import {
  startVirtualRadio,
  strapAddress,
  virtualRadioMissing,
  type StrapSpec,
  type VirtualRadio,
} from '../support/virtual-radio.ts';
import type { Behaviour, Expectation, RatesInTurn } from './behaviour.ts';

/** Behaviours that run side by side: most of their time is waiting. */
const CONCURRENCY = 5;

/** A shard serves five reads a second (Kinesis' limit, which the local stream has as well): behaviours share what was read. */
const READ_EVERY_MS = 500;

/** The straps beside the first of a behaviour have its number plus a multiple of this. */
const OTHERS_FROM = 100;

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
  values: NotifiedValues;
}

/** One strap of a behaviour, and what is expected of it. */
class Subject {
  readonly id: number;
  readonly address: string;
  readonly spec: StrapSpec;
  readonly expect: Expectation;
  readonly #run: Run;

  constructor(run: Run, id: number, { strap, expect }: { strap: StrapSpec; expect: Expectation }) {
    this.#run = run;
    this.id = id;
    this.spec = strap;
    this.expect = expect;
    this.address = strap.address?.toLowerCase() ?? strapAddress(id);
  }

  status(): DeviceStatus | undefined {
    return this.#run.product.deviceStatus(this.address);
  }

  /** Its readings in the stream, under whatever name: device names end with digits of the address, unless an alias gave one. */
  async readings(): Promise<StreamReading[]> {
    const suffix = `-${this.address.replaceAll(':', '').slice(-6)}`;
    const own = ({ device }: StreamReading): boolean => device === this.expect.device || device.endsWith(suffix);
    return (await this.#run.stream.read()).filter(own).sort((a, b) => a.seq - b.seq);
  }

  async rates(): Promise<number[]> {
    return (await this.readings()).map(({ heart_rate }) => heart_rate);
  }

  /** What differs from the expectation, in words; undefined if nothing does. */
  async difference(): Promise<string | undefined> {
    const { expect } = this;
    const status = this.status();
    const shown = { state: status?.state ?? 'none', reason: status?.reason?.code, name: status?.name, device: status?.device };
    for (const field of ['state', 'reason', 'name', 'device'] as const)
      if (expect[field] !== undefined && shown[field] !== expect[field]) return `${field} ${JSON.stringify(shown[field])}`;
    const ends = status?.disconnects ?? {};
    if (expect.ended !== undefined && ends[expect.ended] === undefined) return `ends ${JSON.stringify(ends)}`;
    const rates = await this.rates();
    return ratesAreAs(rates, expect.rates) ? undefined : `rates ${rates.join(' ')}`;
  }

  /** Every value that reached noble on a subscribed link is one reading, in order, and there is no other. */
  async assertComplete(): Promise<void> {
    const { periph } = await this.#run.radio.state();
    await this.#run.radio.op('quiet', { id: this.id });
    const handle = periph[String(this.id)]?.handles.hrm ?? 0;
    const sent = (): number[] => this.#run.values.of(this.address, handle).flatMap(pulseIn);
    let found: number[] = [];
    await eventually(async () => isDeepEqual((found = await this.rates()), this.#due(sent(), found.length)), {
      withinMs: 15_000,
      everyMs: 200,
      what: 'all values that reached noble in the stream',
    }).catch((error: unknown) => {
      throw new Error(`sent ${sent().join(' ')}, in the stream ${found.join(' ')}`, { cause: error });
    });
  }

  /** Which of the values that reached noble are due: before a subscription, and after an end from our side, they are not. */
  #due(sent: readonly number[], count: number): readonly number[] {
    if (this.spec.force === true) return sent.slice(-count);
    return this.expect.state === 'none' ? sent.slice(0, count) : sent;
  }
}

const isDeepEqual = (a: readonly number[], b: readonly number[]): boolean => JSON.stringify(a) === JSON.stringify(b);
const withoutRepetitions = (rates: readonly number[]): number[] => rates.filter((rate, index) => rate !== rates[index - 1]);

function ratesAreAs(rates: readonly number[], expected: readonly number[] | RatesInTurn): boolean {
  if (!('inTurn' in expected)) return isDeepEqual(withoutRepetitions(rates), expected);
  const { inTurn } = expected;
  return (
    rates.length >= 2 * inTurn.length &&
    inTurn.some((_, offset) => rates.every((rate, index) => rate === inTurn[(offset + index) % inTurn.length]))
  );
}

/** The heart rate in a value of 0x2A37 (HRS v1.0, 3.1), if it has one and it is not 0. */
function pulseIn(value: Buffer): number[] {
  const wide = ((value[0] ?? 0) & 1) === 1;
  if (value.length < (wide ? 3 : 2)) return [];
  const rate = wide ? value.readUInt16LE(1) : value.readUInt8(1);
  return rate === 0 ? [] : [rate];
}

async function waitUntilAsExpected(subject: Subject): Promise<void> {
  const { withinMs, state } = subject.expect;
  let found: string | undefined;
  await eventually(async () => (found = await subject.difference()) === undefined, { withinMs, everyMs: 100 }).catch(
    (error: unknown) => {
      const status = JSON.stringify(subject.status());
      throw new Error(`${state} not within ${withinMs} ms: ${found ?? 'no difference in the end'} (${status})`, { cause: error });
    },
  );
}

/** The state has to stay; readings have to arrive as often as they should. */
async function assertStays(subject: Subject): Promise<void> {
  const { staysMs = 0, state, rates, pauseMaxMs } = subject.expect;
  const from = performance.now();
  while (performance.now() < from + staysMs) {
    await sleep(100);
    if (pauseMaxMs === undefined) assert.equal(subject.status()?.state ?? 'none', state, 'the state stays');
  }
  // When they arrived at the bridge: how late they are in the stream depends on the machine's load.
  const arrivedAt = (await subject.readings()).map(({ timestamp }) => Date.parse(timestamp));
  const longestMs = Math.max(...arrivedAt.slice(1).map((at, index) => at - (arrivedAt[index] ?? at)));
  if (pauseMaxMs !== undefined) assert.ok(longestMs < pauseMaxMs, `no reading for ${longestMs} ms`);
  if (!('inTurn' in rates)) return;
  const perSecond = (1000 * (arrivedAt.length - 1)) / ((arrivedAt.at(-1) ?? 0) - (arrivedAt[0] ?? 0));
  assert.ok(perSecond > rates.perSecond / 2, `${perSecond.toFixed(1)} readings a second, not ${rates.perSecond}`);
}

/** Returns the time until everything was as expected, in ms. */
async function play(run: Run, id: number, behaviour: Behaviour): Promise<number> {
  const others = (behaviour.others ?? []).map((other, index) => new Subject(run, id + OTHERS_FROM * (index + 1), other));
  const subject = new Subject(run, id, behaviour);
  const all = [subject, ...others];
  for (const { id: own, spec } of all) await run.radio.add(own, { name: `Strap${own}`, period: 0.5, ...spec });
  for (const { op, afterMs = 0, ...fields } of behaviour.steps ?? []) {
    await sleep(afterMs);
    await run.radio.op(op, { id, ...fields });
  }
  const from = performance.now();
  await Promise.all(all.map(waitUntilAsExpected));
  const tookMs = Math.round(performance.now() - from);
  await Promise.all(all.map(assertStays));
  for (const { expect, ...one } of all.map((each) => ({ expect: each.expect, status: each.status() }))) {
    if (expect.reconnects !== undefined) assert.equal(one.status?.reconnects, expect.reconnects);
    if (expect.notEnded !== undefined) assert.equal(one.status?.disconnects?.[expect.notEnded], undefined);
  }
  await Promise.all(all.map(async (each) => await each.assertComplete()));
  for (const { id: own } of all) await run.radio.op('vanish', { id: own });
  return tookMs;
}

/** In `npm test` one behaviour in this many runs; `catalogue.long.test.ts` runs all of them. */
const SAMPLED = 4;

/** A sample of a list of behaviours. */
export const sampleOf = (behaviours: readonly Behaviour[]): readonly Behaviour[] =>
  behaviours.filter(({ slow }) => slow !== true).filter((_, index) => index % SAMPLED === 0);

/** Registers one test per behaviour. `environment` is that of the bridge. */
export function runBehaviours(title: string, behaviours: readonly Behaviour[], environment: Record<string, string> = {}): void {
  describe(title, { skip: virtualRadioMissing(), concurrency: CONCURRENCY }, () => {
    const run = {} as Run;
    const ends: (() => unknown)[] = [];
    before(async () => {
      const owner = { after: (end: () => unknown): void => void ends.unshift(end) };
      run.values = new NotifiedValues(owner);
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
        t.diagnostic(`${await play(run, index + 1, behaviour)} ms`);
        assert.deepEqual(run.product.fatal, []);
      });
  });
}
