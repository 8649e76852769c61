/** Settings of the bridge: where readings come from, and which straps it connects. */
import type { Setting } from './setting.ts';

export const STRAP_SETTINGS = {
  BLE_SOURCE: {
    type: 'choice',
    default: 'auto',
    choices: ['auto', 'noble', 'simulated', 'replay'],
    doc:
      'Source of readings. `auto`: the Bluetooth adapter; without an adapter and while the target is local, simulated ' +
      'straps.',
    usedBy: ['ble-bridge', 'start'],
  },
  BLE_ADAPTER: {
    type: 'text',
    default: undefined,
    pattern: /^(?:hci\d+|(?:[0-9a-fA-F]{2}[:-]?){5}[0-9a-fA-F]{2})$/,
    must: 'be hci0, hci1, …, or an address such as 00:1A:7D:DA:71:13',
    doc:
      'Bluetooth adapter to use: its number (`hci0`), or its address (`00:1A:7D:DA:71:13`), which stays the same if the number changes. ' +
      'Unset: the adapter that is present; of several, the first that is powered on.',
    usedBy: ['ble-bridge', 'start'],
  },
  BLE_ALLOW: {
    type: 'list',
    default: [],
    doc:
      'Connect only these straps: addresses (with `:`, `-` or no separators), names or device names, with `*` as a wildcard. ' +
      'Empty: every strap that ' +
      'advertises the heart rate service. A strap listed here is also connected if it does not advertise that service.',
    usedBy: ['ble-bridge'],
  },
  BLE_DENY: {
    type: 'list',
    default: [],
    doc: 'Straps that are never connected, written as in `BLE_ALLOW`, over which it takes precedence.',
    usedBy: ['ble-bridge'],
  },
  BLE_ALIASES: {
    type: 'list',
    default: [],
    doc:
      'Names to use in topics, by device name, address or advertised name: `polar-h10-a1b2c3=anna`, ' +
      '`c0:ff:ee:a1:b2:c3=anna`, `Fenix 8*=anna`.',
    usedBy: ['ble-bridge'],
  },
  BLE_MAX_STRAPS: {
    type: 'integer',
    default: 16,
    min: 1,
    max: 500,
    doc: 'Maximum number of straps connected at once. Raise it if the adapter supports more links.',
    usedBy: ['ble-bridge'],
  },
  BLE_SILENCE_MS: {
    type: 'integer',
    default: 10_000,
    min: 1000,
    max: 600_000,
    doc:
      'A connected strap that sends no valid notification for this long is silent: it is subscribed again, and after ' +
      'twice as long reconnected. Raise it for a strap that sends less often.',
    usedBy: ['ble-bridge'],
  },
  BLE_LOW_BATTERY_PERCENT: {
    type: 'integer',
    default: 15,
    min: 0,
    max: 100,
    doc: 'At or below this battery level the device status contains `battery_low`.',
    usedBy: ['ble-bridge'],
  },
  REPLAY_FILE: {
    type: 'text',
    default: undefined,
    doc:
      'Recording to replay: FIT, TCX, GPX, Polar HRM, CSV, RR intervals, JSON Lines, plain, gzipped or zipped ' +
      '([recordings.md](recordings.md)). Several, separated by commas, are several straps.',
    usedBy: ['ble-bridge'],
  },
  REPLAY_SPEED: {
    type: 'number',
    default: 1,
    min: 0,
    max: 1_000_000,
    doc: 'Speed factor of the replay; 0: as fast as the readings are accepted.',
    usedBy: ['ble-bridge'],
  },
  REPLAY_MAX_PAUSE: {
    type: 'number',
    default: 0,
    min: 0,
    max: 1_000_000_000,
    doc: 'Pauses of a recording that are longer than this many seconds are shortened to it; 0: pauses are replayed as long as they were.',
    usedBy: ['ble-bridge'],
  },
  REPLAY_LOOP: {
    type: 'boolean',
    default: false,
    doc: 'Whether the replay starts again at the end of the recording.',
    usedBy: ['ble-bridge'],
  },
  SIMULATED_STRAPS: {
    type: 'integer',
    default: 3,
    min: 1,
    max: 500,
    doc: 'Number of simulated straps.',
    usedBy: ['ble-bridge'],
  },
} as const satisfies Record<string, Setting>;
