/** Adapters that come and go under several numbers and addresses, over the virtual radio. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../../support/eventually.ts';
import { startBench, type RadioBench } from './radio-bench.ts';
import { startVirtualRadio, type VirtualRadio } from './virtual-radio.ts';

const MINE = '11:22:33:44:55:aa';
const OTHER = '11:22:33:44:55:bb';

interface Adapter {
  number: number;
  address: string;
  up: boolean;
  /** Blocked by rfkill. */
  soft?: boolean;
  /** The kernel's management interface does not tell its address. */
  untold?: boolean;
}

// The preloaded module reads the variable once.
const folder = mkdtempSync(path.join(tmpdir(), 'hr-gateway-adapters-'));
const file = path.join(folder, 'adapters.json');
process.env['NOBLE_HCI_ADAPTERS'] = file;
after(() => rmSync(folder, { recursive: true, force: true }));

/** What the kernel lists from now on; `plugged` is the address of the one that noble reaches. */
async function list(radio: VirtualRadio, plugged: string, ...adapters: Adapter[]): Promise<void> {
  await radio.op('public', { address: plugged });
  writeFileSync(file, JSON.stringify(adapters));
}

async function start(
  t: TestContext,
  setting: string | undefined,
  plugged: string,
  ...adapters: Adapter[]
): Promise<{ radio: VirtualRadio; bench: RadioBench }> {
  const radio = await startVirtualRadio(t);
  await radio.add(1, { name: 'HR1', bpm: 71, period: 0.3 });
  await list(radio, plugged, ...adapters);
  const bench = await startBench(t, radio, { environment: setting === undefined ? {} : { BLE_ADAPTER: setting } });
  return { radio, bench };
}

const check = (bench: RadioBench): { status: string; reason: string; hint: string } => {
  const found = bench.session.checks().find(({ name }) => name === 'radio');
  if (found === undefined) throw new Error('no check of the radio');
  return found;
};

async function reports(bench: RadioBench, reason: RegExp, hint: RegExp): Promise<void> {
  await eventually(() => reason.test(check(bench).reason), {
    what: `${reason} (is ${check(bench).reason})`,
    withinMs: 15_000,
  }).catch((error: unknown) => {
    throw new Error(`the check says: ${JSON.stringify(check(bench))}`, { cause: error });
  });
  assert.equal(check(bench).status, 'fail');
  assert.match(check(bench).hint, hint);
}

/** How an adapter may be chosen. */
const SETTINGS = {
  unset: ['without a setting', undefined],
  address: ['by its address', MINE.toUpperCase().replaceAll(':', '-')],
  number: ['by the number that it had', 'hci0'],
} as const;

/** Registers tests that an adapter is followed to another number. */
export function followsAdapters(...kinds: (keyof typeof SETTINGS)[]): void {
  const settings = kinds.map((kind) => SETTINGS[kind]);
  for (const [title, setting] of settings)
    test(`an adapter that was chosen ${title} is followed to another number, and health is accurate meanwhile`, async (t) => {
      const { radio, bench } = await start(t, setting, MINE, { number: 0, address: MINE, up: true });
      await bench.flows(1, 2);
      assert.equal(bench.session.status().adapter, 'hci0');
      await list(radio, MINE);
      await radio.op('unplug');
      await reports(bench, /no Bluetooth adapter answers/, /Plug in the adapter/);
      assert.equal(bench.session.status().adapter, null);
      await list(radio, MINE, { number: 1, address: MINE, up: true });
      await bench.flows(1, 2);
      assert.equal(bench.session.status().adapter, 'hci1');
      assert.equal(check(bench).status, 'ok');
      await bench.settled();
      assert.equal((await radio.state()).ext.length, 1, 'one noble');
    });
}

/** Registers tests of adapters that are not the wanted one. */
export function tellsAdaptersApart(): void {
  test('an address is found among several adapters, also if the kernel does not tell addresses', async (t) => {
    const other = { number: 0, address: OTHER, up: true };
    const { radio, bench } = await start(t, MINE, MINE, other, { number: 1, address: MINE, up: true });
    await bench.flows(1, 2);
    assert.equal(bench.session.status().adapter, 'hci1');
    // Now noble alone can tell: the first one that it opens is the other adapter.
    await list(radio, OTHER, { ...other, untold: true });
    await radio.op('unplug');
    await reports(
      bench,
      /there is no Bluetooth adapter with the address 11:22:33:44:55:aa; present: hci0/,
      /correct BLE_ADAPTER/,
    );
    assert.equal(bench.session.status().adapter, null);
    // noble has opened it by now, and was told which one it is.
    const { length } = bench.readings;
    await sleep(4000);
    assert.equal(bench.readings.length, length, 'the other adapter is not used');
    assert.equal(check(bench).status, 'fail');
    await bench.settled();
  });

  test('an adapter of another address does not take the place of the one that is named', async (t) => {
    const { radio, bench } = await start(t, MINE, OTHER, { number: 0, address: OTHER, up: true });
    await reports(
      bench,
      /there is no Bluetooth adapter with the address 11:22:33:44:55:aa; present: hci0 \(11:22:33:44:55:bb\)/,
      /BLE_ADAPTER/,
    );
    await list(radio, MINE, { number: 0, address: OTHER, up: true }, { number: 1, address: MINE, up: true });
    await bench.flows(1, 1);
    assert.equal(bench.session.status().adapter, 'hci1');
  });

  test('a number that is missing is reported with what is present, and not replaced', async (t) => {
    const { bench } = await start(t, 'hci3', OTHER, { number: 0, address: OTHER, up: true });
    await reports(bench, /there is no Bluetooth adapter hci3; present: hci0 \(11:22:33:44:55:bb\)/, /BLE_ADAPTER/);
  });
}

/** Registers a test of an adapter that is off. */
export function reportsAdaptersThatAreOff(): void {
  test('an adapter that is powered off, or blocked by rfkill, is reported as that, and used once it is on', async (t) => {
    const mine = { number: 0, address: MINE, up: true };
    const { radio, bench } = await start(t, undefined, MINE, mine);
    await bench.flows(1, 1);
    await list(radio, MINE, { ...mine, up: false });
    await reports(bench, /hci0 \(11:22:33:44:55:aa\) is powered off/, /power on/);
    await list(radio, MINE, { ...mine, up: false, soft: true });
    await reports(bench, /hci0 \(11:22:33:44:55:aa\) is blocked by software \(rfkill\)/, /rfkill unblock bluetooth/);
    await list(radio, MINE, mine);
    await bench.flows(1, 1);
    assert.equal(check(bench).status, 'ok');
    await bench.settled();
  });
}
