import assert from 'node:assert/strict';
import { statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DeviceNames } from '../../../ble-bridge/straps/device-names.ts';
import { parseAliases, StrapFilter, unmatchable } from '../../../ble-bridge/straps/strap-filter.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig, testLog } from '../../support/test-config.ts';

const log = testLog(testConfig({}));
const advertisement = (address: string, name: string | undefined, heartRate = true) => ({
  address,
  name,
  rssi: -50,
  serviceUuids: heartRate ? ['180d'] : ['180a'],
});

describe('device names', () => {
  const names = (DATA_DIR: string, aliases: string[] = []): DeviceNames => {
    const made = new DeviceNames({ DATA_DIR }, parseAliases(aliases), log);
    made.load();
    return made;
  };

  test('a name is the slug of the first name and the last three address bytes, and stays so after a restart', async (t) => {
    const folder = tempDir(t);
    const first = names(folder);
    assert.equal(first.of('c0:ff:ee:a1:b2:c3', 'Polar H10 ÄÖ', 'noble').known.device, 'polar-h10-ao-a1b2c3');
    assert.equal(first.of('c0:ff:ee:00:00:01', undefined, 'noble').known.device, 'strap-000001');
    await first.saved();
    const second = names(folder);
    assert.equal(second.of('c0:ff:ee:a1:b2:c3', 'Renamed', 'noble').known.device, 'polar-h10-ao-a1b2c3');
    assert.equal(second.of('c0:ff:ee:00:00:01', 'TICKR', 'noble').known.device, 'tickr-000001');
    assert.equal(second.of('c0:ff:ee:00:00:01', 'Renamed', 'noble').known.device, 'tickr-000001');
    second.of('c0:ff:ee:00:00:01', 'TICKR', 'noble');
    assert.equal(second.find('c0:ff:ee:00:00:01')?.name, 'TICKR');
  });

  test('two straps never share a name', (t) => {
    const made = names(tempDir(t));
    const devices = ['c0:00:00:a1:b2:c3', 'c0:00:01:a1:b2:c3', 'c0:01:01:a1:b2:c3'].map(
      (address) => made.of(address, 'HR', 'noble').known.device,
    );
    assert.equal(new Set(devices).size, 3);
  });

  test('an alias replaces the name, by device or address; a new alias reports the former name', async (t) => {
    const folder = tempDir(t);
    const plain = names(folder);
    plain.of('c0:ff:ee:a1:b2:c3', 'Polar H10', 'noble');
    await plain.saved();
    const aliased = names(folder, ['polar-h10-a1b2c3=anna', 'c0:ff:ee:00:00:02=Bert']);
    assert.deepEqual(aliased.of('c0:ff:ee:a1:b2:c3', undefined, 'noble'), {
      known: aliased.find('c0:ff:ee:a1:b2:c3'),
      renamedFrom: 'polar-h10-a1b2c3',
    });
    assert.equal(aliased.find('c0:ff:ee:a1:b2:c3')?.device, 'anna');
    assert.equal(aliased.of('c0:ff:ee:00:00:02', 'X', 'noble').known.device, 'bert');
    assert.throws(
      () => parseAliases(['a=b', 'c=b', 'nonsense', 'd=Not Good']),
      /duplicate alias b.*got nonsense.*got d=Not Good/s,
    );
  });

  test('a forgotten device is new when it returns; a damaged file loses only the names', async (t) => {
    const folder = tempDir(t);
    const made = names(folder);
    made.of('c0:ff:ee:a1:b2:c3', undefined, 'noble');
    assert.equal(made.forget('strap-a1b2c3')?.address, 'c0:ff:ee:a1:b2:c3');
    assert.equal(made.forget('strap-a1b2c3'), undefined);
    assert.equal(made.of('c0:ff:ee:a1:b2:c3', 'Polar', 'noble').known.device, 'polar-a1b2c3');
    await made.saved();
    writeFileSync(path.join(folder, 'devices.json'), '{"half":');
    const later = names(folder);
    assert.equal(later.of('c0:ff:ee:a1:b2:c3', 'Polar', 'noble').known.device, 'polar-a1b2c3');
    await later.saved();
  });

  test('an invalid entry of the file loses only its own name', (t) => {
    const folder = tempDir(t);
    const valid = { address: 'c0:ff:ee:a1:b2:c3', base: 'belt', device: 'anna', name: null, source: 'noble' };
    for (const wrong of [{ base: 'Not Good' }, { device: 'a/b' }, { source: 'other' }, { name: 7 }, { address: '' }]) {
      const other = { ...valid, address: 'c0:ff:ee:00:00:09', ...wrong };
      writeFileSync(path.join(folder, 'devices.json'), JSON.stringify([other, null, valid]));
      assert.deepEqual(names(folder).all, [valid], JSON.stringify(wrong));
    }
  });
});

describe('the strap filter', () => {
  const filter = (environment: Record<string, string>): StrapFilter => new StrapFilter(testConfig(environment));
  const polar = advertisement('c0:ff:ee:a1:b2:c3', 'Polar H10 12345678');

  test('without lists accepts straps that advertise a heart rate, and nothing else', () => {
    assert.equal(filter({}).judge(polar), 'wanted');
    assert.equal(filter({}).judge(advertisement('aa:00:00:00:00:01', 'Fridge', false)), 'no_strap');
  });

  test('with an allow list, the strap of a stranger is not accepted', () => {
    const mine = filter({ BLE_ALLOW: 'polar h10*,c0:ff:ee:00:00:09,anna' });
    assert.equal(mine.judge(polar), 'wanted');
    assert.equal(mine.judge(advertisement('c0:00:00:00:00:01', 'TICKR 1')), 'not_allowed');
    assert.equal(mine.judge(advertisement('c0:ff:ee:00:00:09', undefined)), 'wanted');
    assert.equal(mine.judge(advertisement('c0:00:00:00:00:02', 'HRM'), 'anna'), 'wanted');
  });

  test('BLE_DENY wins over BLE_ALLOW', () => {
    assert.equal(filter({ BLE_ALLOW: 'polar*', BLE_DENY: 'c0:ff:ee:*' }).judge(polar), 'denied');
  });

  test('a strap that does not advertise its service is matched by address or name, but not by a bare *', () => {
    const hidden = advertisement('c0:00:00:00:00:03', 'WHOOP 5', false);
    assert.equal(filter({ BLE_ALLOW: 'whoop*' }).judge(hidden), 'wanted');
    assert.equal(filter({ BLE_ALLOW: 'c0:00:00:00:00:03' }).judge(hidden), 'wanted');
    assert.equal(filter({ BLE_ALLOW: '*' }).judge(hidden), 'no_strap');
    assert.equal(filter({}).judge(hidden), 'no_strap');
    // An alias names one strap without excluding others.
    for (const named of ['c0:00:00:00:00:03=anna', 'whoop-5-000003=anna']) {
      const aliased = new StrapFilter(testConfig({}), parseAliases([named]));
      assert.equal(aliased.judge(hidden), 'wanted');
      assert.equal(aliased.judge(polar), 'wanted');
      assert.equal(aliased.judge(advertisement('c0:00:00:00:00:04', 'WHOOP 5', false)), 'no_strap');
    }
  });

  test('an allow list matches device names and aliases of new straps', () => {
    assert.equal(filter({ BLE_ALLOW: 'polar-h10-12345678-a1b2c3' }).judge(polar), 'wanted');
    assert.equal(
      new StrapFilter(testConfig({ BLE_ALLOW: 'anna' }), parseAliases(['c0:ff:ee:a1:b2:c3=anna'])).judge(polar),
      'wanted',
    );
    assert.equal(
      new StrapFilter(testConfig({ BLE_ALLOW: 'bert' }), parseAliases(['c0:ff:ee:a1:b2:c3=anna'])).judge(polar),
      'not_allowed',
    );
  });
});

describe('the forms in which straps are named', () => {
  const judge = (list: Record<string, string>, name: string | undefined = 'Polar H10 12345678') =>
    new StrapFilter(testConfig(list), parseAliases(testConfig(list).BLE_ALIASES)).judge(advertisement('c0:ff:ee:a1:b2:c3', name));

  for (const form of [
    'C0:FF:EE:A1:B2:C3',
    'c0-ff-ee-a1-b2-c3',
    'C0FFEEA1B2C3',
    'c0ff.eea1.b2c3',
    'C0 FF EE A1 B2 C3',
    'C0-FF-EE-*',
    'c0:ff:*',
    'C0FFEE*',
    '*-B2-C3',
    '*a1b2c3',
    'Polar H10 12345678',
    '"Polar H10 12345678"',
    'Polar\u00a0 H10 12345678',
    '*h10*',
    'polar h10*',
    'polar-h10-12345678-a1b2c3',
    'polar_h10_12345678_a1b2c3',
    'Polar_H10*',
    'POLAR-H10-12345678',
    'polar.h10.*',
    'polar\u2011h10*',
    'c0_ff_ee_a1_b2_c3',
  ])
    test(`${form} denies the strap, and allows only it`, () => {
      assert.equal(judge({ BLE_DENY: form }), 'denied');
      assert.equal(judge({ BLE_ALLOW: form }), 'wanted');
      assert.equal(judge({ BLE_ALLOW: 'other' }), 'not_allowed');
    });

  for (const form of [
    'C0-FF-EE-A1-B2-C3',
    'c0ffeea1b2c3',
    'C0FF.EEA1.B2C3',
    'C0-FF-EE-*',
    'Polar H10 12345678',
    'polar h10*',
    'Polar_H10*',
    'Polar-H10-12345678-A1B2C3',
    'polar_h10_12345678_a1b2c3',
  ])
    test(`${form} gives the strap its alias`, (t) => {
      const made = new DeviceNames({ DATA_DIR: tempDir(t) }, parseAliases([`${form}=anna`]), log);
      assert.equal(made.of('c0:ff:ee:a1:b2:c3', 'Polar H10 12345678', 'noble').known.device, 'anna');
      // Two straps of one name stay two devices.
      assert.notEqual(made.of('c0:ff:ee:a1:b2:c4', 'Polar H10 12345678', 'noble').known.device, 'anna');
    });

  test('quotation marks and dashes match those that people can type', () => {
    assert.equal(judge({ BLE_DENY: "Anna's Watch" }, 'Anna\u2019s Watch'), 'denied');
    assert.equal(judge({ BLE_DENY: 'HRM-Dual' }, 'HRM\u2013Dual'), 'denied');
    assert.equal(judge({ BLE_DENY: 'HRM' }, 'HRM-Dual'), 'wanted');
  });

  for (const name of ['a*', 'be*', 'be-*', 'c0*', 'facade'])
    test(`${name} is a name, not part of an address`, () => {
      assert.equal(judge({ BLE_DENY: name }, 'Polar'), name === 'c0*' ? 'denied' : 'wanted');
      const aliased = new DeviceNames({ DATA_DIR: '/nowhere' }, parseAliases([`${name}=anna`]), log);
      assert.equal(aliased.aliasKind('be:ad:fa:ca:de:00', 'Polar'), undefined);
    });

  for (const [setting, entry, reason] of [
    ['BLE_ALLOW', 'c0:ff:ee:a1:b2:cg', /six pairs/],
    ['BLE_ALLOW', 'CO-FF-EE-A1-B2-C3', /six pairs/],
    ['BLE_DENY', 'c0ffeea1b2c', /six pairs/],
    ['BLE_DENY', '00:00:00:00:00:00', /no device has this address/],
    ['BLE_DENY', 'x'.repeat(65), /longer than any name/],
    ['BLE_DENY', 'HR\u0007M', /removed from names/],
    ['BLE_ALIASES', 'c0:ff:ee:a1:b2', /six pairs/],
    ['BLE_DENY', 'c0 ff ee a1 b2', /six pairs/],
    ['BLE_DENY', 'c0_ff_ee_a1_b2_c', /six pairs/],
    ['BLE_ALLOW', 'Polar H10; TICKR', /separated by commas/],
    ['BLE_ALLOW', 'polar*|tickr*', /separated by commas/],
    ['BLE_ALLOW', 'c0:ff:ee:a1:b2:c3 c0:ff:ee:a1:b2:c4', /separated by commas/],
    ['BLE_DENY', '^polar', /regular expression/],
    ['BLE_DENY', '/polar/i', /regular expression/],
  ] as const)
    test(`${setting}=${JSON.stringify(entry).slice(0, 30)} is reported: no strap can match it`, () => {
      const [found] = unmatchable(testConfig({ [setting]: setting === 'BLE_ALIASES' ? `${entry}=anna` : entry }));
      assert.equal(found?.setting, setting);
      assert.match(found.reason, reason);
    });

  test('an entry that BLE_DENY excludes, or that a later alias replaces, is reported', () => {
    const config = testConfig({
      BLE_ALLOW: 'Polar H10*,TICKR*',
      BLE_DENY: 'polar*',
      BLE_ALIASES: 'c0ffeea1b2c3=anna,C0:FF:EE:A1:B2:C3=bert,polar h9*=cora',
    });
    assert.deepEqual(
      unmatchable(config).map(({ setting, entry }) => [setting, entry]),
      [
        ['BLE_ALLOW', 'Polar H10*'],
        ['BLE_ALIASES', 'c0ffeea1b2c3'],
        ['BLE_ALIASES', 'polar h9*'],
      ],
    );
    assert.deepEqual(
      unmatchable(testConfig({ BLE_ALIASES: 'polar*=a,Polar_H10*=b,polar-h10-a1b2c3=c,TICKR X=d,tickr_x=e' })).map(
        ({ entry, reason }) => [entry, reason],
      ),
      [
        ['Polar_H10*', 'the earlier entry polar* matches every strap that it matches'],
        ['tickr_x', 'the earlier entry TICKR X matches every strap that it matches'],
      ],
    );
    for (const fine of [
      'Polar H10*',
      'a*',
      'c0:ff:*',
      'polar-h10-a1b2c3',
      'HRM 12345',
      '*',
      'Forerunner 970',
      'Polar_H10',
      'be-at.1',
    ])
      assert.deepEqual(unmatchable(testConfig({ BLE_ALLOW: fine })), [], fine);
  });

  test('an entry that no strap can match is reported with its setting', () => {
    const config = testConfig({ BLE_ALLOW: 'c0:ff:ee,anna', BLE_DENY: 'c0:ff:ee:a1:b2:c3:d4', BLE_ALIASES: 'c0-ff=bert' });
    assert.deepEqual(
      unmatchable(config).map(({ setting, entry }) => [setting, entry]),
      [
        ['BLE_ALLOW', 'c0:ff:ee'],
        ['BLE_DENY', 'c0:ff:ee:a1:b2:c3:d4'],
      ],
    );
  });

  test('a strap without a name gets its device name with its first name, and keeps it', (t) => {
    const made = new DeviceNames({ DATA_DIR: tempDir(t) }, new Map(), log);
    assert.equal(made.of('c0:ff:ee:a1:b2:c3', undefined, 'noble').known.device, 'strap-a1b2c3');
    const { known, renamedFrom } = made.of('c0:ff:ee:a1:b2:c3', 'TICKR', 'noble');
    assert.deepEqual([known.device, renamedFrom], ['tickr-a1b2c3', 'strap-a1b2c3']);
    assert.equal(made.of('c0:ff:ee:a1:b2:c3', 'Other', 'noble').known.device, 'tickr-a1b2c3');
  });

  test('a name that a link tells leaves the device name as it is, and counts for aliases', (t) => {
    const folder = tempDir(t);
    const made = new DeviceNames({ DATA_DIR: folder }, parseAliases(['TICKR X*=anna']), log);
    made.of('c0:ff:ee:a1:b2:c3', undefined, 'noble');
    assert.deepEqual(made.of('c0:ff:ee:a1:b2:c3', 'Polar H10', 'noble', true), {
      known: made.find('c0:ff:ee:a1:b2:c3'),
      renamedFrom: undefined,
    });
    assert.deepEqual(
      [made.find('c0:ff:ee:a1:b2:c3')?.device, made.find('c0:ff:ee:a1:b2:c3')?.name],
      ['strap-a1b2c3', 'Polar H10'],
    );
    // Topics that people use stay, also if it advertises the name later.
    assert.equal(made.of('c0:ff:ee:a1:b2:c3', 'Polar H10 2', 'noble').known.device, 'strap-a1b2c3');
    assert.equal(made.of('c0:ff:ee:a1:b2:c4', 'TICKR', 'noble').known.device, 'tickr-a1b2c4');
    assert.equal(made.of('c0:ff:ee:a1:b2:c4', 'TICKR X 1', 'noble', true).renamedFrom, 'tickr-a1b2c4');
    assert.equal(made.find('c0:ff:ee:a1:b2:c4')?.device, 'anna');
    // What was advertised was the beginning of its name: it may be the strap that has the alias.
    made.of('c0:ff:ee:a1:b2:c5', 'TICKR', 'noble');
    assert.equal(made.aliasHolder('c0:ff:ee:a1:b2:c5', 'TICKR X 1'), undefined);
    assert.equal(made.aliasHolder('c0:ff:ee:a1:b2:c5', 'TICKR X 1', true)?.device, 'anna');
  });

  test('a strap that keeps changing its name keeps its alias, and is written at a bounded rate', async (t) => {
    const folder = tempDir(t);
    const made = new DeviceNames({ DATA_DIR: folder }, parseAliases(['A*=anna', 'B*=bert']), log);
    made.load();
    assert.equal(made.of('c0:ff:ee:a1:b2:c3', 'A1', 'noble').known.device, 'anna');
    const file = path.join(folder, 'devices.json');
    await made.saved();
    const first = statSync(file).ino;
    for (let change = 0; change < 200; change += 1)
      assert.equal(made.of('c0:ff:ee:a1:b2:c3', `${change % 2 === 0 ? 'B' : 'A'}${change}`, 'noble').renamedFrom, undefined);
    await sleep(300);
    // Each write replaces the file.
    assert.equal(statSync(file).ino, first, 'no further write within 5 s');
    await made.saved();
    assert.notEqual(statSync(file).ino, first, 'what has changed is written at the end');
  });

  test('beyond 2,000 kept names those that never delivered are dropped first', (t) => {
    const made = new DeviceNames({ DATA_DIR: tempDir(t) }, new Map(), log);
    made.of('c0:00:00:00:00:00', 'Mine', 'noble');
    made.delivered('c0:00:00:00:00:00');
    for (let n = 1; n <= 2100; n += 1) made.of(`d0:00:00:00:${(n >> 8).toString(16).padStart(2, '0')}:${n & 255}`, 'X', 'noble');
    assert.equal(made.all.length, 2000);
    assert.equal(made.find('c0:00:00:00:00:00')?.device, 'mine-000000');
  });

  test('an alias that moved to a new address is there after a restart, and the former address may take it back', async (t) => {
    const folder = tempDir(t);
    const aliases = parseAliases(['Fenix*=anna']);
    const first = new DeviceNames({ DATA_DIR: folder }, aliases, log);
    first.load();
    const [before, after] = ['c0:00:00:00:00:01', 'c0:00:00:00:00:02'];
    const { known } = first.of(before, 'Fenix 8', 'noble');
    assert.equal(first.aliasHolder(after, 'Fenix 8'), known);
    first.takeOver(known);
    assert.equal(first.of(after, 'Fenix 8', 'noble').known.device, 'anna');
    await first.saved();
    const second = new DeviceNames({ DATA_DIR: folder }, aliases, log);
    second.load();
    assert.equal(second.of(after, undefined, 'noble').known.device, 'anna');
    assert.equal(second.aliasHolder(before, 'Fenix 8')?.address, after);
    // Once both were in the air together they are two straps, for good.
    assert.equal(second.of(before, 'Fenix 8', 'noble').known.device, 'fenix-8-000001');
    second.setApart(before);
    assert.equal(second.aliasHolder(before, 'Fenix 8'), undefined);
    await second.saved();
  });
});
