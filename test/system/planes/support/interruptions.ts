/**
 * Plain QoS 1 publishers while gateway and forwarder are killed or restarted. Laws: every reading whose PUBACK was received is in the
 * stream; at most those are there twice that were in flight when the gateway ended.
 */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { cannotRun } from '../../../support/cannot-run.ts';
import { eventually } from '../../../support/eventually.ts';
import { seeded } from '../../../support/seeded.ts';
import { mosquittoPublisher, mqttJsPublisher, pahoPublisher, type Publisher } from './publishers.ts';
import { TwoPlanesBox, type Part } from './two-planes-box.ts';

const CALM_MS = 3000;
/** Between two interruptions the publishers get as many PUBACKs, so that each interruption hits traffic. */
const ACKNOWLEDGED_BETWEEN = 60;

export interface Account {
  interruptions: number;
  published: number;
  acknowledged: number;
  byPublisher: readonly number[];
  twice: number;
  inFlightAtTheEnds: number;
  pubackP50Ms: number;
  pubackP99Ms: number;
  seconds: number;
}

/** The nearest-rank quantile; NaN of nothing. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** The publishers, some 400 publishes a second together; undefined, and the test is skipped, if one is not installed. */
async function startPublishers(t: TestContext, port: number): Promise<Publisher[] | undefined> {
  const mosquitto = await mosquittoPublisher(t, { port, user: 'app', device: 'Pub', rate: 20 });
  if (mosquitto === undefined) {
    cannotRun(t, 'mosquitto_pub is not installed');
    return undefined;
  }
  const paho = await pahoPublisher(t, { port, user: 'app', device: 'Paho', rate: 120 });
  if (paho === undefined) {
    cannotRun(t, 'paho-mqtt cannot be installed');
    return undefined;
  }
  return [
    mqttJsPublisher(t, { port, user: 'app', device: 'Bike1', rate: 130 }),
    mqttJsPublisher(t, { port, user: 'app', device: 'Bike2', rate: 130 }),
    paho,
    mosquitto,
  ];
}

export interface InterruptOptions {
  count: number;
  signal: 'SIGKILL' | 'SIGTERM';
  /** Which part ends next; at random if left out. */
  parts?: readonly Part[];
  seed?: number;
  /** Further settings of the box. */
  environment?: Readonly<Record<string, string>>;
}

/** Readings arrive in the stream for as long as the queue has some: without a new one for this long there is none. */
const STREAM_QUIET_MS = 10_000;

/** What is in the stream once it has all of these readings, or gets no further ones. */
async function storedWhenQuiet(box: TwoPlanesBox, known: readonly string[]): Promise<Map<string, number>> {
  let stored = await box.stored();
  let grewAtMs = performance.now();
  while (known.some((key) => !stored.has(key)) && performance.now() - grewAtMs < STREAM_QUIET_MS) {
    await sleep(500);
    const { size } = stored;
    stored = await box.stored();
    if (stored.size > size) grewAtMs = performance.now();
  }
  return stored;
}

export async function interruptAtRandom(
  t: TestContext,
  { count, signal, parts, seed = 1, environment = {} }: InterruptOptions,
): Promise<Account | undefined> {
  const startedAt = performance.now();
  const random = seeded(seed);
  const box = await TwoPlanesBox.start(t, { app: { publish: ['hr/#'] } }, environment);
  const publishers = await startPublishers(t, box.port);
  if (publishers === undefined) return undefined;
  const acknowledged = (): number => publishers.reduce((sum, publisher) => sum + publisher.acknowledged.size, 0);
  await eventually(() => publishers.every((publisher) => publisher.acknowledged.size > 0), { what: 'first PUBACKs of all' });
  await sleep(CALM_MS);
  const calm = publishers.flatMap(({ latenciesMs }) => [...latenciesMs]);

  let inFlightAtTheEnds = 0;
  for (let done = 0; done < count; done += 1) {
    const before = acknowledged();
    await eventually(() => acknowledged() >= before + ACKNOWLEDGED_BETWEEN, { what: `PUBACKs after interruption ${done}` });
    await sleep(random() * 300);
    const part = parts?.[done % parts.length] ?? (random() < 0.5 ? 'gateway' : 'forwarder');
    if (part === 'gateway') inFlightAtTheEnds += publishers.reduce((sum, { inFlight }) => sum + inFlight, 0);
    await box.interrupt(part, signal);
  }
  await Promise.all(publishers.map(async (publisher) => await publisher.finish()));

  const known = publishers.flatMap((publisher) => [...publisher.acknowledged]);
  const stored = await storedWhenQuiet(box, known);
  const lost = known.filter((key) => !stored.has(key));
  assert.deepEqual(lost.slice(0, 10), [], `${lost.length} acknowledged readings are not in the stream (seed ${seed})`);
  const twice = [...stored.values()].reduce((sum, times) => sum + times - 1, 0);
  const account: Account = {
    interruptions: count,
    published: publishers.reduce((sum, { published }) => sum + published, 0),
    acknowledged: known.length,
    byPublisher: publishers.map((publisher) => publisher.acknowledged.size),
    twice,
    inFlightAtTheEnds,
    pubackP50Ms: Math.round(quantile(calm, 0.5) * 10) / 10,
    pubackP99Ms: Math.round(quantile(calm, 0.99) * 10) / 10,
    seconds: Math.round((performance.now() - startedAt) / 1000),
  };
  t.diagnostic(JSON.stringify(account));
  assert.ok(twice <= inFlightAtTheEnds, `${twice} are in the stream twice, ${inFlightAtTheEnds} were in flight (seed ${seed})`);
  return account;
}
