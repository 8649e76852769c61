import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import type { ServiceStatus } from '../../../contract/service-status.ts';
import { virtualRadioMissing, type VirtualRadio } from '../../ble-radio/support/virtual-radio.ts';
import { readRecordings } from '../../../recordings/read-recordings.ts';
import { eventually } from '../../support/eventually.ts';
import { bridgeStatus, serviceStatus } from '../../support/messages.ts';
import { seriousFindings } from './support/axe.ts';
import { chromiumMissing, keepPicture, openPage, startBrowser, type OpenPage } from './support/chromium.ts';
import { appReading, startBox, type Box } from './support/page-pipeline.ts';

const missing = chromiumMissing() || virtualRadioMissing();

const text = async (page: Page, selector: string): Promise<string> => (await page.locator(selector).first().textContent()) ?? '';
const visible = async (page: Page, selector: string): Promise<boolean> => await page.locator(selector).first().isVisible();

describe('the live page on a running pipeline', { skip: missing }, () => {
  const cleanups: (() => unknown)[] = [];
  const scope = { after: (cleanup: () => unknown) => void cleanups.push(cleanup) };
  let box: Box;
  let radio: VirtualRadio;
  let browser: Browser;
  let open: OpenPage;
  let page: Page;

  before(async () => {
    box = await startBox(scope, { UPLINK_MAX_BYTES_PER_SECOND: '2000000' });
    ({ radio } = await box.startBridge());
    for (const [id, name] of [
      [1, 'Anna'],
      [2, 'Bert'],
      [3, 'Carla'],
    ] as const)
      await radio.add(id, { name, bpm: 60 + 10 * id, contact: true, battery: 90 - id, period: 0.5 });
    browser = await startBrowser(scope);
    open = await openPage(browser, box.url);
    ({ page } = open);
  });
  after(async () => {
    for (const cleanup of cleanups.reverse()) await cleanup();
  });

  test('each strap gets a card with heart rate, state, contact and battery; health reports that all is well', async () => {
    await eventually(async () => (await page.locator('.strap.good').count()) === 3, {
      withinMs: 60_000,
      what: 'three cards that stream',
    });
    for (const [id, name] of [
      [1, 'Anna'],
      [2, 'Bert'],
      [3, 'Carla'],
    ] as const) {
      const card = `[data-device="${name.toLowerCase()}-00000${id}"]`;
      assert.equal(await text(page, `${card} h3`), name);
      assert.equal(await text(page, `${card} .bpm`), String(60 + 10 * id));
      assert.equal(await text(page, `${card} .state`), 'streaming');
      await eventually(
        async () =>
          (await text(page, `${card} .battery`)) === `${90 - id} %` && (await text(page, `${card} .contact`)) === 'on skin',
      );
      assert.equal(await visible(page, `${card} .mark`), false, 'a real strap has no mark of a simulated one');
    }
    assert.equal(await visible(page, '#test-banner'), false);
    assert.equal(await text(page, '#gateway'), 'test-box');
    await eventually(async () => (await text(page, '#verdict')) === 'All is well', { what: 'all is well' });
  });

  test('numbers change as straps send them, and readings flow to the stream', async () => {
    await radio.op('hr', { id: 1, bpm: 142, contact: true });
    await eventually(async () => (await text(page, '[data-device="anna-000001"] .bpm')) === '142', {
      what: 'the new heart rate',
    });
    const shipped = Number((await text(page, '[data-ledger=shipped]')).replaceAll(',', ''));
    await eventually(async () => Number((await text(page, '[data-ledger=shipped]')).replaceAll(',', '')) > shipped, {
      what: 'a ledger that grows',
    });
    for (const link of ['heard', 'accepted', 'shipped'])
      await eventually(async () => (await page.locator(`[data-link=${link}].flows`).count()) === 1, {
        what: `a rate at ${link}`,
      });
    assert.equal(await page.locator('.node.good').count(), 4);
    assert.ok(
      (await page.locator('[data-device="anna-000001"] .line').getAttribute('d'))?.includes('L'),
      'the heart rate is drawn',
    );
    await keepPicture(page, 'streaming');
  });

  test('the card of a strap that falls silent changes within 5 s and says what to do, and the silence is drawn as a gap', async () => {
    // Observed in the page, by its own clock: the age that the card shows when it changes.
    await page.evaluate(`void (window.turned = new Promise((done) => {
      const card = document.querySelector('[data-device="bert-000002"]');
      new MutationObserver(() => {
        if (card.classList.contains('bad')) done(['.age', '.state'].map((part) => card.querySelector(part).textContent));
      }).observe(card, { attributes: true });
    }))`);
    // Its link stays: only the age of its readings tells, before the bridge calls it silent.
    await radio.op('quiet', { id: 2 });
    const [age = '', state = ''] = await page.evaluate<string[]>('window.turned');
    assert.ok(Number.parseInt(age, 10) <= 5, `turned at "${age}"`);
    assert.equal(state, 'no readings');
    assert.match(
      await text(page, '[data-device="bert-000002"] .advice'),
      /^The last reading is some seconds old. Wait: .*see Health\.$/,
    );
    await radio.op('vanish', { id: 2 });
    await eventually(
      async () => /^Connected, but no valid|^The link ended/.test(await text(page, '[data-device="bert-000002"] .advice')),
      {
        what: 'what its state means and what to do',
      },
    );
    assert.equal(await page.locator('.strap.good').count(), 2, 'the others continue');
    await eventually(async () => (await page.locator('[data-device="bert-000002"] rect.gaps').count()) > 0, { what: 'a gap' });
    await eventually(async () => (await text(page, '#straps-count')) === '2 of 3 streaming');
    await keepPicture(page, 'vanished');
  });

  test('the budget of a metered line is shown with what is used of it, on the page, in the API and as metrics', async () => {
    await eventually(async () => /, [\d.]+ of 2,000 kB\/s$/.test(await text(page, '[data-node=stream] .what')), {
      what: 'what is used of the line',
    });
    const { uplink } = (await (await fetch(`${box.url}/queue`)).json()) as { uplink: Record<string, unknown> };
    assert.equal(uplink['max_bytes_per_second'], 2_000_000);
    assert.equal(typeof uplink['bytes_per_second'], 'number');
    const metrics = await eventually(async () => {
      const answer = await (await fetch(`${box.url}/metrics`)).text();
      return /^hr_gateway_uplink_max_bytes_per_second\b.* 2000000$/m.test(answer) ? answer : undefined;
    });
    assert.match(metrics, /^hr_gateway_uplink_bytes_total\{.*direction="sent".*\} [1-9]/m);
  });

  test('a cut uplink shows its reason and what to do, readings wait, and it recovers automatically', async () => {
    await box.stream.faults({ request: 'expiredToken' });
    await eventually(async () => await visible(page, '#uplink'), { what: 'the notice' });
    assert.match(await text(page, '#uplink-what'), /Nothing has been uploaded since .*credentials expired/);
    assert.match(await text(page, '#uplink-hint'), /Renew the credentials/);
    assert.match(await text(page, '[data-node=stream] .what'), /credentials expired/);
    await eventually(async () => /Degraded: uplink, credentials expired/.test(await text(page, '#verdict')), {
      what: 'the verdict',
    });
    assert.match(await text(page, '#troubles'), /credentials_expired/);
    await eventually(async () => Number((await text(page, '#depth')).replaceAll(',', '')) > 3, { what: 'readings that wait' });
    assert.equal(await page.locator('[data-link=shipped].cut').count(), 1);
    assert.deepEqual(await seriousFindings(page), []);
    await keepPicture(page, 'uplink-cut');
    await box.stream.faults({});
    await eventually(async () => !(await visible(page, '#uplink')) && (await text(page, '#depth')) === '0', {
      withinMs: 90_000,
      what: 'the backlog to be shipped',
    });
  });

  test('the operator enters who wears a strap, scans, backs up, and downloads readings that our own replay reads', async () => {
    const other = await openPage(browser, box.url, { acceptDownloads: true });
    const { page: own } = other;
    const card = '[data-device="anna-000001"]';
    await eventually(async () => (await own.locator(card).count()) === 1);
    await own.locator('#token').fill(box.token);
    await own.keyboard.press('Enter');
    await eventually(async () => await visible(own, '#operate-actions'), { what: 'the login' });
    await own.locator(`${card} summary`).click();
    await own.locator(`${card} [name=person]`).fill('Änne <b>Müller</b>');
    await own.locator(`${card} [name=max]`).fill('189');
    await own.locator(`${card} [name=max]`).press('Enter');
    await eventually(async () => (await text(own, `${card} h3`)) === 'Änne <b>Müller</b>', { what: 'the name' });
    assert.match(await text(own, `${card} .device`), /^Anna · anna-000001$/);
    await eventually(async () => (await text(page, `${card} h3`)) === 'Änne <b>Müller</b>', { what: 'the name on another page' });
    await own.locator(`${card} [name=max]`).fill('20');
    await own.locator(`${card} [name=max]`).press('Enter');
    assert.equal(await text(own, `${card} .strap-answer`), 'Saved.', 'the browser does not send a heart rate of 20');
    assert.deepEqual(await seriousFindings(own), []);
    await keepPicture(own, 'operator');

    await own.locator('#scan').click();
    await eventually(async () => (await text(own, '#operate-answer')).startsWith('Scanning'), { what: 'the scan' });
    await own.locator('#backup').click();
    await eventually(async () => /^The queue was copied to .*backups/.test(await text(own, '#operate-answer')), {
      what: 'the backup',
    });

    assert.match(await text(own, `${card} .download`), /^Download readings since \d.* \(CSV\)$/);
    const [download] = await Promise.all([own.waitForEvent('download'), own.locator(`${card} .download`).click()]);
    assert.match(download.suggestedFilename(), /^anna-000001_\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}Z\.csv$/);
    const [recording] = await readRecordings(await download.path());
    assert.ok(recording !== undefined && recording.rows.length > 3, 'the file is a recording');
    assert.deepEqual(other.faults, []);

    await own.locator(`${card} [name=person]`).fill('');
    await own.locator(`${card} [name=max]`).fill('');
    await own.locator(`${card} [name=max]`).press('Enter');
    await eventually(async () => (await text(own, `${card} h3`)) === 'Anna', { what: "the strap's own name" });
    await own.context().close();
  });

  test("a dead letter is shown, and can be retried with the operator's token, using the keyboard only", async () => {
    await box.stream.faults({ request: 'rejectPoison' });
    box.app.publish('hr/lab/bpm', appReading(77, { note: 'poison' }));
    await eventually(async () => (await text(page, '#dead-count')) === '1', { withinMs: 60_000, what: 'a dead letter' });
    await box.stream.faults({});
    await page.locator('#token').focus();
    await page.keyboard.type('wrong');
    await page.keyboard.press('Enter');
    await eventually(async () => /not the operator's token/.test(await text(page, '#login-answer')), { what: 'a refusal' });
    open.faults.splice(0); // The browser reports the 401.
    await page.locator('#token').fill(box.token);
    await page.keyboard.press('Enter');
    await eventually(async () => await visible(page, '[data-dead]'), { what: 'the list' });
    assert.match(await text(page, '[data-dead]'), /refused by stream/);
    assert.deepEqual(await seriousFindings(page), []);
    await keepPicture(page, 'dead-letter');
    await page.locator('[data-dead] button').first().focus();
    await page.keyboard.press('Enter');
    await eventually(async () => /1 put back into the queue/.test(await text(page, '#dead-answer')), { what: 'the answer' });
    await eventually(async () => (await text(page, '#dead-count')) === '0', { what: 'no dead letter' });
    await eventually(
      async () => (await box.stream.readAll()).some(({ heart_rate, device }) => heart_rate === 77 && device === 'lab'),
      { everyMs: 200, what: 'the reading in the stream' },
    );
    const cookies = await page.context().cookies();
    assert.deepEqual(
      cookies.map(({ httpOnly, sameSite }) => [httpOnly, sameSite]),
      [[true, 'Strict']],
    );
  });

  test('a replayed source next to real straps is marked on its card and at the top', async () => {
    const say = setInterval(() => box.app.publish('hr/ride/bpm', appReading(123, { source: 'replay' })), 500);
    await eventually(
      async () =>
        (await text(page, '[data-device=ride] .mark')) === 'replay' && (await visible(page, '[data-device=ride] .mark')),
      { what: 'a mark' },
    );
    await eventually(
      async () =>
        (await text(page, '#test-banner')) === 'Some of these straps are a replay of a recording: no person wears them now.',
      { what: 'the banner' },
    );
    // No message reports that it is gone: the age of its last reading shows it.
    await page.evaluate(`void (window.turned = new Promise((done) => {
      const card = document.querySelector('[data-device=ride]');
      new MutationObserver(() => {
        if (!card.classList.contains('bad')) return;
        done([card.querySelector('.state').textContent, card.querySelector('.age').textContent]);
      }).observe(card, { attributes: true });
    }))`);
    clearInterval(say);
    const [state = '', age = ''] = await page.evaluate<string[]>('window.turned');
    assert.equal(state, 'no readings');
    assert.ok(Number.parseInt(age, 10) <= 5, `turned at "${age}"`);
    // The bridge does this when a strap is forgotten.
    box.bridgeClient.publish('hr/ride/status', '', { retain: true });
    await eventually(async () => (await page.locator('[data-device=ride]').count()) === 0, { what: 'the card to go' });
    await eventually(async () => !(await visible(page, '#test-banner')), { what: 'the banner to go' });
  });

  test('a bridge of another box has a row with its state and what it holds; the same check of two services has two names', async () => {
    assert.equal(await visible(page, '#other-bridges'), false);
    const publish = (changes: Partial<ServiceStatus>): void => {
      const status = serviceStatus('ble-bridge', { checks: [], ...changes });
      box.otherBridge.publish('edge/gym-2/ble-bridge/status', JSON.stringify(status), { retain: true });
    };
    const row = '[data-gateway="gym-2"]';
    const { outbox } = bridgeStatus();
    publish({ bridge: bridgeStatus({ outbox: { ...outbox, held: 1234 } }) });
    await eventually(async () => (await page.locator(row).count()) === 1, { what: 'the row' });
    assert.match(await text(page, row), /gym-2 online\s*1,234/);
    assert.deepEqual(await seriousFindings(page), []);
    publish({ state: 'offline' });
    await eventually(async () => /gym-2 offline\s*–/.test(await text(page, row)), { what: 'offline' });
    box.otherBridge.publish('edge/gym-2/ble-bridge/status', '', { retain: true });
    await eventually(async () => !(await visible(page, '#other-bridges')), { what: 'the card to go' });
    const checks = await page.locator('#checks li').allTextContents();
    for (const name of ['broker connection of ble-bridge', 'broker connection of forwarder'])
      assert.ok(checks.includes(name), checks.join(', '));
  });

  test('phone width: nothing is wider than the screen; dark mode; axe finds nothing serious in either', async () => {
    for (const [name, options] of [
      ['phone', { reducedMotion: 'reduce', viewport: { width: 375, height: 800 }, isMobile: true, hasTouch: true }],
      ['dark', { reducedMotion: 'reduce', colorScheme: 'dark' }],
      ['phone-dark', { reducedMotion: 'reduce', viewport: { width: 375, height: 800 }, isMobile: true, colorScheme: 'dark' }],
    ] as const) {
      const other = await openPage(browser, box.url, options);
      await eventually(
        async () => (await other.page.locator('.strap.good').count()) >= 2 && (await text(other.page, '#depth')) !== '–',
        { what: `cards (${name})` },
      );
      const { width, screen } = await other.page.evaluate<{ width: number; screen: number }>(
        '({ width: document.documentElement.scrollWidth, screen: window.innerWidth })',
      );
      assert.ok(width <= screen, `${name}: ${width} px on ${screen}`);
      assert.deepEqual(await seriousFindings(other.page), [], name);
      await keepPicture(other.page, name);
      assert.deepEqual(other.faults, [], name);
      await other.page.context().close();
    }
  });

  test('every control is reached by the Tab key and has a name', async () => {
    const other = await openPage(browser, box.url);
    const known = ((await (await fetch(`${box.url}/devices`)).json()) as unknown[]).length;
    await eventually(async () => (await other.page.locator('.strap').count()) === known, { what: 'all cards' });
    const names: string[] = [];
    for (;;) {
      await other.page.keyboard.press('Tab');
      const name = await other.page.evaluate<string>(
        `document.activeElement === document.body
          ? ''
          : (
              document.activeElement.getAttribute('aria-label') ||
              document.activeElement.labels?.[0]?.firstChild.textContent ||
              document.activeElement.textContent ||
              ''
            ).trim()`,
      );
      if (name === '' || name === names[0]) break;
      names.push(name);
    }
    const details = 'Arrivals by outcome, since the services started';
    assert.deepEqual(names, [
      'To the straps',
      'Wall view',
      ...Array.from({ length: known }, () => 'Manage'),
      details,
      "Operator's token",
      'Log in',
      'API',
      'OpenAPI',
      'Metrics',
      'Health as text',
    ]);
    await other.page.context().close();
  });

  test('/docs describes the API, with scripts from the box only', async () => {
    const other = await openPage(browser, box.url);
    await other.page.goto(`${box.url}/docs`);
    await eventually(async () => (await other.page.locator('.opblock').count()) > 15, { what: 'the routes' });
    assert.match(await text(other.page, '.info .title'), /hr-gateway admin API/);
    assert.deepEqual(other.faults, []);
    await keepPicture(other.page, 'docs');
    await other.page.context().close();
  });

  test('a forwarder that is gone is reported, and its last values are marked as last known', async () => {
    await box.stopForwarder();
    await eventually(async () => (await text(page, '[data-node=queue] .what')) === 'forwarder is offline', { what: 'the queue' });
    assert.match(await text(page, '[data-node=stream] .what'), /last known/);
    assert.match(await text(page, '#verdict'), /Degraded: forwarder, service offline/);
    await keepPicture(page, 'forwarder-gone');
  });

  test('no script failed, and no request left the box', () => {
    assert.deepEqual(open.faults, []);
  });
});

describe('a page that shows nothing without the token', { skip: chromiumMissing() }, () => {
  test('asks for it once, and then shows the box', async (t) => {
    const box = await startBox(t, { ADMIN_ANONYMOUS: 'none' });
    const say = setInterval(() => box.app.publish('hr/lab/bpm', appReading(88)), 500);
    t.after(() => clearInterval(say));
    const { page } = await openPage(await startBrowser(t), box.url);
    await eventually(async () => await visible(page, '#locked #token'), { what: 'the form' });
    assert.equal(await page.locator('.strap').count(), 0);
    assert.equal(await visible(page, 'main > section'), false, 'nothing is claimed that is not known');
    await page.locator('#token').fill('wrong');
    await page.keyboard.press('Enter');
    await eventually(async () => /not the operator's token/.test(await text(page, '#login-answer')), { what: 'a refusal' });
    await keepPicture(page, 'locked');
    await page.locator('#token').fill(box.token);
    await page.keyboard.press('Enter');
    await eventually(async () => (await text(page, '[data-device=lab] .bpm')) === '88' && !(await visible(page, '#locked')), {
      what: 'a card',
    });
    assert.equal(await visible(page, '#lost'), false);
    // The session ends elsewhere: the page shows nothing more, and asks for the token again.
    const [{ name, value } = { name: '', value: '' }] = await page.context().cookies();
    assert.ok(name === 'hr_gateway_session' && value !== box.token, `the cookie ${name}`);
    await fetch(`${box.url}/logout`, { method: 'POST', headers: { cookie: `${name}=${value}` } });
    await eventually(async () => await visible(page, '#locked #token'), { withinMs: 20_000, what: 'the form again' });
    await page.locator('#token').fill(box.token);
    await page.keyboard.press('Enter');
    await eventually(async () => !(await visible(page, '#locked')), { withinMs: 20_000, what: 'the box again' });
  });
});
