/** Any broker, with any limit that brokers have: readings are stored, or within 15 s a check names the cause. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../../../support/eventually.ts';
import { assertTrueRun, type StrapBox } from './strap-box.ts';

export const NAMED_WITHIN_MS = 15_000;

/** What a test asks of its broker. */
export interface Demands {
  publishBytesMax?: number;
  filtersMax?: number;
  clientIdIsUsername?: boolean;
  /** The box may not read what the forwarder answers. */
  withoutStored?: boolean;
}

export interface Site {
  /** Makes a box on this broker. */
  box(options?: { name?: string; everyMs?: number }): Promise<StrapBox>;
  restart(): Promise<void>;
}

export interface MatrixBroker {
  name: string;
  /** Why it cannot run here, or undefined. */
  missing?: string | undefined;
  /** Skips the test, or fails it under CI. */
  start(t: TestContext, demands: Demands): Promise<Site | undefined>;
  /** What happens if the box may not read `stored`; undefined: the broker cannot be set up so. */
  withoutStored?: string;
  /** The code that names replaced client ids; undefined if that does not disturb this broker. */
  replacedClientIds?: string;
}

const BOX = 'front-desk';

async function allStored(box: StrapBox, atLeast: number): Promise<void> {
  await eventually(async () => (await box.stream.readAll()).length >= atLeast, {
    everyMs: 250,
    what: `${atLeast} readings in the stream`,
  });
  await box.stop('ble-bridge');
  const readings = await eventually(
    async () => {
      const all = await box.stream.readAll();
      await sleep(700);
      return (await box.stream.readAll()).length === all.length ? all : undefined;
    },
    { what: 'nothing more is shipped' },
  );
  const [run] = new Set(readings.map((reading) => reading.run));
  assert.ok(assertTrueRun(readings, run ?? '') >= atLeast);
}

async function named(box: StrapBox, code: string): Promise<string> {
  const startedAt = performance.now();
  const check = await eventually(async () => await box.failing(code), {
    withinMs: NAMED_WITHIN_MS,
    everyMs: 200,
    what: `a check that names ${code}`,
  });
  return `${check.name}: ${check.reason} (after ${((performance.now() - startedAt) / 1000).toFixed(1)} s)`;
}

async function startAll(box: StrapBox): Promise<void> {
  for (const name of ['admin-api', 'forwarder', 'ble-bridge'] as const) await box.start(name);
}

export function brokerMatrix(broker: MatrixBroker): void {
  const law = (words: string, demands: Demands, body: (t: TestContext, site: Site) => Promise<void>): void => {
    test(`${broker.name}, ${words}`, async (t) => {
      const site = await broker.start(t, demands);
      if (site !== undefined) await body(t, site);
    });
  };

  law('restarted: no reading is lost', {}, async (_, site) => {
    const box = await site.box();
    await startAll(box);
    await eventually(async () => (await box.stream.readAll()).length > 50);
    await site.restart();
    await allStored(box, 250);
  });

  law(
    'which swallows messages over 3,000 bytes: packets shrink, and every reading is stored',
    { publishBytesMax: 3000 },
    async (_, site) => {
      const box = await site.box({ everyMs: 5 });
      // What is held until the forwarder is there makes packets larger than the limit.
      await box.start('ble-bridge');
      await sleep(2500);
      await box.start('forwarder');
      await allStored(box, 600);
    },
  );

  law('which takes 8 filters a SUBSCRIBE: every reading is stored', { filtersMax: 8 }, async (_, site) => {
    const box = await site.box();
    await startAll(box);
    await allStored(box, 50);
  });

  const { withoutStored, replacedClientIds } = broker;
  if (withoutStored !== undefined)
    law(`which keeps stored from the box: ${withoutStored} names the cause`, { withoutStored: true }, async (t, site) => {
      const box = await site.box();
      await startAll(box);
      t.diagnostic(await named(box, withoutStored));
    });

  law(
    `which replaces client ids: ${replacedClientIds === undefined ? 'every reading is stored' : `${replacedClientIds} names the cause`}`,
    { clientIdIsUsername: true },
    async (t, site) => {
      const box = await site.box();
      await startAll(box);
      if (replacedClientIds === undefined) await allStored(box, 50);
      else t.diagnostic(await named(box, replacedClientIds));
    },
  );

  law('with two boxes of one name: second_forwarder names the other one on both', {}, async (t, site) => {
    const boxes = [await site.box({ name: BOX }), await site.box({ name: BOX })];
    for (const box of boxes) await startAll(box);
    for (const box of boxes) t.diagnostic(await named(box, 'second_forwarder'));
  });
}
