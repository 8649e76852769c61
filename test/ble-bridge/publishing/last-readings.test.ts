import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { LastReadings } from '../../../ble-bridge/publishing/last-readings.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig, testLog } from '../../support/test-config.ts';

const FILE = 'last-readings.json';
const AT = '2026-11-22T19:00:00.123Z';

function started(t: TestContext, folder: string): LastReadings {
  const config = testConfig({ DATA_DIR: folder });
  const readings = new LastReadings(config, testLog(config));
  t.after(() => readings.stop());
  readings.start();
  return readings;
}

test('times are kept over a restart, and each is returned once', async (t) => {
  const folder = tempDir(t);
  const first = started(t, folder);
  first.read('strap-1', AT);
  await first.stop();
  const second = started(t, folder);
  assert.equal(second.take('strap-1'), AT);
  assert.equal(second.take('strap-1'), undefined);
});

test('an invalid entry is ignored, an invalid file counts as empty, and the next write replaces both', async (t) => {
  const folder = tempDir(t);
  const file = path.join(folder, FILE);
  writeFileSync(file, JSON.stringify({ 'strap-1': AT, 'strap-2': '2026', 'strap-3': 7, 'Not Good': AT }));
  const mixed = started(t, folder);
  assert.deepEqual(
    ['strap-1', 'strap-2', 'strap-3', 'Not Good'].map((device) => mixed.take(device)),
    [AT, undefined, undefined, undefined],
  );
  for (const text of ['{"strap-1":', '[]', 'null', '7']) {
    writeFileSync(file, text);
    const empty = started(t, folder);
    assert.equal(empty.take('strap-1'), undefined, text);
    empty.read('strap-4', AT);
    await empty.stop();
    assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), { 'strap-4': AT });
  }
});
