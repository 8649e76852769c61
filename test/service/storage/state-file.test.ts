import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
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
    consequence: 'words are missing',
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

test('a damaged file is a check of health across restarts, until the file that was set aside is removed or a day has passed', async (t) => {
  const folder = tempDir(t);
  const file = path.join(folder, 'words');
  writeFileSync(file, 'nothing');
  const first = words(t, file);
  first.state.load();
  const asideNow = (): string => readdirSync(folder).find((name) => name.startsWith('words.damaged-')) ?? '';
  const [check] = first.state.checks();
  assert.equal(check?.status, 'warn');
  assert.equal(check.code, 'state_file_damaged');
  assert.ok(check.reason.includes('no words') && check.reason.includes(asideNow()), check.reason);
  assert.match(check.reason, /words are missing/);
  first.add('new');
  await first.state.stop();
  assert.equal(first.state.checks().length, 1, 'a good file in its place does not end it');

  const second = words(t, file);
  second.state.load();
  assert.equal(second.state.checks()[0]?.code, 'state_file_damaged', 'after a restart');
  assert.ok(second.state.checks()[0]?.reason.includes(asideNow()), 'names the file that is kept');
  rmSync(path.join(folder, asideNow()));
  const third = words(t, file);
  third.state.load();
  assert.deepEqual(third.state.checks(), [], 'the file that was set aside is removed');

  const dayAgo = new Date(Date.now() - 24.1 * 3600 * 1000).toISOString().replaceAll(/[-:]|\.\d+/g, '');
  writeFileSync(`${file}.damaged-${dayAgo}`, 'nothing');
  const fourth = words(t, file);
  fourth.state.load();
  assert.deepEqual(fourth.state.checks(), [], 'a day has passed');
});

test('a file that is damaged in part is a check of health before and after it is replaced', async (t) => {
  const file = path.join(tempDir(t), 'words');
  writeFileSync(file, 'words:a,B');
  const { state, add } = words(t, file);
  state.load();
  assert.match(state.checks()[0]?.reason ?? '', /^words was damaged \(odd\), it is kept until it is replaced/);
  add('new');
  await state.saved();
  assert.match(state.checks()[0]?.reason ?? '', /^words was damaged \(odd\), it is kept as words\.damaged-/);
});

test('a file that cannot be read, or not be written, is a check of health for as long', async (t) => {
  const folder = tempDir(t);
  const file = path.join(folder, 'words');
  writeFileSync(file, 'words:kept');
  const unreadable = new UnreadableFile(file);
  const { state, add } = words(t, file);
  state.load();
  assert.equal(state.checks()[0]?.code, 'state_file_unreadable');
  unreadable.return();
  await eventually(() => state.checks().length === 0, { what: 'it is read' });
  rmSync(file);
  mkdirSync(file);
  add('new');
  await state.saved();
  assert.equal(state.checks()[0]?.code, 'state_file_unwritable');
  rmdirSync(file);
  await eventually(() => state.checks().length === 0, { what: 'it is written' });
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
