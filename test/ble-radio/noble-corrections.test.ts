/** Corrections of noble's connections and packets, at moments that a real controller produces only by chance. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { describe, test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseAdvertisingData } from '../../ble-bridge/radio/noble/advertising-reports.ts';
import { NobleRadio } from '../../ble-bridge/radio/noble/noble-radio.ts';
import { RadioError } from '../../ble-bridge/radio/radio-error.ts';
import type { Advertisement, RadioConnection } from '../../ble-bridge/radio/radio.ts';
import { eventually } from '../support/eventually.ts';
import { testConfig, testLog } from '../support/test-config.ts';
import { advertisingData } from './behaviours/behaviour.ts';
import { COMMAND, startScriptedController, type ScriptedController } from './support/scripted-controller.ts';
import { nobleMissing } from './support/noble-missing.ts';

const STRAP = 'c0:00:00:00:00:01';
const OTHER = 'c0:00:00:00:00:02';
const HANDLE = 0x40;
const HEART_RATE = advertisingData({ uuids: ['180d'], name: 'Strap' });

interface Setup {
  controller: ScriptedController;
  radio: NobleRadio;
  advertisements: Advertisement[];
  /** Reasons of ended links. */
  ends: string[];
  connect(signal?: AbortSignal): Promise<RadioConnection>;
  /** Connects the strap with the handle HANDLE. */
  connected(): Promise<RadioConnection>;
}

async function startRadio(t: TestContext): Promise<Setup> {
  const controller = await startScriptedController(t);
  process.env['NOBLE_HCI_H4'] = `127.0.0.1:${controller.port}`;
  process.env['NOBLE_HCI_H4_RECONNECT_MS'] = '100';
  createRequire(import.meta.url)('./support/hci-h4-socket.cjs');
  const config = testConfig({});
  const radio = new NobleRadio(config, testLog(config));
  t.after(() => radio.stop());
  const advertisements: Advertisement[] = [];
  radio.events.on('advertisement', (advertisement) => advertisements.push(advertisement));
  await radio.start();
  await eventually(() => radio.state === 'powered_on');
  await radio.scan();
  const ends: string[] = [];
  const seen = async (address: string): Promise<void> => {
    controller.advertise(address, Buffer.from(HEART_RATE, 'hex'));
    controller.advertise(address, Buffer.alloc(0), 4);
    await eventually(() => advertisements.some((one) => one.address === address));
  };
  await seen(STRAP);
  const connect = async (signal = new AbortController().signal): Promise<RadioConnection> =>
    await radio.connect(STRAP, { signal, onDisconnect: (reason) => ends.push(reason) });
  const connected = async (): Promise<RadioConnection> => {
    const connecting = connect();
    await controller.received(COMMAND.createConnection);
    controller.connectionComplete(STRAP, { handle: HANDLE });
    return await connecting;
  };
  return { controller, radio, advertisements, ends, connect, connected };
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return await promise.then(
    () => 'resolved',
    (error: unknown) => (error instanceof RadioError ? error.code : String(error)),
  );
}

describe('connections of noble', { skip: nobleMissing() }, () => {
  test('a connection that is established after its attempt was cancelled is ended', async (t) => {
    const { controller, connect } = await startRadio(t);
    // The cancel comes too late: the controller refuses it and reports the connection.
    const attempt = new AbortController();
    const connecting = codeOf(connect(attempt.signal));
    await controller.received(COMMAND.createConnection);
    attempt.abort(new Error('cancelled'));
    assert.match(await connecting, /cancelled/);
    await controller.received(COMMAND.cancelConnection);
    controller.connectionComplete(STRAP, { handle: HANDLE });
    const { parameters } = await controller.received(COMMAND.disconnect);
    assert.equal(parameters.readUInt16LE(0), HANDLE);
  });

  test('after a cancelled attempt the same strap is connected by the next', async (t) => {
    const { controller, connect } = await startRadio(t);
    const attempt = new AbortController();
    const connecting = codeOf(connect(attempt.signal));
    await controller.received(COMMAND.createConnection);
    controller.onCommand = ({ opcode }) => {
      if (opcode !== COMMAND.cancelConnection) return false;
      controller.complete(opcode, 0);
      controller.connectionComplete(STRAP, { handle: 0, status: 0x02 });
      return true;
    };
    attempt.abort(new Error('cancelled'));
    await connecting;
    await controller.received(COMMAND.cancelConnection);
    const again = connect();
    await controller.received(COMMAND.createConnection, 2);
    controller.connectionComplete(STRAP, { handle: HANDLE });
    await again;
    assert.deepEqual(controller.commandsOf(COMMAND.disconnect), []);
  });

  test('a link without an owner is ended, and the attempt that found it is repeated with success', async (t) => {
    const { controller, connect, connected } = await startRadio(t);
    const connection = await connected();
    // The controller never confirmed the disconnect: the link was abandoned, and is reported again as connected.
    connection.abandon();
    const second = connect();
    await controller.received(COMMAND.createConnection, 2);
    controller.connectionComplete(STRAP, { handle: HANDLE });
    await second;
    assert.equal(await codeOf(connect()), 'stale_link');
    await controller.received(COMMAND.disconnect);
  });

  test(
    'disconnect and signal strength of an ended link send nothing: noble would send them with the handle of another',
    { timeout: 30_000 },
    async (t) => {
      const { controller, connected, ends } = await startRadio(t);
      const connection = await connected();
      assert.equal(await connection.readRssi(), -50);
      controller.disconnectionComplete(HANDLE, 0x13);
      await eventually(() => ends.length === 1);
      assert.deepEqual(ends, ['ended_by_strap']);
      assert.equal(await codeOf(connection.readRssi()), 'link_ended');
      await connection.disconnect();
      await sleep(50);
      assert.equal(controller.commandsOf(COMMAND.readRssi).length, 1);
      assert.deepEqual(controller.commandsOf(COMMAND.disconnect), []);
    },
  );

  for (const [status, code] of [
    [0x09, 'controller_limit'],
    [0x0d, 'controller_limit'],
    [0x3e, 'connect_failed'],
  ] as const)
    test(`a connect that fails with 0x${status.toString(16)} is ${code}`, async (t) => {
      const { controller, connect } = await startRadio(t);
      const connecting = codeOf(connect());
      await controller.received(COMMAND.createConnection);
      controller.connectionComplete(STRAP, { handle: 0, status });
      assert.equal(await connecting, code);
    });

  test('an adapter that is lost and returns is powered on again after noble was recreated, with one socket', async (t) => {
    const { controller, radio, connected } = await startRadio(t);
    await connected();
    // noble asks once a second whether the adapter is there.
    process.env['NOBLE_HCI_H4_RECONNECT_MS'] = '1500';
    controller.unplug();
    await eventually(() => radio.state !== 'powered_on');
    await radio.rebuild();
    await eventually(() => radio.state === 'powered_on');
    await radio.scan();
    assert.equal(controller.connections, 1);
  });

  test('restarting noble leaves no listener on the process', async (t) => {
    const { radio } = await startRadio(t);
    const listeners = (): number[] => (['exit', 'SIGINT'] as const).map((event) => process.listenerCount(event));
    const before = listeners();
    for (let times = 0; times < 3; times += 1) {
      await radio.rebuild();
      await eventually(() => radio.state === 'powered_on');
    }
    assert.deepEqual(listeners(), before);
    assert.equal(process.listenerCount('SIGINT'), 0, 'noble does not exit the process at SIGINT');
  });
});

interface TrackedNoble {
  _peripherals: object;
  _bindings: { _addresses: object; _gap: { _discoveries: object }; _hci: { _handleBuffers: object } };
}

/** The noble in use (hci-h4-socket.cjs records it). */
function nobleInUse(): TrackedNoble {
  const noble = (globalThis as { hciNobles?: WeakRef<TrackedNoble>[] }).hciNobles?.at(-1)?.deref();
  assert.ok(noble !== undefined, 'a noble in use');
  return noble;
}

describe('caches of noble', { skip: nobleMissing() }, () => {
  test('a strap that sent no advertisement for two minutes is forgotten at the next scan, unless it is connected', async (t) => {
    const { controller, radio, advertisements, connected } = await startRadio(t);
    await connected();
    controller.advertise(OTHER, Buffer.from(HEART_RATE, 'hex'), 3);
    await eventually(() => advertisements.some(({ address }) => address === OTHER));
    const noble = nobleInUse();
    assert.equal(Object.keys(noble._peripherals).length, 2);
    const now = performance.now.bind(performance);
    t.mock.method(performance, 'now', () => now() + 130_000);
    await radio.scan();
    const { _addresses, _gap } = noble._bindings;
    for (const cache of [noble._peripherals, _addresses]) assert.deepEqual(Object.keys(cache), [STRAP.replaceAll(':', '')]);
    assert.deepEqual(Object.keys(_gap._discoveries), [STRAP]);
  });
});

describe('packets that noble cannot handle', { skip: nobleMissing() }, () => {
  test('cut packets of every kind neither end the process nor the link', async (t) => {
    const { controller, connected, ends } = await startRadio(t);
    await connected();
    const channels = [4, 5, 6, 0x40].flatMap((channel) =>
      [Buffer.alloc(0), Buffer.of(0x12), Buffer.of(0x02, 0x03)].map((pdu) => ({ channel, pdu })),
    );
    for (const { channel, pdu } of channels) controller.acl(HANDLE, Buffer.concat([Buffer.of(pdu.length, 0, channel, 0), pdu]));
    for (const length of [0, 1, 3]) controller.acl(HANDLE, Buffer.alloc(length));
    for (const code of [0x05, 0x08, 0x0e, 0x0f, 0x13, 0x3e]) controller.event(code, Buffer.of(1));
    controller.att(HANDLE, Buffer.from('028000', 'hex'));
    await eventually(() => controller.sent.some(({ pdu }) => pdu[0] === 0x03), { what: 'the link still answers' });
    assert.deepEqual(ends, []);
  });

  test('fragments beyond the length of a packet are not collected, and the next packet is handled', async (t) => {
    const { controller, connected } = await startRadio(t);
    await connected();
    controller.acl(HANDLE, Buffer.from('0a0004001b', 'hex'));
    const fragment = Buffer.alloc(60_000, 0x61);
    for (let count = 0; count < 200; count += 1) controller.acl(HANDLE, fragment, false);
    controller.att(HANDLE, Buffer.from('028000', 'hex'));
    await eventually(() => controller.sent.some(({ pdu }) => pdu[0] === 0x03), { what: 'the next packet is handled' });
    assert.deepEqual(Object.keys(nobleInUse()._bindings._hci._handleBuffers), []);
  });

  test('a packet in fragments is put together', async (t) => {
    const { controller, connected } = await startRadio(t);
    await connected();
    controller.acl(HANDLE, Buffer.from('03000400' + '02', 'hex'));
    controller.acl(HANDLE, Buffer.from('8000', 'hex'), false);
    await eventually(() => controller.sent.some(({ pdu }) => pdu[0] === 0x03));
  });
});

describe('what straps advertise', { skip: nobleMissing() }, () => {
  const last = (advertisements: Advertisement[]): Advertisement | undefined =>
    advertisements.filter(({ address }) => address === OTHER).at(-1);

  test('ADV_SCAN_IND and ADV_NONCONN_IND accept no connection, and a change is reported within one scan', async (t) => {
    const { controller, advertisements } = await startRadio(t);
    for (const [type, connectable] of [
      [2, false],
      [0, true],
      [3, false],
      [0, true],
    ] as const) {
      controller.advertise(OTHER, Buffer.from(HEART_RATE, 'hex'), type);
      if (type !== 3) controller.advertise(OTHER, Buffer.alloc(0), 4);
      controller.advertise(OTHER, Buffer.from(HEART_RATE, 'hex'), type);
      await eventually(() => last(advertisements)?.connectable === connectable, { what: `type ${type}` });
    }
    assert.equal(controller.commandsOf(COMMAND.setScanEnable).filter(({ parameters }) => parameters[0] === 1).length, 1);
  });

  test('32-bit and 128-bit forms of a UUID are the 16-bit one; names of scan responses count; the complete name wins', async (t) => {
    const { controller, advertisements } = await startRadio(t);
    const wide = advertisingData({ uuids: ['0000180d'], shortName: 'HR' });
    controller.advertise(OTHER, Buffer.from(wide, 'hex'));
    controller.advertise(
      OTHER,
      Buffer.from(advertisingData({ name: 'HR Strap', uuids: ['0000180f-0000-1000-8000-00805f9b34fb'] }), 'hex'),
      4,
    );
    controller.advertise(OTHER, Buffer.from(wide, 'hex'));
    controller.advertise(OTHER, Buffer.from(wide, 'hex'));
    const reported = (): Advertisement[] => advertisements.filter(({ address }) => address === OTHER);
    await eventually(() => reported().length >= 2, {
      what: 'a report after the scan response, and one after the advertisement',
    });
    for (const { name, serviceUuids } of reported()) {
      assert.equal(name, 'HR Strap');
      assert.deepEqual([...serviceUuids].sort(), ['180d', '180f']);
    }
    assert.equal(parseAdvertisingData(Buffer.from('0309485202' + '0848', 'hex')).name, 'HR');
  });
});
