/** Settings of MQTT: our own broker, and how the services reach the broker. */
import { KiB, MiB, MQTT_CLIENTS, type Setting } from './setting.ts';

export const MQTT_SETTINGS = {
  MQTT_BROKER: {
    type: 'choice',
    default: undefined,
    choices: ['own', 'external'],
    doc:
      '`own`: the gateway of this box is the broker. `external`: `MQTT_URL` names another broker; the gateway is not ' +
      'started by `npm start`, and health expects none. Unset: `own`, except if `MQTT_URL` has credentials or names a ' +
      'host that is neither loopback nor `gateway`; `npm start` then counts any `MQTT_URL` as external. A broker that ' +
      'is assumed to be external is named in a WARN.',
    usedBy: [...MQTT_CLIENTS, 'start'],
  },
  FORWARDER_GATEWAYS: {
    type: 'list',
    default: [],
    pattern: /^(\*|[a-z0-9-]{1,64})$/,
    must: 'be names of gateways (1-64 of a-z, 0-9 and -), or *',
    doc:
      'Names of the gateways whose readings the forwarder takes, besides those of its own box; `*`: of every gateway. Unset: ' +
      'every gateway on the own broker, only the own box on an external one. For several boxes on one broker.',
    usedBy: ['forwarder', 'admin-api'],
  },
  MQTT_LISTEN_HOST: {
    type: 'text',
    default: '127.0.0.1',
    doc: 'Address that the gateway listens on. Set `0.0.0.0` to let other hosts connect; read SECURITY.md first.',
    usedBy: ['gateway'],
  },
  MQTT_LISTEN_PORT: {
    type: 'integer',
    default: 1883,
    min: 0,
    max: 65535,
    doc: 'MQTT port of the gateway (0: any free port).',
    usedBy: ['gateway'],
  },
  MQTT_LISTEN_WS_PORT: {
    type: 'integer',
    default: 9001,
    min: 0,
    max: 65535,
    doc: 'Port for MQTT over WebSocket (0: any free port).',
    usedBy: ['gateway'],
  },
  MQTT_SERVICES_HOST: {
    type: 'text',
    default: '127.0.0.1',
    doc: "Address of the gateway's listener for the services of this box. In containers `0.0.0.0`, on a private network.",
    usedBy: ['gateway'],
  },
  MQTT_SERVICES_PORT: {
    type: 'integer',
    default: 1884,
    min: 0,
    max: 65535,
    doc:
      'MQTT port of that listener: it accepts service keys only, so other clients cannot take the connections of the services ' +
      '(0, or unset with `MQTT_LISTEN_PORT=0`: any free port; if 1884 is in use, another one with a WARN). Service keys work on ' +
      '`MQTT_LISTEN_PORT` too.',
    usedBy: ['gateway'],
  },
  MQTT_ANONYMOUS: {
    type: 'choice',
    default: undefined,
    choices: ['read', 'none'],
    doc:
      'What a client without credentials may do: `read` (subscribe to `hr/#`, `edge/+/+/status`) or ' +
      '`none`. Unset: `read` on a loopback listener, `none` on any other.',
    usedBy: ['gateway'],
  },
  MQTT_ALLOWED_HOSTS: {
    type: 'list',
    default: [],
    doc: 'Further host names, besides localhost and IP addresses, by which browser pages may reach MQTT over WebSocket.',
    usedBy: ['gateway'],
  },
  MQTT_TLS_CERT_FILE: {
    type: 'text',
    default: undefined,
    doc:
      'Certificate chain (PEM) of the gateway. If set, MQTT and WebSocket are also served over TLS, on separate ports. ' +
      'A renewed file is reloaded without a restart.',
    usedBy: ['gateway'],
  },
  MQTT_TLS_KEY_FILE: { type: 'text', default: undefined, doc: 'Private key (PEM) of `MQTT_TLS_CERT_FILE`.', usedBy: ['gateway'] },
  MQTT_TLS_LISTEN_HOST: {
    type: 'text',
    default: '127.0.0.1',
    doc: 'Address that the TLS listeners listen on. Set `0.0.0.0` to let other hosts connect.',
    usedBy: ['gateway'],
  },
  MQTT_TLS_LISTEN_PORT: {
    type: 'integer',
    default: 8883,
    min: 0,
    max: 65535,
    doc: 'Port for MQTT over TLS (0: any free port).',
    usedBy: ['gateway'],
  },
  MQTT_TLS_LISTEN_WS_PORT: {
    type: 'integer',
    default: 9443,
    min: 0,
    max: 65535,
    doc: 'Port for MQTT over WebSocket over TLS (0: any free port).',
    usedBy: ['gateway'],
  },
  MQTT_MAX_PACKET_BYTES: {
    type: 'bytes',
    default: MiB,
    min: 4 * KiB,
    max: 16 * MiB,
    doc:
      'Largest packet that a client may send; the connection is closed before a larger one is buffered. Raise it for ' +
      'clients that publish large messages of their own.',
    usedBy: ['gateway'],
  },
  MQTT_MAX_CONNECTIONS: {
    type: 'integer',
    default: 1000,
    min: 10,
    max: 100_000,
    doc:
      'Maximum number of connections, MQTT and WebSocket together; a single address may hold 60 % of them. Raise it for ' +
      'a large number of subscribers. Connections to `MQTT_SERVICES_PORT` are not among them.',
    usedBy: ['gateway'],
  },
  MQTT_MAX_RETAINED_BYTES: {
    type: 'bytes',
    default: 32 * MiB,
    min: 64 * KiB,
    max: 1024 * MiB,
    doc: 'Maximum total size of all retained messages, which are held in memory. Lower it on a box with little memory.',
    usedBy: ['gateway'],
  },
  MQTT_MAX_PUBLISHES_PER_SECOND: {
    type: 'integer',
    default: 1000,
    min: 1,
    max: 1_000_000,
    doc:
      'Messages per second that one client may publish; a faster client is read more slowly. All connections of one user may ' +
      'publish twice as many, all users together four times as many. Raise it for a client that forwards many devices. The ' +
      'services are exempt.',
    usedBy: ['gateway'],
  },
  MQTT_SLOW_SUBSCRIBER_MS: {
    type: 'integer',
    default: 2000,
    min: 100,
    max: 60_000,
    doc:
      'A subscriber whose full buffer does not drain within this time is disconnected. A service is not: messages to it are ' +
      'dropped and counted until it reads again. Raise it for subscribers on slow links.',
    usedBy: ['gateway'],
  },
  MQTT_URL: {
    type: 'text',
    default: 'mqtt://127.0.0.1:1884',
    pattern: /^(mqtts?|wss?|tcp|tls):\/\//,
    must: 'begin with mqtt://, mqtts://, ws:// or wss://',
    doc:
      'Broker that the services connect to. Credentials in it take precedence over the service key. Unset: ' +
      '`MQTT_SERVICES_PORT` of this machine, or, if nothing answers there for 5 s, `MQTT_LISTEN_PORT`; with ' +
      '`MQTT_BROKER=external` `mqtt://127.0.0.1:1883`.',
    usedBy: MQTT_CLIENTS,
  },
  MQTT_TLS_CA_FILE: {
    type: 'text',
    default: undefined,
    doc:
      'Certificate authority (PEM) that signs the certificate of an `mqtts://` or `wss://` broker in `MQTT_URL`. Unset: ' +
      'the authorities built into Node.',
    usedBy: MQTT_CLIENTS,
  },
} as const satisfies Record<string, Setting>;
