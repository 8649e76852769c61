/**
 * What each state of a strap means and what to do about it, and why links end. docs/sensors.md and the page's table are made from these
 * (`npm run docs`); the doctor prints them. test/docs compares all of them with the code in both directions.
 */
import type { DeviceState, StrapReason } from '../../contract/device-status.ts';
import { STRAP_REASONS } from './reason-catalogue.ts';

export interface StateEntry {
  /** For a badge on the page. */
  words: string;
  kind: 'good' | 'warn' | 'bad';
  /** A sentence part: "connected, but …". */
  meaning: string;
  advice: string;
  /** Where the meaning or advice comes from; see the head of docs/sensors.md. */
  source: string;
}

export const STRAP_STATES = {
  discovered: {
    words: 'found',
    kind: 'warn',
    meaning: 'advertises, not connected yet',
    advice:
      "Wait some seconds. If it stays, the limit of the adapter or BLE_MAX_STRAPS may be reached (see the bridge's status).",
    source: '[T]',
  },
  connecting: {
    words: 'connecting',
    kind: 'warn',
    meaning: 'a connect is in progress; one strap at a time: known straps first, at most 10 s for them, 3 to 5 s for others',
    advice: 'Wait. If it keeps returning to lost, bring the strap nearer, and disconnect it from other devices.',
    source: 'in noble a pending connect blocks all others [T]',
  },
  connected: {
    words: 'connected',
    kind: 'warn',
    meaning: 'its services are being discovered, and its name if it does not advertise it; at most 10 s without an answer',
    advice:
      'Wait. If it keeps returning to lost, take the strap off for a minute: a Polar H10 whose last central died stops answering here.',
    source: 'bleakheart#5 [R]',
  },
  subscribing: {
    words: 'subscribing',
    kind: 'warn',
    meaning: 'notifications are requested; none has arrived yet',
    advice: 'Put the strap on, moisten the electrodes.',
    source: 'straps may send only with skin contact [S]',
  },
  streaming: {
    words: 'streaming',
    kind: 'good',
    meaning: 'receiving heart rates',
    advice: 'Nothing.',
    source: '',
  },
  no_pulse: {
    words: 'no pulse',
    kind: 'warn',
    meaning: 'the strap sends heart rate 0; nothing is published, the link stays open',
    advice: 'Moisten the electrodes, tighten the strap. Garmin and Wahoo send an occasional 0 during a workout.',
    source: 'qdomyos-zwift#603, runnerup#44, #477 (a pull request) [R]',
  },
  no_contact: {
    words: 'no skin contact',
    kind: 'warn',
    meaning: 'receiving heart rates, but the strap reports no skin contact; they are published with `sensor_contact: false`',
    advice: 'Moisten the electrodes, tighten the strap.',
    source: 'HRS 3.1.1.1 [S]',
  },
  silent: {
    words: 'silent',
    kind: 'bad',
    meaning: 'connected, but no valid notification for `BLE_SILENCE_MS` (10 s); the bridge subscribes again, then connects again',
    advice: 'Put the strap on; change its battery.',
    source: '[T]',
  },
  unreadable: {
    words: 'unreadable values',
    kind: 'bad',
    meaning: 'connected, but its values hold no heart rate; the link is kept',
    advice: "Update the strap's firmware, or restart it. The bytes are in the log (`notification_malformed`).",
    source: '[T]',
  },
  taken: {
    words: 'taken by another device',
    kind: 'warn',
    meaning: 'it advertises that it accepts no connection; connected as soon as that changes',
    advice: 'Disconnect it from the phone or watch that holds it, or enable a second connection (Polar H10).',
    source: 'polar-ble-sdk#284 [R]',
  },
  refused: {
    words: 'refused by the strap',
    kind: 'bad',
    meaning:
      'the strap refused a request that is needed; the reason has its ATT error, or that pairing failed. Tried again after 5 s, then ' +
      'less often, up to once a minute; the state stays meanwhile',
    advice: 'Disconnect other devices; enable broadcasting or pairing on the watch; restart the strap.',
    source: 'example-android-mi-band-2#4, bleak#558 [R]',
  },
  no_heart_rate_service: {
    words: 'no heart rate service',
    kind: 'bad',
    meaning:
      'it has no heart rate measurement (0x2A37); tried again after 5 s, then less often, up to once a minute; the state stays meanwhile',
    advice: 'Enable broadcasting on the watch (Garmin, below); an old Garmin may broadcast on ANT+ only.',
    source: 'BLEHeartRateLogger#11 [R]',
  },
  lost: {
    words: 'lost',
    kind: 'bad',
    meaning:
      'the link ended or could not be established, or it has not advertised for a minute; connected at its next advertisement',
    advice: 'Bring it near, put it on. A strap should disconnect after 10-20 s without contact: that is not a fault.',
    source: 'HRP 5.1 [S]',
  },
} as const satisfies Record<DeviceState, StateEntry>;

export interface EndEntry {
  /** HCI error codes (Bluetooth Core, volume 1 part F); none: the bridge's own reason. */
  codes: readonly number[];
  meaning: string;
  /** What to do, if it happens again and again. */
  advice: string;
}

const NEAR = 'Bring the strap nearer to the adapter; change its battery.';
const RESTART_STRAP = 'Restart the strap, or update its firmware.';
const RADIO = 'Nothing, unless it repeats: then use another adapter or update its firmware.';
const OTHER_RADIO = 'Nothing: reasons of other kinds of Bluetooth links. If a strap ends links with it, restart the strap.';

/** Reasons in `disconnects` of a strap, in the log (`strap_lost`) and in the metrics. */
export const LINK_ENDS: Readonly<Record<string, EndEntry>> = {
  ended_by_strap: {
    codes: [0x13, 0x14, 0x15],
    meaning: 'the strap ended the link: no skin contact, taken off, low on resources or switched off',
    advice: 'Put it on and moisten the electrodes; change its battery.',
  },
  out_of_range: { codes: [0x08], meaning: 'nothing was received from the strap for 3 s', advice: NEAR },
  timeout: { codes: [], meaning: 'the strap did not answer a connect or a request in time', advice: NEAR },
  refused: { codes: [], meaning: 'the strap refused a request that is needed', advice: 'See the state `refused`.' },
  no_heart_rate_service: {
    codes: [],
    meaning: 'the strap has no heart rate measurement',
    advice: 'See the state of that name.',
  },
  silent: { codes: [], meaning: 'connected, but no notification for twice `BLE_SILENCE_MS`', advice: 'See the state `silent`.' },
  too_many_packets: {
    codes: [],
    meaning:
      'the strap sent more than 50 packets or 2 KiB a second by itself for long; connected again after a minute, then less often',
    advice: RESTART_STRAP,
  },
  taken: { codes: [], meaning: 'it advertised that it accepts no connection', advice: 'See the state `taken`.' },
  gave_way: {
    codes: [],
    meaning: 'the attempt or link gave way to a strap that delivered before, or that the settings name',
    advice: 'Nothing: it is tried again.',
  },
  bad_answer: { codes: [], meaning: "the strap's answer does not fit the request", advice: RESTART_STRAP },
  failed: { codes: [], meaning: 'the controller reported another failure of the attempt; the log has its status', advice: RADIO },
  adapter: {
    codes: [],
    meaning: 'the adapter went away, or noble was restarted',
    advice: 'See the health check `radio`.',
  },
  ended_by_us: { codes: [], meaning: 'the bridge ended the link: it stops, or forgets the strap', advice: 'Nothing.' },
  unknown: { codes: [], meaning: 'noble gave no reason', advice: RADIO },
  ended_by_host: {
    codes: [0x16],
    meaning: 'another program of this machine ended the link, or the adapter was reset',
    advice: 'If bluetoothd runs: systemctl disable --now bluetooth.',
  },
  not_established: {
    codes: [0x3e],
    meaning: 'the connection was requested, but the strap did not take part in it',
    advice: NEAR,
  },
  no_answer: { codes: [0x22], meaning: 'the strap did not answer a request of the link layer', advice: NEAR },
  unacceptable_parameters: {
    codes: [0x3b],
    meaning: 'the strap does not accept the connection parameters (50-70 ms, as HRP 5.2 recommends)',
    advice: RESTART_STRAP,
  },
  authentication_failed: {
    codes: [0x05],
    meaning: 'the strap ended the link because pairing or encryption failed',
    advice: 'Enable pairing on the strap or watch, and remove old pairings there.',
  },
  key_missing: {
    codes: [0x06],
    meaning: 'the strap has lost the key of an earlier pairing',
    advice: 'Remove old pairings on the strap or watch.',
  },
  pairing_not_allowed: {
    codes: [0x18],
    meaning: 'the strap does not allow pairing now',
    advice: 'Enable pairing on the strap or watch.',
  },
  pairing_not_supported: { codes: [0x29], meaning: 'the strap does not support this kind of pairing', advice: RESTART_STRAP },
  insufficient_security: {
    codes: [0x2f],
    meaning: 'the strap demands more security than pairing without a code gives',
    advice: 'Enable heart rate broadcasting on the watch.',
  },
  rejected_for_security: {
    codes: [0x0e],
    meaning: 'the strap rejected the connection for security reasons',
    advice: 'Remove old pairings on the strap or watch.',
  },
  address_not_accepted: {
    codes: [0x0f],
    meaning: 'the strap accepts connections only of devices that it knows',
    advice: 'Enable pairing, or connections of other devices, on the strap or watch.',
  },
  integrity: {
    codes: [0x3d],
    meaning: 'an encrypted packet failed its check',
    advice: 'Remove old pairings on the strap or watch.',
  },
  encryption_mode_not_acceptable: { codes: [0x25], meaning: 'the mode of encryption was rejected', advice: RESTART_STRAP },
  unsupported_feature: { codes: [0x1a], meaning: 'a feature of the link is not supported', advice: RESTART_STRAP },
  unsupported_parameter: { codes: [0x11], meaning: 'a feature or parameter is not supported', advice: RESTART_STRAP },
  invalid_parameters: { codes: [0x1e], meaning: 'a packet of the link layer had invalid parameters', advice: RESTART_STRAP },
  unsupported_parameters: { codes: [0x20], meaning: 'a parameter of the link layer is not supported', advice: RESTART_STRAP },
  parameter_out_of_range: { codes: [0x30], meaning: 'a parameter is outside of the mandatory range', advice: RESTART_STRAP },
  unknown_pdu: { codes: [0x19], meaning: 'a packet of the link layer is not known', advice: RESTART_STRAP },
  pdu_not_allowed: { codes: [0x24], meaning: 'a packet of the link layer was not allowed', advice: RESTART_STRAP },
  transaction_collision: { codes: [0x23], meaning: 'both sides started the same procedure', advice: RESTART_STRAP },
  procedure_collision: { codes: [0x2a], meaning: 'both sides started procedures that exclude each other', advice: RESTART_STRAP },
  instant_passed: { codes: [0x28], meaning: 'a change of the link came too late: packets were lost', advice: NEAR },
  unspecified: { codes: [0x1f], meaning: 'the strap gave no reason', advice: RESTART_STRAP },
  packet_too_long: { codes: [0x45], meaning: 'a packet was too long', advice: RESTART_STRAP },
  repeated_attempts: {
    codes: [0x17],
    meaning: 'the strap rejects attempts that follow too soon',
    advice: 'Wait: attempts are made less often.',
  },
  limited_resources: {
    codes: [0x0d],
    meaning: 'no resources for a further link',
    advice: 'Disconnect other devices from the strap.',
  },
  connection_limit: {
    codes: [0x09],
    meaning: 'the limit of links is reached',
    advice: 'Use an adapter that supports more links.',
  },
  connection_exists: { codes: [0x0b], meaning: 'there is a link to this address already', advice: RADIO },
  controller_busy: { codes: [0x3a], meaning: 'the controller is busy', advice: RADIO },
  hardware_failure: {
    codes: [0x03],
    meaning: "the adapter's hardware failed",
    advice: 'Unplug the adapter, or use another one.',
  },
  memory_exceeded: { codes: [0x07], meaning: 'a controller has no memory left', advice: RADIO },
  unknown_command: { codes: [0x01], meaning: 'the controller does not know a command', advice: RADIO },
  invalid_command: { codes: [0x12], meaning: 'the controller rejected parameters of a command', advice: RADIO },
  command_disallowed: { codes: [0x0c], meaning: 'the controller does not allow a command now', advice: RADIO },
  unknown_connection: { codes: [0x02], meaning: 'the controller does not know the link', advice: RADIO },
  cancelled_by_host: { codes: [0x44], meaning: 'this machine cancelled the operation', advice: RADIO },
  limit_reached: { codes: [0x43], meaning: 'a limit of the controller was reached', advice: RADIO },
  advertising_timeout: { codes: [0x3c], meaning: 'directed advertising ended without a connection', advice: RADIO },
  unknown_advertising_identifier: { codes: [0x42], meaning: 'the controller does not know the advertising set', advice: RADIO },
  no_suitable_channel: { codes: [0x39], meaning: 'no suitable channel was found', advice: RADIO },
  busy_pairing: { codes: [0x38], meaning: 'the other side is pairing with another device', advice: 'Wait.' },
  page_timeout: { codes: [0x04], meaning: 'no answer to paging', advice: OTHER_RADIO },
  accept_timeout: { codes: [0x10], meaning: 'the connection was not accepted in time', advice: OTHER_RADIO },
  synchronous_connection_limit: { codes: [0x0a], meaning: 'the limit of synchronous links is reached', advice: OTHER_RADIO },
  sco_offset_rejected: { codes: [0x1b], meaning: 'an audio parameter was rejected', advice: OTHER_RADIO },
  sco_interval_rejected: { codes: [0x1c], meaning: 'an audio parameter was rejected', advice: OTHER_RADIO },
  sco_air_mode_rejected: { codes: [0x1d], meaning: 'an audio parameter was rejected', advice: OTHER_RADIO },
  role_change_not_allowed: { codes: [0x21], meaning: 'a change of roles is not allowed', advice: OTHER_RADIO },
  key_not_changeable: { codes: [0x26], meaning: 'the link key cannot be changed', advice: OTHER_RADIO },
  quality_not_supported: { codes: [0x27], meaning: 'the quality of service is not supported', advice: OTHER_RADIO },
  quality_not_acceptable: {
    codes: [0x2c],
    meaning: 'a parameter of the quality of service is not acceptable',
    advice: OTHER_RADIO,
  },
  quality_rejected: { codes: [0x2d], meaning: 'the quality of service was rejected', advice: OTHER_RADIO },
  channel_classification_not_supported: {
    codes: [0x2e],
    meaning: 'classification of channels is not supported',
    advice: OTHER_RADIO,
  },
  role_switch_pending: { codes: [0x32], meaning: 'a change of roles is under way', advice: OTHER_RADIO },
  reserved_slot_violation: { codes: [0x34], meaning: 'a reserved slot was violated', advice: OTHER_RADIO },
  role_switch_failed: { codes: [0x35], meaning: 'a change of roles failed', advice: OTHER_RADIO },
  inquiry_response_too_large: { codes: [0x36], meaning: 'an inquiry response was too large', advice: OTHER_RADIO },
  simple_pairing_not_supported: { codes: [0x37], meaning: 'simple pairing is not supported', advice: OTHER_RADIO },
  mac_connection_failed: { codes: [0x3f], meaning: 'the other kind of radio did not connect', advice: OTHER_RADIO },
  clock_adjustment_rejected: { codes: [0x40], meaning: 'an adjustment of the clock was rejected', advice: OTHER_RADIO },
  submap_not_defined: { codes: [0x41], meaning: 'a map of slots is not defined', advice: OTHER_RADIO },
};

/** What a strap's state means and what to do about it, with the reason if there is one. */
export function explain(state: DeviceState, reason: StrapReason | null | undefined): { meaning: string; advice: string } {
  const { meaning, advice } = STRAP_STATES[state];
  if (reason === null || reason === undefined) return { meaning, advice };
  return { meaning: reason.detail, advice: STRAP_REASONS[reason.code].hint };
}
