import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { chooseAdapter, listedAdapters, wantedAdapter, type Adapter } from '../../../service/bluetooth/adapter.ts';
import { parseReadInfo } from '../../../service/bluetooth/hci-socket.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig } from '../../support/test-config.ts';

const A = '00:1a:7d:da:71:13';
const B = '00:1a:7d:da:71:14';
const hci0: Adapter = { number: 0, address: A, isUp: true };
const hci1: Adapter = { number: 1, address: B, isUp: true };

describe('BLE_ADAPTER', () => {
  for (const form of ['00:1A:7D:DA:71:13', '00-1a-7d-da-71-13', '001A7DDA7113'])
    test(`${form} is an address`, () => assert.deepEqual(wantedAdapter(testConfig({ BLE_ADAPTER: form })), { address: A }));

  test('hci3 is a number; without a value any adapter is wanted', () => {
    assert.deepEqual(wantedAdapter(testConfig({ BLE_ADAPTER: 'hci3' })), { number: 3 });
    assert.equal(wantedAdapter(testConfig({ BLE_ADAPTER: '' })), undefined);
  });

  for (const wrong of ['hci', 'hci-1', 'HCI0', '00:1a:7d:da:71', '00:1a:7d:da:71:13:00', '00:1a:7d:da:71:1g', 'bluetooth'])
    test(`${wrong} is refused`, () => assert.throws(() => testConfig({ BLE_ADAPTER: wrong }), /BLE_ADAPTER: must be hci0/));

  for (const [title, setting, present, last, expected] of [
    ['an address is found under any number', B, [hci0, hci1], undefined, 1],
    ['an address that is not there is certainly missing', A, [hci1], undefined, undefined],
    ['an address is looked for among adapters that do not tell theirs', A, [hci1, { number: 4 }], undefined, 4],
    ['a number is that number, whatever its address', 'hci1', [hci0, hci1], undefined, 1],
    ['a number is tried even if the kernel does not list it', 'hci7', [hci0], undefined, 7],
    ['the adapter in use is followed to its new number', 'hci0', [{ ...hci0, number: 2 }], hci0, 2],
    ['another adapter does not replace the number that is named', 'hci0', [hci1], hci0, 0],
    ['without a value the first that is powered on is used', undefined, [{ ...hci0, isUp: false }, hci1], undefined, 1],
    ['without a value one that is powered off is used if there is no other', undefined, [{ ...hci0, isUp: false }], undefined, 0],
    [
      'without a value the adapter in use is followed',
      undefined,
      [
        { ...hci1, number: 0 },
        { ...hci0, number: 5 },
      ],
      hci0,
      5,
    ],
    ['without a value another adapter takes over if the one in use is gone', undefined, [hci1], hci0, 1],
    ['without any list noble is asked', undefined, [], undefined, 0],
  ] as const)
    test(title, () => {
      const config = testConfig(setting === undefined ? {} : { BLE_ADAPTER: setting });
      assert.equal(chooseAdapter(config, present, last), expected);
    });
});

describe('the adapters that the kernel lists', () => {
  test('have number, address if it is told, and what blocks them; other entries are ignored', (t) => {
    const sys = tempDir(t);
    const file = (name: string, text: string): void => {
      mkdirSync(path.dirname(path.join(sys, 'class/bluetooth', name)), { recursive: true });
      writeFileSync(path.join(sys, 'class/bluetooth', name), text);
    };
    file('hci10/uevent', '');
    file('hci2/address', `${A.toUpperCase()}\n`);
    file('hci2/rfkill4/soft', '1\n');
    file('hci2/rfkill4/hard', '0\n');
    file('hci3/rfkill5/hard', '1\n');
    file('hci3/address', '00:00:00:00:00:00\n');
    file('hci2:11/uevent', '');
    assert.deepEqual(listedAdapters(sys), [
      { number: 2, address: A, blockedBy: 'software' },
      { number: 3, blockedBy: 'hardware' },
      { number: 10, blockedBy: undefined },
    ]);
    assert.deepEqual(listedAdapters(path.join(sys, 'nowhere')), []);
  });

  test('the answer of the management interface is read; cut and foreign ones are not', () => {
    // Command Complete for Read Controller Information of hci1: address, version 9, manufacturer, supported and current settings.
    const answer = Buffer.from(
      '01000100' + '1301' + '0400' + '00' + '1371da7d1a00' + '09' + '0f00' + 'ffff0100' + '81060000',
      'hex',
    );
    assert.deepEqual(parseReadInfo(answer), { adapter: 1, info: { address: A, isUp: true } });
    assert.equal(parseReadInfo(Buffer.concat([answer.subarray(0, 22), Buffer.of(0x80, 6, 0, 0)]))?.info?.isUp, false);
    assert.deepEqual(parseReadInfo(Buffer.from('0200010003000400' + '11', 'hex')), { adapter: 1, info: undefined });
    for (let length = 0; length < answer.length; length += 1)
      assert.equal(parseReadInfo(answer.subarray(0, length))?.info, undefined);
    assert.equal(parseReadInfo(Buffer.from('0600010004000100' + '00000000', 'hex')), undefined);
  });
});
