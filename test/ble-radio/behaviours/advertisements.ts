/** What straps advertise: names, services, addresses, types. */
import { advertisingData, type Behaviour } from './behaviour.ts';

const HEART_RATE = '180d';
const BASE = '-0000-1000-8000-00805f9b34fb';
const values = ['0646'] as const;
const STREAMS = { state: 'streaming', withinMs: 8000, rates: [70] } as const;
const NOT_SHOWN = { state: 'none', withinMs: 1000, rates: [], staysMs: 4000 } as const;

/** Settings of the bridge that the behaviours rely on. */
export const ADVERTISEMENT_SETTINGS = {
  BLE_DENY: 'denied strap*,denied watch*',
  BLE_ALIASES: 'd1:00:00:00:00:10=hidden',
};

export const ADVERTISEMENTS: readonly Behaviour[] = [
  {
    law: 'a name only in the scan response is the name',
    source: 'github.com/hbldh/bleak/pull/99',
    misbehaves: false,
    strap: { values, adv: advertisingData({ uuids: [HEART_RATE] }), scan_rsp: advertisingData({ name: 'Late Name' }) },
    expect: { ...STREAMS, name: 'Late Name' },
  },
  {
    law: 'a strap without a name streams',
    source: 'HRP v1.0, 5.1 (the name is optional)',
    misbehaves: false,
    strap: { values, name: '' },
    expect: { ...STREAMS, name: null },
  },
  {
    law: 'a name of nothing but spaces and control characters is none',
    source: 'Core Specification Supplement, part A, 1.2 (any UTF-8 string)',
    misbehaves: true,
    strap: { values, name: ' \u0000\u0007\u200b ' },
    expect: { ...STREAMS, name: null },
  },
  {
    law: 'a complete name of no bytes is none',
    source: 'github.com/Jasonchenlijian/FastBle/issues/259 (the name in the advertisement is empty)',
    misbehaves: true,
    strap: { values, adv: '02010603030d180109', gatt_name: '' },
    expect: { ...STREAMS, name: null },
  },
  {
    law: 'control and format characters are removed from a name, the rest stays',
    source: 'Core Specification Supplement, part A, 1.2 (UTF-8)',
    misbehaves: true,
    strap: { values, name: 'HR\u0000\u001b[31m\u202eM' },
    expect: { ...STREAMS, name: 'HR[31mM' },
  },
  {
    law: 'a UTF-8 name is shown as it is',
    source: 'Core Specification Supplement, part A, 1.2 (UTF-8)',
    misbehaves: false,
    strap: { values, name: 'Pulsgürtel 心拍' },
    expect: { ...STREAMS, name: 'Pulsgürtel 心拍' },
  },
  {
    law: 'a name cut in the middle of a character keeps the whole ones',
    source: 'github.com/TheCellule/python-bleson/issues/76',
    misbehaves: true,
    strap: { values, adv: '02010603030d180509' + '50756cc3' },
    expect: { ...STREAMS, name: 'Pul' },
  },
  {
    law: 'the longest name that fits is the name',
    source: 'Core, volume 3 part C, 11 (31 bytes)',
    misbehaves: false,
    strap: { values, adv: advertisingData({ uuids: [HEART_RATE] }), scan_rsp: '1e09' + '61'.repeat(29) },
    expect: { ...STREAMS, name: 'a'.repeat(29) },
  },
  {
    law: 'a shortened name does not replace the complete one',
    source: 'Core Specification Supplement, part A, 1.2',
    misbehaves: false,
    strap: {
      values,
      adv: advertisingData({ uuids: [HEART_RATE], name: 'TICKR X 1234' }),
      scan_rsp: advertisingData({ shortName: 'TICKR' }),
    },
    expect: { ...STREAMS, name: 'TICKR X 1234' },
  },
  {
    law: 'a complete name in the scan response replaces the shortened one of the advertisement',
    source: 'github.com/stoprocent/noble/issues/52',
    misbehaves: false,
    strap: {
      values,
      adv: advertisingData({ uuids: [HEART_RATE], shortName: 'HRM' }),
      scan_rsp: advertisingData({ name: 'HRM-Pro Plus 9' }),
    },
    expect: { ...STREAMS, name: 'HRM-Pro Plus 9' },
  },
  {
    law: 'heart rate advertised as a 128-bit UUID is found',
    source: 'github.com/InfiniTimeOrg/InfiniTime/pull/897',
    misbehaves: true,
    strap: { values, adv: advertisingData({ uuids: [`0000180d${BASE}`], name: 'Wide' }) },
    expect: STREAMS,
  },
  {
    law: 'heart rate advertised as a 32-bit UUID is found',
    source: 'Core Specification Supplement, part A, 1.1',
    misbehaves: true,
    strap: { values, adv: advertisingData({ uuids: ['0000180d'], name: 'Mid' }) },
    expect: STREAMS,
  },
  {
    law: 'heart rate advertised as a 128-bit UUID in the scan response is found',
    source: 'github.com/InfiniTimeOrg/InfiniTime/pull/2088 (a 128-bit UUID more did not fit the advertisement)',
    misbehaves: true,
    strap: {
      values,
      adv: advertisingData({ name: 'Wide Split' }),
      scan_rsp: advertisingData({ uuids: [`0000180d${BASE}`] }),
    },
    expect: STREAMS,
  },
  {
    law: 'an incomplete list of services counts like a complete one',
    source: 'Core Specification Supplement, part A, 1.1',
    misbehaves: false,
    strap: { values, adv: '02010603020d18' },
    expect: STREAMS,
  },
  {
    law: 'heart rate advertised only in the scan response is found',
    source: 'HRP v1.0, 5.1',
    misbehaves: false,
    strap: { values, adv: advertisingData({ name: 'Split' }), scan_rsp: advertisingData({ uuids: [HEART_RATE] }) },
    expect: STREAMS,
  },
  {
    law: 'a 128-bit UUID that only resembles 0x180D is another one',
    source: 'Core, volume 3 part B, 2.5.1',
    misbehaves: false,
    strap: { values, adv: advertisingData({ uuids: ['0000180d-0000-1000-8000-00805f9b34fc'], name: 'Other' }) },
    expect: NOT_SHOWN,
  },
  {
    law: 'a strap that does not advertise its service is connected if an alias names its address',
    source: 'github.com/ryanbr/noop/issues/1061 (WHOOP)',
    misbehaves: true,
    strap: { values, address: 'D1:00:00:00:00:10', adv_uuid: false },
    expect: { ...STREAMS, device: 'hidden' },
  },
  {
    law: 'advertising data that is cut off is read as far as it goes',
    source: 'Core, volume 3 part C, 11',
    misbehaves: true,
    strap: { values, adv: '02010603030d181009486172', scan_rsp: '05' },
    expect: STREAMS,
  },
  {
    law: 'an empty scan response changes nothing',
    source: 'Core, volume 6 part B, 2.3.2.2',
    misbehaves: false,
    strap: { values, adv: advertisingData({ uuids: [HEART_RATE], name: 'Bare' }), scan_rsp: '' },
    expect: { ...STREAMS, name: 'Bare' },
  },
  {
    law: 'a resolvable random address is an address like any other',
    source: 'Core, volume 6 part B, 1.3.2.2',
    misbehaves: false,
    strap: { values, address: '5A:12:34:56:78:9A' },
    expect: STREAMS,
  },
  {
    law: 'a non-resolvable random address is an address like any other',
    source: 'Core, volume 6 part B, 1.3.2.2',
    misbehaves: true,
    strap: { values, address: '1A:12:34:56:78:9B' },
    expect: STREAMS,
  },
  {
    law: 'two straps of one name are two devices, and each has its own readings',
    source: 'Core, volume 6 part B, 1.3 (the address identifies a device)',
    misbehaves: false,
    strap: { values: ['0646'], name: 'Twin', address: 'D1:00:00:00:00:31' },
    expect: { ...STREAMS, name: 'Twin', device: 'twin-000031', reconnects: 0, staysMs: 2000 },
    others: [
      {
        strap: { values: ['0650'], name: 'Twin', address: 'D1:00:00:00:00:32' },
        expect: { ...STREAMS, rates: [80], name: 'Twin', device: 'twin-000032', reconnects: 0, staysMs: 2000 },
      },
    ],
  },
  {
    law: 'a strap that advertises once in two seconds streams',
    source: 'HRP v1.0, 5.1 (1 to 2.5 s)',
    misbehaves: false,
    strap: { values, adv_ms: 2000 },
    expect: { ...STREAMS, withinMs: 15_000 },
  },
  {
    law: 'scannable but not connectable (ADV_SCAN_IND) is taken, and no connect is tried',
    source: 'github.com/polarofficial/polar-ble-sdk/issues/284',
    misbehaves: false,
    strap: { values, kind: 'scan' },
    expect: { state: 'taken', reason: 'not_connectable', withinMs: 5000, rates: [], staysMs: 5000, notEnded: 'timeout' },
  },
  {
    law: 'not connectable (ADV_NONCONN_IND) is taken, and no connect is tried',
    source: 'github.com/polarofficial/polar-ble-sdk/issues/284',
    misbehaves: false,
    strap: { values, kind: 'nonconn' },
    expect: { state: 'taken', reason: 'not_connectable', withinMs: 5000, rates: [], staysMs: 5000, notEnded: 'timeout' },
  },
  {
    law: 'a strap that another device has let go streams within seconds',
    source: 'github.com/polarofficial/polar-ble-sdk/issues/284',
    misbehaves: false,
    strap: { values, kind: 'scan' },
    steps: [{ op: 'kind', kind: 'ind', afterMs: 6000 }],
    expect: { ...STREAMS, withinMs: 6000 },
  },
  {
    law: 'a strap whose denied name becomes known only later is let go then',
    source: 'github.com/sandeepmistry/node-sensortag/issues/45',
    misbehaves: false,
    strap: { values, adv: advertisingData({ uuids: [HEART_RATE] }), scan_rsp: '' },
    steps: [
      { op: 'data', afterMs: 4000, scan_rsp: advertisingData({ name: 'Denied Watch 3' }) },
      { op: 'terminate', afterMs: 0 },
    ],
    expect: { state: 'none', withinMs: 10_000, rates: [70], staysMs: 4000 },
  },
  {
    law: 'a strap whose name becomes known only later is renamed once',
    source: 'github.com/sandeepmistry/node-sensortag/issues/45',
    misbehaves: false,
    strap: {
      values,
      address: 'D1:00:00:00:00:20',
      adv: advertisingData({ uuids: [HEART_RATE] }),
      scan_rsp: '',
      att: [{ on: 'name', error: 0x0a }],
    },
    steps: [
      { op: 'data', afterMs: 4000, scan_rsp: advertisingData({ name: 'Told Late' }) },
      { op: 'terminate', afterMs: 0 },
    ],
    expect: { state: 'streaming', withinMs: 10_000, rates: [70], device: 'told-late-000020' },
  },
  {
    law: 'a strap that is denied by name is not shown',
    source: 'HRP v1.0, 5.1 (the name in the advertisement)',
    misbehaves: false,
    strap: { values, name: 'Denied Strap 1' },
    expect: NOT_SHOWN,
  },
  {
    law: 'a strap whose denied name is in its scan response only is not shown',
    source: 'github.com/sandeepmistry/node-sensortag/issues/45',
    misbehaves: false,
    strap: { values, adv: advertisingData({ uuids: [HEART_RATE] }), scan_rsp: advertisingData({ name: 'Denied Strap 2' }) },
    expect: NOT_SHOWN,
  },
];
