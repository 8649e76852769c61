/** Debian's Chromium, driven by playwright-core; pictures of what it showed stay in test-output/. */
import { existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core';

const PROGRAMS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const output = fileURLToPath(new URL('../../../../test-output/page/', import.meta.url));
const program = PROGRAMS.find((candidate) => existsSync(candidate));

/** Why no browser can run here, for `skip`; throws instead when CI=true. */
export function chromiumMissing(): string | false {
  if (program !== undefined) return false;
  if (process.env['CI'] === 'true') throw new Error('no Chromium in CI: install the Debian package chromium');
  return 'the page is not tested: no Chromium';
}

export async function startBrowser(t: Pick<TestContext, 'after'>): Promise<Browser> {
  // Tests run as root in containers, where Chromium has no sandbox.
  const browser = await chromium.launch({
    executablePath: program ?? '',
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
  });
  t.after(async () => await browser.close());
  return browser;
}

export interface OpenPage {
  page: Page;
  /** Errors of scripts, failed loads, and requests that left the box: all must stay empty. */
  faults: string[];
}

export async function openPage(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<OpenPage> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const faults: string[] = [];
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error') faults.push(message.text());
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(url) && !request.url().startsWith('data:'))
      faults.push(`a request left the box: ${request.url()}`);
  });
  await page.goto(`${url}/`);
  return { page, faults };
}

/** Keeps a picture of the whole page. */
export async function keepPicture(page: Page, name: string): Promise<void> {
  mkdirSync(output, { recursive: true });
  await page.screenshot({ path: path.join(output, `${name}.png`), fullPage: true });
}
