/**
 * Every coded error of the product: what it means, what to do, and whether a retry can help.
 * docs/errors.md is made from this table (`npm run docs`), and a test compares both with the code.
 */
export interface ErrorEntry {
  summary: string;
  hint: string;
  /** True if the same call may succeed later without any action. */
  retryable: boolean;
}

export const ERRORS = {
  // service
  config_invalid: {
    summary: 'The configuration is invalid; all faults are named at once.',
    hint: 'Correct the named variables; hr-gateway config shows the effective values.',
    retryable: false,
  },
  setting_removed: {
    summary: 'A setting of an earlier release is still set; it no longer exists and has no effect.',
    hint: 'Remove the named variables from .env or the environment; the log line states the value that applies instead.',
    retryable: false,
  },
  broker_assumed: {
    summary: 'MQTT_BROKER is not set, and MQTT_URL names a broker that is taken to be external.',
    hint: 'Set MQTT_BROKER=external, or MQTT_BROKER=own if that broker is the gateway of this box.',
    retryable: false,
  },
  data_dir_in_use: {
    summary: 'Another process of the same service already uses this data folder.',
    hint: 'Stop the other one, or set another DATA_DIR.',
    retryable: false,
  },
  data_dir_unusable: {
    summary: 'The data folder cannot be created, read or written.',
    hint: 'Check that DATA_DIR exists, that this user owns it, and that the disk is not read-only. A start waits for a disk that fails.',
    retryable: true,
  },
  wrong_container: {
    summary: 'The command needs the files of another service, which are in the volume of its container.',
    hint: 'Run it in the container that the detail names: docker compose exec SERVICE hr-gateway …',
    retryable: false,
  },
  box_not_running: {
    summary: 'The command needs a running box, and none uses this DATA_DIR. Nothing was written.',
    hint:
      'Start the box (npm start, systemctl start hr-gateway, docker compose up -d), set DATA_DIR to the folder that it uses, or run ' +
      'the command where the box runs.',
    retryable: true,
  },
  box_running: {
    summary: 'The command replaces files of a box, which is running.',
    hint: 'Stop the box first: Ctrl-C, systemctl stop hr-gateway, or docker compose stop forwarder.',
    retryable: true,
  },
  backup_unusable: {
    summary: 'The file is not a backup of a queue that this version can restore. Nothing was changed.',
    hint: 'hr-gateway backup writes backups to DATA_DIR/backups; use another one of them.',
    retryable: false,
  },
  user_unknown: {
    summary: 'There is no user of this name.',
    hint: 'hr-gateway users list prints the names.',
    retryable: false,
  },
  port_in_use: {
    summary: 'The port to listen on is in use by another program.',
    hint: 'Stop the other program, or choose another port with the setting that the detail names.',
    retryable: false,
  },
  uncaught_error: {
    summary: 'A programming error; the service stops in order and ends with exit code 1.',
    hint: 'The supervisor restarts it. Please report the log line.',
    retryable: true,
  },
  worker_failed: {
    summary: 'A worker thread of the service ended unexpectedly.',
    hint: 'The service ends so that its supervisor restarts it; the preceding log line has the cause.',
    retryable: true,
  },
  // commands
  not_connected: {
    summary: 'There is no connection to the broker, so no command can be sent to the other services.',
    hint: 'See /health for the gateway; try again when it is back.',
    retryable: true,
  },
  command_timeout: {
    summary: 'The service did not answer a command in time.',
    hint: 'See /health for that service; try again when it is online.',
    retryable: true,
  },
  command_unknown: {
    summary: 'The service does not know this command.',
    hint: 'The services are of different versions: update all of them.',
    retryable: false,
  },
  command_invalid: {
    summary: 'The arguments of a command do not match its description.',
    hint: 'See the API description for this command.',
    retryable: false,
  },
  command_failed: {
    summary: 'The service could not carry out a command.',
    hint: 'The log of that service has the cause.',
    retryable: true,
  },
  // radio
  radio_unavailable: {
    summary: 'No usable Bluetooth adapter: none was found, it is switched off, or this process lacks the permission to use it.',
    hint: 'Run hr-gateway doctor: it says what to do. Straps are read as soon as the adapter responds; no restart is needed.',
    retryable: true,
  },
  radio_stuck: {
    summary: 'The Bluetooth adapter does not respond, although noble was restarted several times.',
    hint: 'The bridge ends and its supervisor restarts it. If the error returns, unplug the adapter or restart the box.',
    retryable: true,
  },
  radio_scan_refused: {
    summary: 'The adapter refuses to scan for straps, or does not answer.',
    hint: 'Another program may be using it (bluetoothctl scan off); the scan is retried automatically.',
    retryable: true,
  },
  strap_unknown: {
    summary: 'There is no strap of this name.',
    hint: 'GET /devices lists the names.',
    retryable: false,
  },
  run_unknown: {
    summary: 'The queue has no account of this run: it never had a reading of it, or the account has expired (AUDIT_DAYS).',
    hint: 'Check the digits of the run; a reading has them beside its seq.',
    retryable: false,
  },
  run_ambiguous: {
    summary: 'Several gateways have a run with these digits; the detail names them.',
    hint: 'Name one of them: ?gateway=NAME.',
    retryable: false,
  },
  strap_not_connected: {
    summary: 'The strap is not connected, so nothing can be written to it.',
    hint: 'Try again when its state is streaming.',
    retryable: true,
  },
  strap_has_no_energy_count: {
    summary: 'The strap has no energy count that could be reset.',
    hint: 'Only straps with the characteristic 0x2A39 count energy.',
    retryable: false,
  },
  recording_unreadable: {
    summary: 'The recording to replay is missing, damaged, or of an unknown format.',
    hint: 'docs/recordings.md lists the files that work; hr-gateway replay --dry-run FILE shows what is in one.',
    retryable: false,
  },
  // broker
  listener_unprotected: {
    summary: 'A listener beyond loopback would be open to everybody without a decision for that.',
    hint: 'Set MQTT_ANONYMOUS=none, start, and add users (hr-gateway users add NAME); or MQTT_ANONYMOUS=read, if everybody may read.',
    retryable: false,
  },
  users_unreadable: {
    summary: 'DATA_DIR/users.json cannot be read.',
    hint: 'Correct or remove DATA_DIR/users.json; hr-gateway users add recreates it.',
    retryable: false,
  },
  certificate_unusable: {
    summary: 'A certificate or its key cannot be read, or they do not match.',
    hint:
      'Check the files that MQTT_TLS_… or ADMIN_TLS_… name: PEM, readable for this user, one pair. Changed files are reloaded ' +
      'automatically.',
    retryable: false,
  },
  // local stream
  local_stream_unusable: {
    summary: 'The file of the local stream cannot be opened.',
    hint: 'Move DATA_DIR/local-kinesis.db away: a new, empty local stream is created. The queue is not touched.',
    retryable: false,
  },
  // queue
  queue_too_new: {
    summary: 'The queue file was written by a newer version of this program; it was left untouched.',
    hint: 'Run the newer version again, or move DATA_DIR/queue.db away; its readings are then shipped by that version.',
    retryable: false,
  },
  queue_unusable: {
    summary: 'The queue file cannot be opened or created.',
    hint:
      'Check space, rights and health of the disk that holds DATA_DIR. A damaged file is replaced automatically; this is another ' +
      'fault.',
    retryable: true,
  },
  // admin API
  token_needed: {
    summary: "This needs the operator's token.",
    hint: 'hr-gateway token shows it (npm run token in a checkout); send it as Authorization: Bearer …, or log in on the page.',
    retryable: false,
  },
  host_not_allowed: {
    summary: 'The Host header names a host that this API does not answer to.',
    hint: 'Use 127.0.0.1 or the address, or add the name to ADMIN_ALLOWED_HOSTS.',
    retryable: false,
  },
  origin_not_allowed: {
    summary: 'A page of another site requested a change.',
    hint: 'Use the page of this box.',
    retryable: false,
  },
  too_many_pages: {
    summary: 'The maximum number of pages is following the events.',
    hint: 'Close some; the page retries automatically.',
    retryable: true,
  },
  too_many_requests: {
    summary: 'A client without the token sent more requests, or wrong tokens, than one client may.',
    hint: 'Wait some seconds. Programs that ask often send the token: Authorization: Bearer …',
    retryable: true,
  },
  nothing_known: {
    summary: 'The service that knows this has not published a status yet.',
    hint: 'See /health for that service; try again when it is online.',
    retryable: true,
  },
  request_invalid: {
    summary: 'The request does not match the API description.',
    hint: 'See /docs.',
    retryable: false,
  },
  not_found: {
    summary: 'There is no resource at this address.',
    hint: 'See /docs.',
    retryable: false,
  },
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERRORS;
