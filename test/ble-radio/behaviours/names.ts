/** Names that straps have themselves (0x2A00), and do not advertise, or only in part. */
import { advertisingData, type Behaviour } from './behaviour.ts';

const values = ['0646'] as const;
const STREAMS = { state: 'streaming', withinMs: 8000, rates: [70] } as const;
/** Advertises a heart rate, and no name. */
const NAMELESS = { values, adv: advertisingData({ uuids: ['180d'] }), scan_rsp: '' } as const;
const SHORTENED = { values, adv: advertisingData({ uuids: ['180d'], shortName: 'TICKR' }), scan_rsp: '' } as const;

/** Settings of the bridge that the behaviours rely on. */
export const NAME_SETTINGS = { BLE_DENY: 'denied band*', BLE_ALIASES: 'quiet band*=quiet' };

export const NAMES: readonly Behaviour[] = [
  {
    law: 'a strap that advertises no name is shown with its own, and its device name stays as it was when it was first seen',
    source: 'github.com/don/cordova-plugin-ble-central/issues/229 (0x2A00 has the name that is not advertised)',
    misbehaves: false,
    strap: { ...NAMELESS, address: 'D1:00:00:00:00:41', gatt_name: 'Polar H10 12345678' },
    expect: { ...STREAMS, name: 'Polar H10 12345678', device: 'strap-000041', reconnects: 0 },
  },
  {
    law: 'a strap whose own name is denied is let go before it delivers anything, and not connected again',
    source: 'Core, volume 3 part C, 12.1',
    misbehaves: false,
    strap: { ...NAMELESS, gatt_name: 'Denied Band 1' },
    steps: [{ op: 'state', afterMs: 5000 }],
    expect: { state: 'none', withinMs: 3000, rates: [], staysMs: 4000 },
  },
  {
    law: 'an alias by name holds for the name that a strap does not advertise, from its first reading on',
    source: 'github.com/don/cordova-plugin-ble-central/issues/229 (0x2A00 has the name that is not advertised)',
    misbehaves: false,
    strap: { ...NAMELESS, gatt_name: 'Quiet Band 7' },
    expect: { ...STREAMS, name: 'Quiet Band 7', device: 'quiet', reconnects: 0 },
  },
  {
    law: 'a strap that advertises the beginning of its name is shown with the whole one, also after a further link',
    source: 'github.com/arduino/ArduinoCore-arc32/issues/379 (a name that the advertisement has no room for)',
    misbehaves: false,
    strap: { ...SHORTENED, address: 'D1:00:00:00:00:42', gatt_name: 'TICKR X 1234' },
    steps: [{ op: 'terminate', afterMs: 4000 }],
    expect: { ...STREAMS, name: 'TICKR X 1234', device: 'tickr-000042', ended: 'ended_by_strap', reconnects: 1 },
  },
  {
    law: 'a strap whose whole name is denied, and not its beginning, is let go before it delivers anything',
    source: 'Core Specification Supplement, part A, 1.2 (a shortened name is the beginning of the complete one)',
    misbehaves: false,
    strap: {
      values,
      adv: advertisingData({ uuids: ['180d'], shortName: 'Denied' }),
      scan_rsp: '',
      gatt_name: 'Denied Band 2',
    },
    steps: [{ op: 'state', afterMs: 5000 }],
    expect: { state: 'none', withinMs: 3000, rates: [], staysMs: 4000 },
  },
  {
    law: 'a strap that advertises its whole name keeps it, whatever it calls itself',
    source: 'github.com/capacitor-community/bluetooth-le/issues/60 (0x2A00 differs from the advertised name)',
    misbehaves: false,
    strap: { values, name: 'Advertised', gatt_name: 'Denied Band 3' },
    expect: { ...STREAMS, name: 'Advertised', reconnects: 0 },
  },
  {
    law: 'a name of which nothing is left is none',
    source: 'Core, volume 3 part C, 12.1 (UTF-8)',
    misbehaves: true,
    strap: { ...NAMELESS, gatt_name: ' \u0007\u0000rest' },
    expect: { ...STREAMS, name: null },
  },
  {
    law: 'a name longer than an answer is read to its end, and cut to 64 characters',
    source: 'Core, volume 3 part C, 12.1 (up to 248 bytes)',
    misbehaves: false,
    strap: { ...NAMELESS, gatt_name: 'ab'.repeat(120) },
    expect: { ...STREAMS, name: 'ab'.repeat(32) },
  },
  {
    law: 'a strap that tells its name only over an encrypted link is not paired for it, and streams without one',
    source: 'Core, volume 3 part C, 12.1 (it may demand authentication)',
    misbehaves: false,
    strap: { ...NAMELESS, smp: 'silent', att: [{ on: 'name', error: 0x05 }] },
    expect: { ...STREAMS, name: null, reconnects: 0 },
  },
  {
    law: 'a strap that does not answer the request for its name is connected again, and not asked again',
    source: 'Core, volume 3 part F, 3.3.3 (no answer)',
    misbehaves: true,
    strap: { ...NAMELESS, att: [{ on: 'name', silent: true }] },
    expect: { ...STREAMS, withinMs: 20_000, name: null, reconnects: 1, ended: 'timeout' },
  },
  {
    law: 'a strap that ends the link when it is asked for its name streams without one after two attempts',
    source: 'Core, volume 4 part E, 7.1.6 (a peripheral may end a link)',
    misbehaves: true,
    strap: { ...NAMELESS, att: [{ on: 'name', ends: true }] },
    expect: { ...STREAMS, withinMs: 20_000, name: null, reconnects: 2, ended: 'ended_by_strap' },
  },
];
