import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { clockLine, diskLine } from '../../../cli/doctor/box-lines.ts';
import { radioLines } from '../../../cli/doctor/radio-lines.ts';
import type { AdapterPower } from '../../../service/bluetooth/hci-socket.ts';
import type { System } from '../../../cli/doctor/system.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig } from '../../support/test-config.ts';

const BOTH_CAPABILITIES = 'Name:\tnode\nCapEff:\t0000000000003000\n';

/** A system with these files, by path from the root. */
function makeSystem(t: TestContext, files: Record<string, string>): System {
  const root = tempDir(t);
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(path.join(root, path.dirname(file)), { recursive: true });
    writeFileSync(path.join(root, file), text);
  }
  return { root, sys: path.join(root, 'sys'), proc: path.join(root, 'proc') };
}

const HEALTHY = { 'sys/class/bluetooth/hci0/address': 'aa', 'proc/self/status': BOTH_CAPABILITIES, 'proc/1/comm': 'init\n' };
const on: AdapterPower[] = [{ devId: 0, devUp: true }];

/** The status of each radio line by its name, and each line by its name. */
function look(
  t: TestContext,
  files: Record<string, string>,
  options: { environment?: Record<string, string>; adapters?: () => AdapterPower[] } = {},
) {
  const lines = radioLines(
    testConfig({ BLE_SOURCE: 'noble', ...options.environment }),
    makeSystem(t, files),
    options.adapters ?? (() => on),
  );
  for (const { name, status, advice } of lines)
    assert.equal(advice === '', status === 'ok', `${name} has advice if and only if it is not ok`);
  return {
    statuses: Object.fromEntries(lines.map(({ name, status }) => [name, status])),
    line: (name: string) => lines.find((line) => line.name === name),
  };
}

describe('the doctor checks the radio', () => {
  test('an adapter that is present, powered, not blocked and not shared, with both capabilities, is ok on every line', (t) => {
    assert.deepEqual(look(t, HEALTHY).statuses, {
      adapter: 'ok',
      power: 'ok',
      rfkill: 'ok',
      capabilities: 'ok',
      bluetoothd: 'ok',
      'host network': 'ok',
    });
  });

  test('an installation without a compiled socket says so once, and what to do', (t) => {
    const adapters = (): AdapterPower[] => {
      throw Object.assign(new Error("Cannot find module '../build/Release/bluetooth_hci_socket.node'"), {
        code: 'MODULE_NOT_FOUND',
      });
    };
    const { line } = look(t, HEALTHY, { adapters });
    assert.equal(line('socket')?.status, 'fail');
    assert.equal(line('socket')?.found, 'no Bluetooth socket was built');
    assert.match(line('socket')?.advice ?? '', /python3, make and g\+\+/);
    assert.equal(line('power'), undefined);
    assert.equal(look(t, HEALTHY, { adapters, environment: { BLE_SOURCE: 'auto' } }).line('socket')?.status, 'warn');
  });

  test('a kernel without Bluetooth fails if BLE_SOURCE is noble, and warns if straps may be simulated', (t) => {
    const files = { 'proc/self/status': BOTH_CAPABILITIES };
    assert.equal(look(t, files).line('adapter')?.status, 'fail');
    assert.equal(look(t, files, { environment: { BLE_SOURCE: 'auto' } }).line('adapter')?.status, 'warn');
  });

  test('an adapter of another name fails, with the setting to change', (t) => {
    const line = look(t, { ...HEALTHY }, { environment: { BLE_ADAPTER: 'hci3' } }).line('adapter');
    assert.equal(line?.status, 'fail');
    assert.match(line.advice, /BLE_ADAPTER=hci0/);
  });

  test('an adapter is found by its address under any number; one of another address fails, with what is present', (t) => {
    const adapters = (): AdapterPower[] => [{ devId: 1, devUp: true, address: '00:1a:7d:da:71:13' }];
    const files = { ...HEALTHY, 'sys/class/bluetooth/hci1/uevent': '' };
    delete (files as Record<string, string>)['sys/class/bluetooth/hci0/address'];
    const mine = look(t, files, { environment: { BLE_ADAPTER: '00-1A-7D-DA-71-13' }, adapters });
    assert.deepEqual([mine.statuses['adapter'], mine.statuses['power']], ['ok', 'ok']);
    assert.match(mine.line('adapter')?.found ?? '', /^hci1 \(00:1a:7d:da:71:13\) is present$/);
    const other = look(t, files, { environment: { BLE_ADAPTER: '00:1A:7D:DA:71:14' }, adapters }).line('adapter');
    assert.equal(other?.status, 'fail');
    assert.match(other.found, /00:1A:7D:DA:71:14 is missing; present: hci1 \(00:1a:7d:da:71:13\)/);
    const untold = look(t, HEALTHY, { environment: { BLE_ADAPTER: '00:1A:7D:DA:71:14' } }).line('adapter');
    assert.equal(untold?.status, 'warn', 'the addresses are unknown');
    assert.deepEqual(look(t, files, { adapters }).statuses['adapter'], 'ok', 'without a setting any adapter is right');
  });

  test('an adapter that is powered off fails; an unknown power state warns, with its reason', (t) => {
    const off = look(t, HEALTHY, { adapters: () => [{ devId: 0, devUp: false }] }).line('power');
    assert.equal(off?.status, 'fail');
    assert.match(off.advice, /power on/);
    const unasked = look(t, HEALTHY, {
      adapters: () => {
        throw new Error('no socket');
      },
    }).line('power');
    assert.equal(unasked?.status, 'warn');
    assert.match(unasked.found, /no socket/);
  });

  for (const [kind, words] of [
    ['soft', /rfkill unblock/],
    ['hard', /hardware switch of this machine/],
  ] as const)
    test(`a ${kind} rfkill block of Bluetooth fails, that of another device does not`, (t) => {
      const blocked = {
        'sys/class/rfkill/rfkill1/type': 'bluetooth\n',
        'sys/class/rfkill/rfkill1/soft': '0\n',
        'sys/class/rfkill/rfkill1/hard': '0\n',
        [`sys/class/rfkill/rfkill1/${kind}`]: '1\n',
      };
      const line = look(t, { ...HEALTHY, ...blocked }).line('rfkill');
      assert.equal(line?.status, 'fail');
      assert.match(line.advice, words);
      assert.equal(look(t, { ...HEALTHY, ...blocked, 'sys/class/rfkill/rfkill1/type': 'wlan\n' }).line('rfkill')?.status, 'ok');
    });

  test('one of the two capabilities is not enough', (t) => {
    assert.equal(look(t, { ...HEALTHY, 'proc/self/status': 'CapEff:\t0000000000002000\n' }).line('capabilities')?.status, 'fail');
    assert.equal(look(t, { ...HEALTHY, 'proc/self/status': 'CapEff:\t0000000000001000\n' }).line('capabilities')?.status, 'fail');
  });

  test('a running bluetoothd is a warning, with the command that stops it', (t) => {
    const line = look(t, { ...HEALTHY, 'proc/77/comm': 'bluetoothd\n' }).line('bluetoothd');
    assert.equal(line?.status, 'warn');
    assert.match(line.advice, /systemctl disable --now bluetooth/);
  });

  test("a container with its own network warns, one in the host's network is ok", (t) => {
    const container = {
      ...HEALTHY,
      '.dockerenv': '',
      'sys/class/net/lo/ifindex': '1',
      'sys/class/net/lo/iflink': '1',
      'sys/class/net/eth0/ifindex': '12',
      'sys/class/net/eth0/iflink': '13',
    };
    const own = look(t, container);
    assert.equal(own.line('host network')?.status, 'warn');
    assert.match(own.line('host network')?.advice ?? '', /network_mode: host/);
    assert.equal(own.line('bluetoothd')?.status, 'warn', 'processes of the host are not visible from inside');
    assert.equal(look(t, { ...container, 'sys/class/net/eth0/iflink': '12' }).line('host network')?.status, 'ok');
  });
});

describe('the doctor checks the box', () => {
  test('a clock before the build year fails; one that the time service has not synchronized warns', (t) => {
    const now = new Date('2026-11-23T10:00:00Z');
    assert.equal(clockLine(new Date('1970-01-01T00:03:00Z'), makeSystem(t, {})).status, 'fail');
    assert.equal(clockLine(now, makeSystem(t, {})).status, 'ok');
    assert.equal(clockLine(now, makeSystem(t, { 'run/systemd/timesync/other': '' })).status, 'warn');
    assert.equal(clockLine(now, makeSystem(t, { 'run/systemd/timesync/synchronized': '' })).status, 'ok');
  });

  test('a disk without room for the limits of queue and outbox warns with both sizes, and a nearly full one fails', (t) => {
    const DATA_DIR = path.join(tempDir(t), 'not/yet/made');
    const small = testConfig({ DATA_DIR, QUEUE_MAX_BYTES: '2MiB', OUTBOX_MAX_BYTES: '2MiB' });
    assert.equal(diskLine(small).status, 'ok');
    const line = diskLine(testConfig({ DATA_DIR, QUEUE_MAX_BYTES: '1GiB', OUTBOX_MAX_BYTES: '256MiB' }), () => 500 * 2 ** 20);
    assert.equal(line.status, 'warn');
    assert.match(line.found, /^500 MiB free .* may grow to 1280 MiB$/);
    assert.equal(diskLine(small, () => 63 * 2 ** 20).status, 'fail');
  });
});
