/**
 * Every stable code that is no error: reasons of health checks, states of the uplink, reasons of dead letters, and causes of gaps and
 * losses. docs/errors.md is made from these tables (`npm run docs`), and test/docs compares them with the code in both directions.
 */
import type { DeadLetterReason, EvictedCause } from '../../contract/dead-letter.ts';
import type { MissedCause } from '../../contract/delivery.ts';
import type { GapCause, StrapReasonCode } from '../../contract/device-status.ts';
import type { UplinkState } from '../../contract/forwarder-status.ts';
import { ERRORS, type ErrorCode } from './error-catalogue.ts';

export interface ReasonEntry {
  summary: string;
  hint: string;
}

/** Reasons of health checks that are not errors of ERRORS as well. */
export const HEALTH_REASONS = {
  broker_away: {
    summary: 'The admin API has no connection to the broker; everything it shows is the last known value.',
    hint: 'Start the gateway, or check its log. What is shown is the last known value.',
  },
  broker_unreachable: {
    summary: 'The broker of MQTT_URL cannot be reached.',
    hint: 'Check that the broker of MQTT_URL runs, and that this box reaches it.',
  },
  broker_refused: {
    summary: 'The broker refuses the connection; the reason has its answer ("Not authorized").',
    hint: 'Check the name and password in MQTT_URL, and the rights of that user on the broker.',
  },
  broker_silent: {
    summary: 'The connection to the broker is open, but the broker does not answer.',
    hint: 'Check the broker and the network.',
  },
  broker_size_limit: {
    summary: 'The broker ends the connection of a service each time that it publishes a large message.',
    hint: "Raise the broker's size limit for messages (message_size_limit or max_packet_size of Mosquitto) to 64 KiB.",
  },
  client_id_conflict: {
    summary:
      'The broker ends connections of a service soon after it accepts them: it replaces client ids, or another client has the same one.',
    hint: 'Turn off use_username_as_clientid, or its equivalent, on the broker; or give each service a user of its own.',
  },
  subscription_refused: {
    summary: 'The broker refuses subscriptions of a service; the reason names them.',
    hint: 'Grant these topics to this box on the broker (hr-gateway acl mosquitto), those of an earlier GATEWAY_NAME with --formerly.',
  },
  service_unknown: {
    summary: 'A service has not published a status to this broker yet.',
    hint: 'Start the service, and check its log.',
  },
  service_offline: {
    summary: 'A service has stopped, or its connection to the broker was lost.',
    hint: 'Check the log of the service; its supervisor restarts it.',
  },
  service_silent: {
    summary: 'A service is connected but has stopped publishing its status.',
    hint: 'The service hangs, or its connection does: check its log, and restart it.',
  },
  gateway_name_taken: {
    summary:
      'Another box with the same GATEWAY_NAME uses this broker: their statuses overwrite each other, and their readings mix.',
    hint: 'Give each box a GATEWAY_NAME of its own, and restart its services.',
  },
  broker_mismatch: {
    summary: 'MQTT_BROKER does not match the broker: external although a gateway of ours is the broker, or own although none is.',
    hint: 'Correct MQTT_BROKER or MQTT_URL on this box. Readings without numbers are not taken by the forwarder until then.',
  },
  certificate_expiring: {
    summary: 'A TLS certificate expires soon.',
    hint: 'Renew the certificate; changed files are reloaded automatically.',
  },
  certificate_expired: {
    summary: 'A TLS certificate has expired; clients refuse to connect.',
    hint: 'Renew the certificate; changed files are reloaded automatically.',
  },
  http_client_over_limit: {
    summary:
      'A client of the admin API or of the local stream asks for more than one client may: connections, requests or wrong tokens; the ' +
      'reason names it.',
    hint: 'Stop the program at that address, or give it the token. The operator is exempt. Behind Docker all clients share an address.',
  },
  log_lines_lost: {
    summary:
      'Log lines could not be written: the disk of the log is full, or standard output is closed or not read. Readings are not affected.',
    hint: 'Check where the output of the process goes: free space on the disk of the log, or restart its reader.',
  },
  queue_checking: {
    summary: 'The queue file is being checked before it is used; bridges hold their readings meanwhile.',
    hint: 'Wait: a large queue is read through once at the start. Bridges hold their readings meanwhile.',
  },
  queue_full: {
    summary: 'The queue has reached QUEUE_MAX_BYTES and is rejecting writes (QUEUE_WHEN_FULL=refuse).',
    hint: 'Fix the uplink, or raise QUEUE_MAX_BYTES. Bridges hold their readings meanwhile.',
  },
  disk_low: {
    summary: 'Less than QUEUE_MIN_FREE_DISK_BYTES is free on the disk of DATA_DIR; the queue is rejecting writes.',
    hint: 'Free space on the disk of DATA_DIR. Bridges hold their readings meanwhile.',
  },
  disk_full: {
    summary: 'The disk of DATA_DIR is full; the queue is rejecting writes.',
    hint: 'Free space on the disk of DATA_DIR. Bridges hold their readings meanwhile.',
  },
  disk_error: {
    summary: 'The disk of DATA_DIR reports errors, or is read-only; the queue is rejecting writes.',
    hint: 'Check the health of the disk of DATA_DIR. Bridges hold their readings meanwhile.',
  },
  queue_damaged: {
    summary: 'The queue file was damaged and was replaced; the detail names what was salvaged and what was lost.',
    hint: 'Check the disk, then acknowledge the report (POST /damage/acknowledge).',
  },
  queue_busy: {
    summary: 'Another process holds a lock on the queue file; the queue is rejecting writes.',
    hint:
      'End that process: the detail names it if it can be seen. Copy a queue with npm run backup, and never write to its file. Bridges ' +
      'hold their readings meanwhile.',
  },
  log_pinned: {
    summary:
      "Another process has read the queue file for a long time, so the queue's write-ahead log grows. No reading is evicted for it.",
    hint: 'End that process: the detail names it if it can be seen. The log then shrinks again.',
  },
  dead_letters: {
    summary: 'Readings were refused and wait among the dead letters.',
    hint: 'List them with GET /dead-letters; retry or discard them.',
  },
  clock_wrong: {
    summary: "This box's clock differs from the clock of the stream by more than 5 s, or is before the year of this build.",
    hint: 'Set the time of this box (timedatectl set-ntp true); readings are marked unsynced until then.',
  },
  many_unknown_straps: {
    summary:
      'Unusually many unknown addresses advertise a heart rate; most of them are not connected. Straps that delivered readings before ' +
      'are not affected.',
    hint:
      'In a place with many strangers, name your straps in BLE_ALLOW. Otherwise somebody within some metres of the box may be sending ' +
      'false advertisements.',
  },
  strap_sends_too_much: {
    summary: 'A strap sent many more packets than a heart rate strap does; the link was ended. The reason names it.',
    hint:
      "Restart the strap. If it is nobody's, somebody near the box may be attacking it: name it in BLE_DENY, or your own straps in " +
      'BLE_ALLOW.',
  },
  strap_changes: {
    summary: 'A strap offers other services than at the connection before, less than a minute ago. The reason names it.',
    hint:
      "Restart the strap. If it is nobody's, somebody near the box may be attacking it: name its address in BLE_DENY, or your own straps " +
      'in BLE_ALLOW.',
  },
  outbox_full: {
    summary: 'The bridge dropped readings: OUTBOX_MAX_BYTES was reached while the forwarder did not store them.',
    hint: 'Fix the forwarder or the broker; raise OUTBOX_MAX_BYTES if the disk allows.',
  },
  outbox_damaged: {
    summary: 'Readings that the bridge had spilled to disk could not be read back; their files are kept as *.damaged-*.',
    hint: 'Check the disk of DATA_DIR. After a power cut only the last write may be incomplete. Remove *.damaged-* when no longer needed.',
  },
  outbox_set_aside: {
    summary: 'Damaged files of the outbox are kept; what could be read of them was delivered, the rest was counted.',
    hint: 'Check the disk of DATA_DIR. Copy the *.damaged-* files if you want to look into them, then remove them: nothing else does.',
  },
  state_file_damaged: {
    summary: 'A small file of a service in DATA_DIR was damaged: what can be read of it is used, and it is kept as *.damaged-*.',
    hint: 'Check the disk of DATA_DIR (dmesg). The check ends once the *.damaged-* file is removed, or after a day.',
  },
  state_file_unreadable: {
    summary: 'The disk does not return a small file of a service in DATA_DIR; it is not replaced, and reading is retried.',
    hint: 'Check the disk and the rights of DATA_DIR (dmesg).',
  },
  state_file_unwritable: {
    summary: 'A small file of a service in DATA_DIR cannot be written; what changes is kept in memory, and writing is retried.',
    hint: 'Check the disk, its free space and the rights of DATA_DIR (dmesg).',
  },
  spill_failed: {
    summary: 'The bridge cannot write its outbox to disk: what is on it is kept, new readings are held in memory only.',
    hint: 'Check the disk of DATA_DIR and the kernel log (dmesg). Do not delete the outbox: writing is retried.',
  },
  spill_unreadable: {
    summary: 'The bridge cannot read its outbox on disk: readings are kept there, and reading is retried.',
    hint: 'Check the disk of DATA_DIR (dmesg). If one file stays unreadable, move it away: it is then counted as damaged.',
  },
  spill_not_removed: {
    summary: 'The bridge cannot remove files of its outbox whose readings are stored.',
    hint: 'Check the disk and the rights of DATA_DIR. Files that stay are sent once more after a restart; nothing is lost.',
  },
  outbox_disk_failed: {
    summary: 'The bridge dropped readings: the disk rejected writes while memory was full. What is on disk is kept.',
    hint: 'Check the disk of DATA_DIR and the kernel log (dmesg), and fix what keeps the forwarder from storing.',
  },
  no_acknowledgement: {
    summary: 'Readings are held for 10 s or longer, and the forwarder has acknowledged none of them.',
    hint: 'Check the forwarder: its health, its disk, and that the broker carries messages to and from it.',
  },
  foreign_queue: {
    summary: 'A second forwarder answers for the same readings; it is ignored.',
    hint: 'Stop the second forwarder, or give each box its own GATEWAY_NAME.',
  },
  second_forwarder: {
    summary: 'Another forwarder takes readings of the same gateways.',
    hint: 'Stop one of the two forwarders, or give each box its own GATEWAY_NAME.',
  },
  bridge_of_version_1: {
    summary: 'A bridge of version 1 offers its readings; it keeps them until it is updated.',
    hint: 'Update the bridge to the version of this forwarder. Its readings are delivered then.',
  },
  readings_missed: {
    summary: 'Readings were lost before they were accepted, by another cause than a replaced queue file.',
    hint: 'See the outbox of that bridge or gateway, and the disk of its box.',
  },
  put_back: {
    summary: 'Readings of a sequencer are put back again and again for more than 10 s.',
    hint: 'Check that the broker carries edge/ in order and in full, and that no second sequencer uses the same run.',
  },
  outbox_filling: {
    summary: 'The bridge holds more readings than usual: the forwarder does not store them.',
    hint: 'Check the forwarder: it does not store readings.',
  },
  adoption_off: {
    summary: 'Other clients get their PUBACK before their reading is stored.',
    hint: 'Remove GATEWAY_ADOPT=false. If the self-test failed, the reason says where: please report it.',
  },
  no_forwarder: {
    summary: 'No forwarder is connected to the broker, so nothing is stored.',
    hint: 'Start the forwarder, and check its MQTT_URL and its log.',
  },
  readings_unacknowledged: {
    summary: 'Readings of other clients have waited for more than 10 s to be stored.',
    hint: 'See the forwarder in /health: it does not store, or it is not connected.',
  },
  client_over_budget: {
    summary: 'A user or an address exceeds limits of the broker again and again; the reason names it and the limit.',
    hint: 'Check that client; it is slowed down or disconnected, the others are not. Remove its user, or block its address, if it attacks.',
  },
  too_many_runs: {
    summary: 'The bridge of another box begins more runs than one that is started again and again would; the reason names it.',
    hint:
      'Look at that box and its bridge. If somebody else uses its key, remove it (users remove) and issue another one. Readings of this ' +
      'box are not affected.',
  },
  publisher_stalled: {
    summary: 'A publisher was disconnected, because none of its unacknowledged readings was stored for 30 s.',
    hint: 'See the forwarder in /health. The publisher sends its readings again.',
  },
} as const satisfies Record<string, ReasonEntry>;

/** Usual hints; the forwarder gives a more precise one if it knows the exact failure. */
export const UPLINK_REASONS = {
  key_refused: {
    summary: 'The stream refuses all records of some partition keys; only their readings wait.',
    hint: 'Readings with other keys are shipped. Check the shard of these keys: split a hot one, or use KINESIS_PARTITION_KEY=random.',
  },
  throttled: {
    summary: 'The stream takes fewer readings than arrive; sending is slowed down.',
    hint: 'No action required: sending is retried more slowly. If it lasts, add shards, or use KINESIS_MODE=aggregated.',
  },
  unreachable: {
    summary: 'The stream cannot be reached, or something else answers in its place.',
    hint: 'Check network, DNS, proxy and firewall; readings wait in the queue.',
  },
  unauthorized: {
    summary: 'The credentials are wrong or missing, or have no right to this stream.',
    hint: 'Check key, secret and region, and the policy for this user (docs/kinesis.md).',
  },
  credentials_expired: {
    summary: 'The credentials have expired.',
    hint: 'Renew the credentials; rotated ones are picked up automatically.',
  },
  stream_missing: {
    summary: 'There is no stream of this name in this region.',
    hint: 'Create the stream (cloud/template.yaml), or correct KINESIS_STREAM and AWS_REGION. Readings wait in the queue.',
  },
  stream_not_active: { summary: 'The stream is being created, updated or deleted.', hint: 'Wait until the stream is ACTIVE.' },
  kms_error: {
    summary: "The stream's encryption key cannot be used.",
    hint: 'Check the state of the key and its policy for this user.',
  },
  clock_skew: {
    summary: "This box's clock differs too much from AWS' for requests to be accepted.",
    hint: 'Set the time of this box (timedatectl set-ntp true).',
  },
  misconfigured: {
    summary: 'A variable of the AWS SDK, or a file that a setting names, cannot be used; the reason names it.',
    hint: 'Correct it. A corrected file is read again automatically; a variable needs a restart. docs/kinesis.md lists them.',
  },
  local_stream_file: {
    summary:
      'The local stream cannot use its file: the disk of DATA_DIR is full, read-only or fails, or another process holds a lock; the ' +
      'reason has the error.',
    hint:
      'Check free space and health of the disk of DATA_DIR (dmesg), and end programs that write to local-kinesis.db. Readings wait in ' +
      'the queue, and no restart is needed.',
  },
  rejected: {
    summary: 'The stream refuses a record for its content.',
    hint: 'No action required: the record is located and moved to the dead letters.',
  },
  error: { summary: 'The stream answered with an unexpected error.', hint: 'Sending is retried; the log has the details.' },
} as const satisfies Record<Exclude<UplinkState, 'ok'>, ReasonEntry>;

export const DEAD_LETTER_REASONS = {
  invalid: 'Not a reading: the detail names the field and what is wrong with it.',
  too_large: 'The reading is larger than 256 KiB.',
  identity: 'Gateway, run or seq of the reading differ from the topic and line that carried it.',
  too_large_for_broker: 'The broker dropped this reading in three attempts; it has more than 2,500 bytes.',
  refused_by_stream: 'The stream refuses this reading; the detail has its answer.',
  payload_not_json: 'The payload is neither a JSON object nor an integer.',
  payload_not_a_reading: 'The payload is JSON, but neither an object nor an integer.',
  payload_not_finite: 'The payload has NaN or Infinity, which JSON does not have.',
  payload_duplicate_names: 'A name is in one JSON object twice, so it is not clear which value is meant.',
  payload_lone_surrogate: 'A JSON string has half of a surrogate pair.',
  payload_too_deep: 'The payload has more than 32 levels of objects and arrays.',
  payload_not_utf8: 'The payload is not valid UTF-8.',
  payload_byte_order_mark: 'The payload begins with a byte order mark.',
  payload_too_large: 'The payload is larger than 64 KiB; the dead letter has its first 1,024 bytes.',
  heart_rate_missing: 'The payload has no heart_rate.',
  heart_rate_type: 'heart_rate is not a number.',
  heart_rate_not_integer: 'heart_rate is not an integer.',
  heart_rate_out_of_range: 'heart_rate is not between 1 and 65535.',
  timestamp_type: 'timestamp is not a string.',
  timestamp_epoch: 'timestamp is a number; it is not known whether it counts seconds or milliseconds.',
  timestamp_invalid: 'timestamp is not an RFC 3339 timestamp.',
  timestamp_without_offset: 'timestamp has no offset from UTC, so the moment is not known.',
  timestamp_impossible: 'timestamp is not a real date and time, such as 30 February or a leap second.',
  topic: 'Another client published under hr/ on another topic than hr/<device>/bpm, or with a device name that is not allowed.',
  device_claimed: 'Another client published on the topic of a strap of this box; the message was not delivered.',
} as const satisfies Record<DeadLetterReason, string>;

export const EVICTED_CAUSES = {
  queue_full:
    'The queue reached QUEUE_MAX_BYTES (QUEUE_WHEN_FULL=evict-oldest): those who held the most lost their oldest readings.',
  dead_letters_full: 'Too many dead letters: those who had the most lost their oldest.',
  discarded: 'An operator discarded dead letters.',
  damaged: 'The queue file was damaged and these readings could not be salvaged.',
  test_reading: 'Simulated or replayed, and the target is not local (ALLOW_TEST_READINGS).',
} as const satisfies Record<EvictedCause, string>;

export const MISSED_CAUSES = {
  outbox_full: "The bridge's outbox reached OUTBOX_MAX_BYTES.",
  disk_failed: 'The disk of the outbox rejected writes while memory was full.',
  damaged: 'Files of the outbox on disk were damaged.',
  earlier_queue: 'Stored by an earlier queue file that was replaced, or restored from a backup.',
  not_accepting: 'Un-numbered readings of other apps that arrived while the queue was rejecting writes.',
  unknown: 'Not held any more by their sequencer, for no known reason; look for a second forwarder.',
} as const satisfies Record<MissedCause | 'not_accepting', string>;

/** Reasons of a strap's state, in `reason` of its status. */
export const STRAP_REASONS = {
  att_error: {
    summary: 'The strap refused a request that is needed; the detail has its ATT error.',
    hint: 'Disconnect the strap from other devices and put it on. If it stays, remove its pairing in the app of its maker, or restart it.',
  },
  pairing_failed: {
    summary: 'The strap requires an encrypted link, and pairing without a code failed.',
    hint: 'Enable pairing, or open heart rate broadcasting, on the strap or watch, and confirm there if it asks.',
  },
  values_unreadable: {
    summary: 'The strap sends heart rate values that are cut off or empty.',
    hint: "Update the strap's firmware, or restart it. The bytes are in the log (notification_malformed).",
  },
  too_many_packets: {
    summary: 'The strap sends many more packets than a heart rate strap does, so the bridge ended the link.',
    hint:
      "Restart the strap. If it is nobody's, somebody near the box may be attacking it: name it in BLE_DENY, or your own straps in " +
      'BLE_ALLOW.',
  },
  not_connectable: {
    summary: 'The strap advertises that it accepts no connection, usually because another device is connected to it.',
    hint: 'Disconnect it from the phone or watch that holds it, or enable a second connection (Polar H10: in Polar Flow).',
  },
} as const satisfies Record<StrapReasonCode, ReasonEntry>;

export const GAP_CAUSES = {
  out_of_range: 'The strap was out of range, or switched off.',
  ended_by_strap: 'The strap ended the connection: no skin contact, taken off, or another device took it.',
  no_pulse: 'The strap was worn by nobody, or found no pulse.',
  adapter: 'The Bluetooth adapter failed.',
  sensor_silent: 'The strap was connected but sent nothing.',
  bridge_restart: 'The bridge was restarted.',
  outbox_full: "Readings were dropped: the bridge's outbox was full.",
  evicted: 'Readings were dropped: the queue was full.',
} as const satisfies Record<GapCause, string>;

/** Codes that a health check may carry. */
export type ReasonCode = keyof typeof HEALTH_REASONS | keyof typeof UPLINK_REASONS | ErrorCode;

const ENTRIES: Readonly<Record<ReasonCode, ReasonEntry>> = { ...ERRORS, ...HEALTH_REASONS, ...UPLINK_REASONS };

/** What to do about a reason. */
export const hintOf = (code: ReasonCode): string => ENTRIES[code].hint;
