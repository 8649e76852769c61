/**
 * Every setting of the product, in one table: its type, default, bounds, who uses it, and its line in docs/settings.md.
 * Read it through service/config/config.ts only.
 */
import type { ServiceName } from '../../contract/topics.ts';

interface Row {
  doc: string;
  usedBy: readonly (ServiceName | 'start')[];
}
export type Setting = Row &
  (
    | { type: 'text'; default: string | undefined; pattern?: RegExp; must?: string }
    | { type: 'secret'; default: undefined }
    | { type: 'integer' | 'number'; default: number; min: number; max: number }
    | { type: 'bytes'; default: number; min: number; max: number }
    | { type: 'boolean'; default: boolean }
    | { type: 'choice'; default: string | undefined; choices: readonly string[] }
    | { type: 'list'; default: readonly string[] }
  );

const ALL = ['gateway', 'ble-bridge', 'forwarder', 'admin-api', 'local-kinesis'] as const;
const CLIENTS = ['ble-bridge', 'forwarder', 'admin-api'] as const;
const MiB = 1024 * 1024;

/** What may stand before a setting's name; a variable with one of these that is no setting is refused. */
export const PREFIXES = [
  'GATEWAY_',
  'DATA_',
  'MQTT_',
  'ADMIN_',
  'LOCAL_',
  'KINESIS_',
  'BLE_',
  'REPLAY_',
  'SIMULATED_',
  'QUEUE_',
  'OUTBOX_',
  'LOG_',
  'ALLOW_',
  'WATCHDOG_',
] as const;

export const SETTINGS = {
  // the box
  GATEWAY_NAME: {
    type: 'text',
    default: undefined,
    pattern: /^[a-z0-9-]{1,64}$/,
    must: 'be 1-64 of a-z, 0-9 and -',
    doc: 'Name of this box, `gateway` in readings. Unset: slug of the host name, kept in `DATA_DIR` at first start.',
    usedBy: ['ble-bridge', 'forwarder', 'admin-api'],
  },
  DATA_DIR: { type: 'text', default: './data', doc: 'Folder of queue, local stream, keys and outbox.', usedBy: ALL },
  // MQTT
  MQTT_LISTEN_HOST: { type: 'text', default: '127.0.0.1', doc: 'Address that the broker listens on.', usedBy: ['gateway'] },
  MQTT_LISTEN_PORT: {
    type: 'integer',
    default: 1883,
    min: 0,
    max: 65535,
    doc: 'MQTT port of the broker (0: any free one).',
    usedBy: ['gateway'],
  },
  MQTT_LISTEN_WS_PORT: {
    type: 'integer',
    default: 9001,
    min: 0,
    max: 65535,
    doc: 'MQTT over WebSocket (0: any free one).',
    usedBy: ['gateway'],
  },
  MQTT_ANONYMOUS: {
    type: 'choice',
    default: undefined,
    choices: ['read', 'none'],
    doc: 'What a client without a name may do: `read` (subscribe to `hr/#`, `edge/+/status`, `homeassistant/#`) or `none`. Unset: `read` on a loopback listener, `none` on any other.',
    usedBy: ['gateway'],
  },
  MQTT_ALLOWED_HOSTS: {
    type: 'list',
    default: [],
    doc: 'Host names, beside localhost and addresses, by which pages in browsers may reach MQTT over WebSocket.',
    usedBy: ['gateway'],
  },
  MQTT_TLS_CERT_FILE: {
    type: 'text',
    default: undefined,
    doc: 'Certificate chain (PEM) of the broker. With it, MQTT and WebSocket are served over TLS too, on ports of their own; a renewed file is taken up without a restart.',
    usedBy: ['gateway'],
  },
  MQTT_TLS_KEY_FILE: { type: 'text', default: undefined, doc: 'Private key (PEM) of `MQTT_TLS_CERT_FILE`.', usedBy: ['gateway'] },
  MQTT_TLS_LISTEN_HOST: {
    type: 'text',
    default: '127.0.0.1',
    doc: 'Address that the TLS listeners listen on.',
    usedBy: ['gateway'],
  },
  MQTT_TLS_LISTEN_PORT: {
    type: 'integer',
    default: 8883,
    min: 0,
    max: 65535,
    doc: 'MQTT over TLS (0: any free one).',
    usedBy: ['gateway'],
  },
  MQTT_TLS_LISTEN_WS_PORT: {
    type: 'integer',
    default: 9443,
    min: 0,
    max: 65535,
    doc: 'MQTT over WebSocket over TLS (0: any free one).',
    usedBy: ['gateway'],
  },
  MQTT_MAX_PACKET_BYTES: {
    type: 'bytes',
    default: MiB,
    min: 4096,
    max: 16 * MiB,
    doc: 'Largest packet that a client may send; a larger one ends its connection before it is buffered.',
    usedBy: ['gateway'],
  },
  MQTT_MAX_CONNECTIONS: {
    type: 'integer',
    default: 1000,
    min: 10,
    max: 100_000,
    doc: 'Most connections at once, MQTT and WebSocket together.',
    usedBy: ['gateway'],
  },
  MQTT_MAX_CONNECTIONS_PER_ADDRESS: {
    type: 'integer',
    default: 600,
    min: 1,
    max: 100_000,
    doc: 'Most connections from one address. Behind Docker all clients share one.',
    usedBy: ['gateway'],
  },
  MQTT_MAX_SUBSCRIPTIONS: {
    type: 'integer',
    default: 100,
    min: 1,
    max: 10_000,
    doc: 'Most subscriptions of one client.',
    usedBy: ['gateway'],
  },
  MQTT_MAX_TOPIC_BYTES: {
    type: 'integer',
    default: 256,
    min: 32,
    max: 65_535,
    doc: 'Longest topic or filter.',
    usedBy: ['gateway'],
  },
  MQTT_MAX_TOPIC_LEVELS: {
    type: 'integer',
    default: 16,
    min: 4,
    max: 100,
    doc: 'Most levels of a topic or filter.',
    usedBy: ['gateway'],
  },
  MQTT_MAX_RETAINED: {
    type: 'integer',
    default: 5000,
    min: 10,
    max: 1_000_000,
    doc: 'Most retained topics.',
    usedBy: ['gateway'],
  },
  MQTT_MAX_RETAINED_BYTES: {
    type: 'bytes',
    default: 32 * MiB,
    min: 64 * 1024,
    max: 1024 * MiB,
    doc: 'Most bytes of all retained messages together.',
    usedBy: ['gateway'],
  },
  MQTT_MAX_WILL_BYTES: {
    type: 'bytes',
    default: 16 * 1024,
    min: 0,
    max: MiB,
    doc: 'Largest will; a CONNECT with a larger one is refused.',
    usedBy: ['gateway'],
  },
  MQTT_MAX_PUBLISHES_PER_SECOND: {
    type: 'integer',
    default: 1000,
    min: 1,
    max: 1_000_000,
    doc: 'Messages a second that one user may publish; one that sends more is read more slowly. The services are not held back.',
    usedBy: ['gateway'],
  },
  MQTT_SLOW_SUBSCRIBER_MS: {
    type: 'integer',
    default: 2000,
    min: 100,
    max: 60_000,
    doc: 'A subscriber whose full buffer does not drain within this time is disconnected; deliveries to all others wait that long for it.',
    usedBy: ['gateway'],
  },
  MQTT_MAX_BACKLOG_BYTES: {
    type: 'bytes',
    default: 8 * MiB,
    min: 64 * 1024,
    max: 1024 * MiB,
    doc: 'Bytes that may wait for a slow subscriber before it is disconnected.',
    usedBy: ['gateway'],
  },
  MQTT_CONNECT_TIMEOUT_MS: {
    type: 'integer',
    default: 5000,
    min: 100,
    max: 60_000,
    doc: 'Within this time a connection must send its CONNECT.',
    usedBy: ['gateway'],
  },
  MQTT_URL: {
    type: 'text',
    default: 'mqtt://127.0.0.1:1883',
    pattern: /^(mqtts?|wss?|tcp|tls):\/\//,
    must: 'begin with mqtt://, mqtts://, ws:// or wss://',
    doc: 'Broker that the services connect to; credentials in it win over the service key.',
    usedBy: CLIENTS,
  },
  MQTT_TLS_CA_FILE: {
    type: 'text',
    default: undefined,
    doc: 'Certificate authority (PEM) that the services check the broker of an `mqtts://` or `wss://` `MQTT_URL` against. Unset: those that Node knows.',
    usedBy: CLIENTS,
  },
  // admin API
  ADMIN_HOST: { type: 'text', default: '127.0.0.1', doc: 'Address that admin API and page listen on.', usedBy: ['admin-api'] },
  ADMIN_PORT: {
    type: 'integer',
    default: 8080,
    min: 0,
    max: 65535,
    doc: 'Port of admin API and page (0: any free one).',
    usedBy: ['admin-api'],
  },
  ADMIN_ANONYMOUS: {
    type: 'choice',
    default: undefined,
    choices: ['read', 'none'],
    doc: 'What can be read without the token: `read` or `none`. Unset: `read` on loopback, `none` on any other address.',
    usedBy: ['admin-api'],
  },
  ADMIN_ALLOWED_HOSTS: {
    type: 'list',
    default: [],
    doc: 'Further host names that admin API and page answer to, beside addresses and localhost.',
    usedBy: ['admin-api'],
  },
  ADMIN_TLS_CERT_FILE: {
    type: 'text',
    default: undefined,
    doc: 'Certificate chain (PEM). With it, admin API and page are served over HTTPS alone; a renewed file is taken up without a restart.',
    usedBy: ['admin-api'],
  },
  ADMIN_TLS_KEY_FILE: {
    type: 'text',
    default: undefined,
    doc: 'Private key (PEM) of `ADMIN_TLS_CERT_FILE`.',
    usedBy: ['admin-api'],
  },
  // local stream
  LOCAL_KINESIS_HOST: {
    type: 'text',
    default: '127.0.0.1',
    doc: 'Address of the local stream: it listens there, the forwarder connects there.',
    usedBy: ['local-kinesis', 'forwarder'],
  },
  LOCAL_KINESIS_PORT: {
    type: 'integer',
    default: 4567,
    min: 0,
    max: 65535,
    doc: 'Port of the local stream.',
    usedBy: ['local-kinesis', 'forwarder'],
  },
  LOCAL_KINESIS_LIMITS: {
    type: 'boolean',
    default: true,
    doc: 'The local stream enforces the limits of a real shard.',
    usedBy: ['local-kinesis'],
  },
  LOCAL_KINESIS_FAULTS: {
    type: 'boolean',
    default: false,
    doc: 'Fault hooks of the local stream (`POST /control/faults`), for tests and drills.',
    usedBy: ['local-kinesis'],
  },
  // Kinesis
  KINESIS_TARGET: {
    type: 'text',
    default: 'local',
    pattern: /^(local|aws|https?:\/\/.+)$/,
    must: 'be local, aws or an http(s) URL',
    doc: 'Where readings go: `local` (the embedded stream), `aws`, or an endpoint URL.',
    usedBy: ['forwarder'],
  },
  KINESIS_STREAM: {
    type: 'text',
    default: 'hr-data-stream',
    pattern: /^[a-zA-Z0-9_.-]{1,128}$/,
    must: 'be 1-128 of letters, digits, _ . -',
    doc: 'Name of the stream.',
    usedBy: ['forwarder', 'local-kinesis'],
  },
  KINESIS_MODE: {
    type: 'choice',
    default: 'records',
    choices: ['records', 'aggregated'],
    doc: '`records`: one record a reading; `aggregated`: KPL aggregates, one device each.',
    usedBy: ['forwarder'],
  },
  KINESIS_LINGER_MS: {
    type: 'integer',
    default: 0,
    min: 0,
    max: 60_000,
    doc: 'How long a reading waits for others before it leaves; 0: at once when the uplink is idle.',
    usedBy: ['forwarder'],
  },
  KINESIS_PARTITION_KEY: {
    type: 'text',
    default: 'device',
    pattern: /^.{1,256}$/u,
    must: 'be 1-256 characters',
    doc: '`device`, `random`, or any other text as a fixed key.',
    usedBy: ['forwarder'],
  },
  KINESIS_AGGREGATE_BYTES: {
    type: 'bytes',
    default: 25 * 1024,
    min: 1024,
    max: MiB,
    doc: 'Size that an aggregate is filled to: one PUT unit is 25 KiB.',
    usedBy: ['forwarder'],
  },
  ALLOW_TEST_READINGS: {
    type: 'boolean',
    default: false,
    doc: 'Let simulated and replayed readings leave for a target that is not local.',
    usedBy: ['forwarder'],
  },
  // radio
  BLE_SOURCE: {
    type: 'choice',
    default: 'auto',
    choices: ['auto', 'noble', 'simulated', 'replay'],
    doc: 'Where notifications come from. `auto`: the adapter; where there is none and the target is local, simulated straps.',
    usedBy: ['ble-bridge', 'start'],
  },
  BLE_ADAPTER: {
    type: 'text',
    default: 'hci0',
    pattern: /^hci\d+$/,
    must: 'be hci0, hci1, …',
    doc: 'Bluetooth adapter.',
    usedBy: ['ble-bridge'],
  },
  BLE_ALLOW: {
    type: 'list',
    default: [],
    doc: 'Only these straps are connected: addresses, names or device names, `*` for any letters. Empty: every strap that advertises a heart rate. One that is named here is found though it does not advertise its heart rate service.',
    usedBy: ['ble-bridge'],
  },
  BLE_DENY: {
    type: 'list',
    default: [],
    doc: 'Straps that are never connected, as in `BLE_ALLOW`; wins over it.',
    usedBy: ['ble-bridge'],
  },
  BLE_ALIASES: {
    type: 'list',
    default: [],
    doc: 'Names in topics: `polar-h10-a1b2c3=anna` or `c0:ff:ee:a1:b2:c3=anna`, separated by commas.',
    usedBy: ['ble-bridge'],
  },
  BLE_MAX_STRAPS: {
    type: 'integer',
    default: 16,
    min: 1,
    max: 500,
    doc: 'Most straps that are connected at once.',
    usedBy: ['ble-bridge'],
  },
  BLE_SILENCE_MS: {
    type: 'integer',
    default: 10_000,
    min: 1000,
    max: 600_000,
    doc: 'A connected strap without a valid notification for this long is silent: subscribed again, after twice as long connected again.',
    usedBy: ['ble-bridge'],
  },
  BLE_RECOVERY_STEP_MS: {
    type: 'integer',
    default: 15_000,
    min: 500,
    max: 600_000,
    doc: 'How long each rung of the recovery ladder waits for a sign of life of the radio: new scan, new noble (four times, each wait longer), end of the process with `radio_stuck`.',
    usedBy: ['ble-bridge'],
  },
  BLE_LOW_BATTERY_PERCENT: {
    type: 'integer',
    default: 15,
    min: 0,
    max: 100,
    doc: 'At this battery level and below a status says `battery_low`.',
    usedBy: ['ble-bridge'],
  },
  REPLAY_FILE: { type: 'text', default: undefined, doc: 'Recording to replay (CSV or FIT).', usedBy: ['ble-bridge'] },
  REPLAY_SPEED: {
    type: 'number',
    default: 1,
    min: 0,
    max: 1_000_000,
    doc: 'Factor; 0: as fast as the readings are accepted.',
    usedBy: ['ble-bridge'],
  },
  REPLAY_LOOP: { type: 'boolean', default: false, doc: 'Begin again at the end.', usedBy: ['ble-bridge'] },
  SIMULATED_STRAPS: { type: 'integer', default: 3, min: 1, max: 500, doc: 'How many simulated straps.', usedBy: ['ble-bridge'] },
  // queue
  QUEUE_COMMIT_INTERVAL_MS: {
    type: 'integer',
    default: 100,
    min: 0,
    max: 60_000,
    doc: 'At most this long between two commits of a busy queue; an idle one commits at once.',
    usedBy: ['forwarder'],
  },
  QUEUE_MAX_BYTES: {
    type: 'bytes',
    default: 1024 * MiB,
    min: MiB,
    max: 1024 * 1024 * MiB,
    doc: 'Most bytes that the queue takes on disk (used pages and WAL).',
    usedBy: ['forwarder'],
  },
  QUEUE_MIN_FREE_DISK_BYTES: {
    type: 'bytes',
    default: 32 * MiB,
    min: 0,
    max: 1024 * 1024 * MiB,
    doc: 'With less free on its disk the queue accepts no more; the bridge holds.',
    usedBy: ['forwarder'],
  },
  QUEUE_WHEN_FULL: {
    type: 'choice',
    default: 'evict-oldest',
    choices: ['evict-oldest', 'refuse'],
    doc: 'At the limit: give the oldest up (counted), or take no more (the bridge holds).',
    usedBy: ['forwarder'],
  },
  // outbox
  OUTBOX_WINDOW: {
    type: 'integer',
    default: 2000,
    min: 20,
    max: 100_000,
    doc: "Readings under way ahead of the mark; also the size of the forwarder's reorder buffer.",
    usedBy: ['ble-bridge', 'forwarder'],
  },
  OUTBOX_MEMORY: {
    type: 'integer',
    default: 10_000,
    min: 100,
    max: 1_000_000,
    doc: 'Readings that the bridge holds in memory; beyond half of it, it goes on on disk.',
    usedBy: ['ble-bridge'],
  },
  OUTBOX_MAX_BYTES: {
    type: 'bytes',
    default: 256 * MiB,
    min: 64 * 1024,
    max: 1024 * 1024 * MiB,
    doc: 'Most bytes that the bridge holds on disk.',
    usedBy: ['ble-bridge'],
  },
  // service
  LOG_LEVEL: {
    type: 'choice',
    default: 'info',
    choices: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
    doc: 'Least level that is logged; changed at run time by request.',
    usedBy: [...ALL, 'start'],
  },
  LOG_PRETTY: {
    type: 'choice',
    default: undefined,
    choices: ['true', 'false'],
    doc: 'Readable log lines instead of JSON. Unset: only on a terminal.',
    usedBy: [...ALL, 'start'],
  },
  WATCHDOG_TIMEOUT_MS: {
    type: 'integer',
    default: 60_000,
    min: 0,
    max: 3_600_000,
    doc: 'A process whose event loop hangs for this long is ended for its supervisor to start it again; 0: never.',
    usedBy: [...ALL, 'start'],
  },
  WATCHDOG_HEARTBEAT_FILE: {
    type: 'text',
    default: undefined,
    doc: 'File that the event loop touches every 5 s, for a health check from outside (docker-compose.yml sets it).',
    usedBy: [...ALL, 'start'],
  },
} as const satisfies Record<string, Setting>;

export type SettingName = keyof typeof SETTINGS;
