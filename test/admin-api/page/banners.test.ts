/** Faults at the top of the page, each really caused, and what the operator does about them by the page's buttons. */
import assert from 'node:assert/strict';
import { closeSync, openSync, writeSync } from 'node:fs';
import { after, before, describe, test, type TestContext } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { appendOf, fileOf, openFile } from '../../forwarder/queue/support/queue-files.ts';
import { eventually } from '../../support/eventually.ts';
import { startProduct } from '../../support/product-process.ts';
import { seriousFindings } from './support/axe.ts';
import { chromiumMissing, keepPicture, openPage, startBrowser } from './support/chromium.ts';
import { startBox } from './support/page-pipeline.ts';

const text = async (page: Page, selector: string): Promise<string> => (await page.locator(selector).first().textContent()) ?? '';
const banner = (kind: string): string => `[data-banner=${kind}]`;

/** A queue with rows, some of whose pages hold something else. */
function damagedQueue(folder: string): void {
  const queue = openFile(folder);
  for (let seq = 1; seq <= 2000; seq += 100) queue.commit([appendOf(seq, 100)]);
  queue.checkpoint();
  queue.close();
  const file = openSync(fileOf(folder), 'r+');
  writeSync(file, Buffer.alloc(60_000, 0x5a), 0, 60_000, 40_000);
  closeSync(file);
}

async function logIn(page: Page, token: string): Promise<void> {
  await page.locator('#token').fill(token);
  await page.keyboard.press('Enter');
  await eventually(async () => await page.locator('#operate-actions').isVisible(), { what: 'the login' });
}

describe('banners of the page', { skip: chromiumMissing() }, () => {
  const cleanups: (() => unknown)[] = [];
  const scope = { after: (cleanup: () => unknown) => void cleanups.push(cleanup) };
  let browser: Browser;
  before(async () => {
    browser = await startBrowser(scope);
  });
  after(async () => {
    for (const cleanup of cleanups.reverse()) await cleanup();
  });
  const shown = async (t: TestContext, url: string): Promise<Page> => {
    const { page } = await openPage(browser, url);
    t.after(async () => await page.context().close());
    return page;
  };

  test('a damaged queue is reported with what was lost, until the operator acknowledges it by its button', async (t) => {
    const box = await startBox(t, {}, damagedQueue);
    const page = await shown(t, box.url);
    await eventually(async () => (await page.locator(banner('damage')).count()) === 1, { withinMs: 30_000, what: 'the banner' });
    assert.match(await text(page, banner('damage')), /^The queue file was damaged\./);
    const { checks } = (await (await fetch(`${box.url}/health`)).json()) as { checks: Record<string, string>[] };
    const check = checks.find(({ code }) => code === 'queue_damaged');
    assert.ok(check !== undefined, 'health has the damage');
    for (const part of ['reason', 'hint']) assert.ok((await text(page, banner('damage'))).includes(check[part] ?? '-'), part);
    assert.match(await text(page, banner('damage')), /Log in as the operator, below, to acknowledge it\.$/);
    assert.equal(await page.locator('#acknowledge').count(), 0, 'nobody else has the button');
    await logIn(page, box.token);
    const heightOf = async (state: string): Promise<number> =>
      await page.evaluate<number>(`document.querySelector('.troubles .state.${state}').getBoundingClientRect().height`);
    assert.equal(await heightOf('warn'), await heightOf('bad'), 'neither word is broken into two lines');
    await keepPicture(page, 'banner-damage');
    assert.deepEqual(await seriousFindings(page), []);
    await page.locator('#acknowledge').click();
    await eventually(async () => (await text(page, '#operate-answer')) === 'The damage was acknowledged.', {
      what: 'the answer',
    });
    await eventually(async () => (await page.locator(banner('damage')).count()) === 0, { what: 'the banner to go' });
  });

  test('an adapter that does not work is reported, and the page does not ask for a strap', async (t) => {
    const box = await startBox(t);
    // A process of its own: noble's timer would keep this one alive.
    const noble = { BLE_SOURCE: 'noble', BLE_ADAPTER: 'hci7', GATEWAY_NAME: 'test-box' };
    startProduct(t, 'ble-bridge/main', { ...noble, DATA_DIR: box.folder, MQTT_URL: box.mqttUrl });
    const page = await shown(t, box.url);
    await eventually(async () => (await page.locator(banner('radio')).count()) === 1, { withinMs: 40_000, what: 'the banner' });
    assert.match(await text(page, banner('radio')), /^The Bluetooth adapter does not work\./);
    assert.notEqual(await text(page, `${banner('radio')} .hint`), '');
    assert.match(await text(page, '#no-straps'), /^None: the Bluetooth adapter does not work \(.+\)\.$/);
    await keepPicture(page, 'banner-radio');
    await page.goto(`${box.url}/wall`);
    await eventually(async () => (await text(page, '#empty')).startsWith('None: the Bluetooth adapter'), {
      what: 'the wall to say so',
    });
    await keepPicture(page, 'wall-radio');
  });

  test('a disk without space is reported with what to do', async (t) => {
    const box = await startBox(t, { QUEUE_MIN_FREE_DISK_BYTES: '1023GiB' });
    const page = await shown(t, box.url);
    await eventually(async () => (await page.locator(banner('disk')).count()) === 1, { withinMs: 30_000, what: 'the banner' });
    assert.match(await text(page, banner('disk')), /^Trouble with the disk\..*QUEUE_MIN_FREE_DISK_BYTES/s);
    assert.notEqual(await text(page, `${banner('disk')} .hint`), '');
    await keepPicture(page, 'banner-disk');
  });

  test('the operator forgets a strap by its button, once the question is answered with yes', async (t) => {
    const box = await startBox(t);
    const first = await box.startSimulated({ SIMULATED_STRAPS: '2' });
    const page = await shown(t, box.url);
    const card = '[data-device="simulated-rest-000000"]';
    await eventually(async () => (await page.locator('.strap.good').count()) === 2, { withinMs: 60_000, what: 'two straps' });
    // It has left: the next bridge does not find it again.
    await first.stop();
    await box.startSimulated({ SIMULATED_STRAPS: '2', BLE_DENY: 'simulated-rest-*' });
    await eventually(async () => (await page.locator('.strap.good').count()) === 1, { withinMs: 60_000, what: 'the other one' });
    await logIn(page, box.token);
    await page.locator(`${card} summary`).click();
    const asked: string[] = [];
    let answer = false;
    page.on('dialog', (dialog) => {
      asked.push(dialog.message());
      void (answer ? dialog.accept() : dialog.dismiss());
    });
    await page.locator(`${card} .forget`).click();
    await eventually(() => asked.length === 1, { what: 'the question' });
    assert.match(asked[0] ?? '', /^Forget simulated-rest-000000\?/);
    assert.equal(await page.locator(card).count(), 1, 'no: nothing happens');
    answer = true;
    await page.locator(`${card} .forget`).click();
    await eventually(async () => (await page.locator(card).count()) === 0, { withinMs: 20_000, what: 'the card to go' });
    const devices = (await (await fetch(`${box.url}/devices`)).json()) as { device: string }[];
    assert.deepEqual(
      devices.map(({ device }) => device),
      ['simulated-intervals-000001'],
    );
  });
});
