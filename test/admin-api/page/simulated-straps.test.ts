import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { eventually } from '../../support/eventually.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { startOneProcess } from '../../system/pipeline/support/one-process.ts';
import { chromiumMissing, keepPicture, openPage, startBrowser } from './support/chromium.ts';

describe('simulated straps on the page', { skip: chromiumMissing() }, () => {
  test('are marked on every card and at the top; the page reports a lost connection, and reconnects', async (t) => {
    const folder = tempDir(t);
    const first = startOneProcess(t, folder, { SIMULATED_STRAPS: '2' });
    const { admin } = await first.addresses();
    const browser = await startBrowser(t);
    const { page } = await openPage(browser, admin);
    await eventually(async () => (await page.locator('.strap.test .mark').count()) === 2, { what: 'marked cards' });
    assert.equal(await page.locator('.strap .mark').first().textContent(), 'simulated');
    assert.match((await page.locator('#test-banner').textContent()) ?? '', /These straps are simulated: no person wears them/);
    await keepPicture(page, 'simulated');
    await first.end();
    await eventually(async () => await page.locator('#lost').isVisible(), { what: 'the page to say that it has lost the box' });
    await keepPicture(page, 'lost');
    const again = startOneProcess(t, folder, { ADMIN_PORT: new URL(admin).port, SIMULATED_STRAPS: '2' });
    await again.addresses();
    await eventually(
      async () => !(await page.locator('#lost').isVisible()) && (await page.locator('.strap.good').count()) === 2,
      {
        what: 'the page to come back',
      },
    );
  });
});
