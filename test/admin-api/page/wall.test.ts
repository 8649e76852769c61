/** The wall view and the states of the page, on a running box whose straps the test plays. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { eventually } from '../../support/eventually.ts';
import { bridgeStatus, deviceStatus, serviceStatus } from '../../support/messages.ts';
import { chromiumMissing, keepPicture, openPage, startBrowser } from './support/chromium.ts';
import { startBox, type Box } from './support/page-pipeline.ts';

const { gridOf, zoneOf } = (await import(new URL('../../../admin-api/page/tiles.js', import.meta.url).href)) as {
  gridOf: (count: number, width: number, height: number) => { columns: number; rows: number };
  zoneOf: (bpm: number, highest: number | null) => { zone: number; percent: number } | undefined;
};

const PEOPLE = ['Anna', 'Bert Großmann', 'Carla', 'Dmitri', 'Élodie', 'Friedrich-Wilhelm von Hohenstein', '李小龙', 'Hatice'];
const SCREEN = { width: 1920, height: 1080 };

test('tiles fill any screen: as large as possible, and all of them on it', () => {
  assert.deepEqual(gridOf(1, 1900, 1000), { columns: 1, rows: 1 });
  assert.deepEqual(gridOf(3, 1900, 1000), { columns: 2, rows: 2 });
  assert.deepEqual(gridOf(12, 1900, 1000), { columns: 4, rows: 3 });
  assert.deepEqual(gridOf(30, 1900, 1000), { columns: 6, rows: 5 });
  assert.deepEqual(gridOf(3, 390, 800), { columns: 1, rows: 3 });
  for (let count = 1; count <= 60; count += 1) {
    const { columns, rows } = gridOf(count, 1900, 1000);
    assert.ok(columns * rows >= count && (columns - 1) * rows < count, `${count}: ${columns} × ${rows}`);
  }
});

test('a zone is a share of the highest heart rate; without one there is none', () => {
  assert.equal(zoneOf(120, null), undefined);
  for (const [bpm, zone] of [
    [99, 0],
    [100, 1],
    [119, 1],
    [120, 2],
    [140, 3],
    [160, 4],
    [179, 4],
    [180, 5],
    [230, 5],
  ] as const)
    assert.equal(zoneOf(bpm, 200)?.zone, zone, String(bpm));
  assert.equal(zoneOf(142, 190)?.percent, 75);
});

describe('wall and page with straps that the test plays', { skip: chromiumMissing() }, () => {
  const cleanups: (() => unknown)[] = [];
  const scope = { after: (cleanup: () => unknown) => void cleanups.push(cleanup) };
  let box: Box;
  let browser: Browser;
  let sending: NodeJS.Timeout | undefined;
  let count = 0;

  /** From now on so many straps stream; the first eight are worn by people with a highest heart rate. */
  function wear(straps: number): void {
    const now = new Date().toISOString();
    for (let index = 0; index < Math.max(straps, count); index += 1) {
      const device = `polar-h10-${String(index).padStart(6, '0')}`;
      const isThere = index < straps;
      const status = deviceStatus(device, { gateway: 'test-box', state: 'streaming', name: 'Polar H10', last_reading_at: now });
      box.bridgeClient.publish(`hr/${device}/status`, isThere ? JSON.stringify(status) : '', { retain: true });
      const name = index < PEOPLE.length ? PEOPLE[index] : `Person ${index + 1}`;
      const person = JSON.stringify({ name, max_heart_rate: index % 7 === 5 ? null : 190 });
      box.bridgeClient.publish(`edge/test-box/person/${device}`, isThere ? person : '', { retain: true });
    }
    count = straps;
  }

  function sendReadings(): void {
    for (let index = 0; index < count; index += 1) {
      const device = `polar-h10-${String(index).padStart(6, '0')}`;
      const reading = {
        timestamp: new Date().toISOString(),
        heart_rate: 78 + ((index * 13) % 110),
        device,
        gateway: 'test-box',
        run: '0123456789abcdef',
        seq: index + 1,
        rr_intervals_ms: [812.5, 790.04],
        sensor_contact: true,
        energy_expended_kj: null,
        clock: 'synced',
      };
      box.bridgeClient.publish(`hr/${device}/bpm`, JSON.stringify(reading));
    }
  }

  const text = async (page: Page, selector: string): Promise<string> =>
    (await page.locator(selector).first().textContent()) ?? '';

  before(async () => {
    box = await startBox(scope);
    browser = await startBrowser(scope);
    sending = setInterval(sendReadings, 700);
  });
  after(async () => {
    clearInterval(sending);
    for (const cleanup of cleanups.reverse()) await cleanup();
  });

  test('without a bridge nobody is told to put a strap on, on page and wall, and nothing that is not known is shown as 0', async () => {
    const { page, faults } = await openPage(browser, box.url);
    await eventually(async () => (await text(page, '#no-straps')).startsWith('Unknown: the bridge has not reported'), {
      what: 'the reason',
    });
    assert.equal(await text(page, '#held'), 'unknown');
    await keepPicture(page, 'no-bridge');
    await page.goto(`${box.url}/wall`);
    await eventually(async () => (await text(page, '#empty')).startsWith('Unknown: the bridge has not reported'));
    assert.deepEqual(faults, []);
    await page.context().close();
  });

  for (const straps of [1, 3, 12, 30])
    test(`the wall shows ${straps} at 1920 × 1080 without scrolling, readable from five metres`, async () => {
      wear(straps);
      const { page, faults } = await openPage(browser, box.url, { viewport: SCREEN });
      await page.goto(`${box.url}/wall`);
      await eventually(async () => (await page.locator('.tile:not(.old)').count()) === straps, { what: `${straps} tiles` });
      const seen = await page.evaluate<{
        scrolls: boolean;
        outside: number;
        bpm: number;
        name: number;
        tallest: number;
      }>(`(() => {
        const root = document.documentElement;
        const boxes = [...document.querySelectorAll('.tile, .tile > *')].map((part) => part.getBoundingClientRect());
        const size = (selector) =>
          Math.min(...[...document.querySelectorAll(selector)].map((part) => parseFloat(getComputedStyle(part).fontSize)));
        return {
          scrolls: root.scrollHeight > innerHeight || root.scrollWidth > innerWidth,
          outside: boxes.filter(({ bottom, right }) => bottom > innerHeight + 1 || right > innerWidth + 1).length,
          bpm: size('.bpm'),
          name: size('.tile h2'),
          tallest: Math.max(...[...document.querySelectorAll('.tile')].map((tile) => tile.scrollHeight - tile.clientHeight)),
        };
      })()`);
      assert.equal(seen.scrolls, false, 'it scrolls');
      assert.equal(seen.outside, 0, 'something is outside of the screen');
      assert.ok(seen.tallest <= 1, `a tile's content is ${seen.tallest} px too high`);
      // On a screen of 1.2 m, 1 px is 0.63 mm: digits of at least 40 mm, names of 15 mm.
      assert.ok(seen.bpm >= 90, `heart rates of ${seen.bpm} px`);
      assert.ok(seen.name >= 34, `names of ${seen.name} px`);
      assert.equal(await text(page, '[data-device="polar-h10-000000"] h2'), 'Anna');
      assert.match(await text(page, '[data-device="polar-h10-000000"] .below'), /^41 %$/);
      if (straps >= 12) {
        assert.equal(await page.locator('[data-device="polar-h10-000007"].zone-4').count(), 1, '169 of 190');
        assert.equal(await text(page, '[data-device="polar-h10-000005"] .below'), 'bpm', 'no zone without a highest heart rate');
      }
      await keepPicture(page, `wall-${straps}`);
      assert.deepEqual(faults, []);
      await page.context().close();
    });

  for (const straps of [0, 3, 20])
    test(`the page shows ${straps} straps on desk, phone and in the dark; nothing is too wide or cut off`, async () => {
      wear(straps);
      for (const [name, options] of [
        ['desk', {}],
        ['phone', { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true }],
        ['dark', { colorScheme: 'dark' }],
      ] as const) {
        // Each time: a bridge that stops reporting is offline.
        const bridge = serviceStatus('ble-bridge', { checks: [], bridge: bridgeStatus() });
        box.bridgeClient.publish('edge/test-box/ble-bridge/status', JSON.stringify(bridge), { retain: true });
        const { page, faults } = await openPage(browser, box.url, { reducedMotion: 'reduce', ...options });
        await eventually(async () => (await page.locator('.strap.good').count()) === straps, {
          what: `${straps} cards (${name})`,
        });
        if (straps === 0)
          await eventually(async () => (await text(page, '#no-straps')).startsWith('No strap found yet. Put one on'), {
            what: `advice (${name})`,
          });
        else assert.match(await text(page, '#straps-count'), new RegExp(`^${straps} of ${straps} streaming$`));
        const seen = await page.evaluate<{ width: number; screen: number; cut: string[] }>(`(() => {
          const isCut = (part) => getComputedStyle(part).overflowX === 'hidden' && part.scrollWidth > part.clientWidth + 1;
          const titles = 'h1, h2:not(.hidden-text), h3';
          const parts = [...document.querySelectorAll(titles + ', .state, .bpm, .rate, .device, .facts dd, .figures span, .what')];
          return {
            width: document.documentElement.scrollWidth,
            screen: innerWidth,
            cut: parts.filter((part) => part.offsetParent !== null && isCut(part)).map((part) => part.textContent),
          };
        })()`);
        assert.ok(seen.width <= seen.screen, `${name}: ${seen.width} px on ${seen.screen}`);
        assert.deepEqual(seen.cut, [], name);
        await keepPicture(page, `page-${straps}-${name}`);
        assert.deepEqual(faults, []);
        await page.context().close();
      }
    });
});
