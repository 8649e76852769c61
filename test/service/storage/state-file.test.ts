import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { DeviceNames } from '../../../ble-bridge/straps/device-names.ts';
import { LastReadings } from '../../../ble-bridge/publishing/last-readings.ts';
import { StrapNames } from '../../../forwarder/intake/strap-names.ts';
import { DeviceClaims } from '../../../gateway/adoption/device-claims.ts';
import { RefusedMessages } from '../../../service/mqtt/refused-messages.ts';
import { StateFile } from '../../../service/storage/state-file.ts';
import { eventually } from '../../support/eventually.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig, testLog } from '../../support/test-config.ts';

const log = testLog(testConfig({}));

/** A file that cannot be read, and is not missing: until `return`, a folder is in its place. */
class UnreadableFile {
  readonly file: string;
  readonly #kept: string;

  constructor(file: string) {
    this.file = file;
    this.#kept = `${file}.kept`;
    renameSync(file, this.#kept);
    mkdirSync(file);
  }

  return(): void {
    rmdirSync(this.file);
    renameSync(this.#kept, this.file);
  }
}

/** A set of words. */
function words(t: TestContext, file: string): { known: Set<string>; state: StateFile<string[]>; add: (word: string) => void } {
  const known = new Set<string>();
  const state = new StateFile<string[]>({
    file: () => file,
    name: 'words',
    log,
    retryMs: 20,
    parse: (text) => {
      if (!text.startsWith('words:')) return { ok: false, reason: 'no words' };
      const all = text.slice(6).split(',');
      return {
        ok: true,
        value: all.filter((word) => /^[a-z]+$/.test(word)),
        fault: all.every((word) => /^[a-z]+$/.test(word)) ? undefined : 'odd',
      };
    },
    onLoaded: (kept) => kept.forEach((word) => known.add(word)),
    text: () => `words:${[...known].sort().join(',')}`,
  });
  t.after(() => state.stop());
  const add = (word: string): void => {
    known.add(word);
    state.changed();
  };
  return { known, state, add };
}

test('a file that cannot be read is not replaced; once it can, what it holds is merged with what has changed', async (t) => {
  const file = path.join(tempDir(t), 'words');
  writeFileSync(file, 'words:kept');
  const unreadable = new UnreadableFile(file);
  const { known, state, add } = words(t, file);
  state.load();
  add('changed');
  await state.saved();
  assert.equal(state.isLoaded, false);
  unreadable.return();
  await eventually(() => readFileSync(file, 'utf8') === 'words:changed,kept', { what: 'both are in the file' });
  assert.deepEqual([...known].sort(), ['changed', 'kept']);
});

test('a service that ends before the file could be read leaves it as it was', async (t) => {
  const file = path.join(tempDir(t), 'words');
  writeFileSync(file, 'words:kept');
  const unreadable = new UnreadableFile(file);
  const { state, add } = words(t, file);
  state.load();
  add('changed');
  await state.stop();
  unreadable.return();
  assert.equal(readFileSync(file, 'utf8'), 'words:kept');
});

test('a damaged file is set aside, each one; one that is damaged in part is used and kept', async (t) => {
  const folder = tempDir(t);
  const file = path.join(folder, 'words');
  const texts = ['nothing', 'words:a,B', 'nothing else'];
  for (const text of texts) {
    writeFileSync(file, text);
    const { known, state, add } = words(t, file);
    state.load();
    add('new');
    await state.stop();
    assert.deepEqual([...known].sort(), text.startsWith('words') ? ['a', 'new'] : ['new']);
    assert.equal(readFileSync(file, 'utf8'), `words:${[...known].sort().join(',')}`);
  }
  const aside = readdirSync(folder).filter((name) => /^words\.damaged-\d{8}T\d{6}Z(-\d+)?$/.test(name));
  assert.deepEqual(aside.map((name) => readFileSync(path.join(folder, name), 'utf8')).sort(), texts.sort());
});

test('a failed write is repeated until it succeeds', async (t) => {
  const folder = tempDir(t);
  const file = path.join(folder, 'words');
  const { state, add } = words(t, file);
  state.load();
  // A folder cannot be replaced by a file.
  mkdirSync(file);
  add('new');
  await state.saved();
  rmdirSync(file);
  await eventually(() => readdirSync(folder).includes('words') && readFileSync(file, 'utf8') === 'words:new', {
    what: 'it is written',
  });
});

test('names of straps at gateway, forwarder and bridge outlive a start at which the disk does not return them', async (t) => {
  const folder = tempDir(t);
  const config = testConfig({ DATA_DIR: folder });
  const OURS = 'front-desk';
  const claimsFile = path.join(folder, 'device-claims.json');
  const strapsFile = path.join(folder, 'strap-names.json');
  const makers = {
    claims: () => {
      const claims = new DeviceClaims();
      claims.keepIn(claimsFile, log);
      return claims;
    },
    straps: () => {
      const straps = new StrapNames({
        isDelivering: () => true,
        refused: new RefusedMessages('forwarder', log),
        file: strapsFile,
        log,
      });
      straps.start();
      return straps;
    },
    names: () => {
      const names = new DeviceNames(config, new Map(), log);
      names.load();
      return names;
    },
    readings: () => {
      const readings = new LastReadings(config, log);
      readings.start();
      return readings;
    },
  };
  const first = { claims: makers.claims(), straps: makers.straps(), names: makers.names(), readings: makers.readings() };
  first.claims.note('hr/polar/bpm', 10);
  first.straps.delivered('polar', OURS);
  const { device } = first.names.of('c0:ff:ee:a1:b2:c3', 'Polar H10', 'noble').known;
  first.readings.read('polar', '2026-11-22T19:00:00.123Z');
  const files = ['device-claims.json', 'strap-names.json', 'devices.json', 'last-readings.json'].map((name) =>
    path.join(folder, name),
  );
  for (const each of Object.values(first)) await each.stop();

  const unreadable = files.map((file) => new UnreadableFile(file));
  const second = { claims: makers.claims(), straps: makers.straps(), names: makers.names(), readings: makers.readings() };
  second.claims.note('hr/wahoo/bpm', 10);
  second.straps.delivered('wahoo', OURS);
  second.names.of('c0:ff:ee:a1:b2:c3', 'Other Name', 'noble');
  second.readings.read('wahoo', '2026-11-22T19:00:01.123Z');
  unreadable.forEach((each) => each.return());
  for (const each of Object.values(second)) await each.stop();

  const third = { claims: makers.claims(), straps: makers.straps(), names: makers.names(), readings: makers.readings() };
  for (const name of ['polar', 'wahoo']) {
    assert.ok(third.claims.has(name), `claims: ${name}`);
    assert.ok(third.straps.has(name), `straps: ${name}`);
    assert.notEqual(third.readings.take(name), undefined, `readings: ${name}`);
  }
  assert.equal(third.names.of('c0:ff:ee:a1:b2:c3', 'Other Name', 'noble').known.device, device, 'the fixed name');
  for (const each of Object.values(third)) await each.stop();
});
