/** Settings of the box as a whole. */
import { GATEWAY_PATTERN } from '../../../contract/topics.ts';
import { ALL_SERVICES, type Setting } from './setting.ts';

export const BOX_SETTINGS = {
  GATEWAY_NAME: {
    type: 'text',
    default: undefined,
    pattern: GATEWAY_PATTERN,
    must: 'be 1-64 of a-z, 0-9 and -',
    doc:
      'Name of this box: part of its topics, and `gateway` in readings. Every box on a broker needs its own. Unset: slug of the ' +
      'host name at first start, kept in `DATA_DIR`.',
    usedBy: ['gateway', 'ble-bridge', 'forwarder', 'admin-api'],
  },
  GATEWAY_ADOPT: {
    type: 'boolean',
    default: true,
    doc: "Hold the PUBACK of another client's reading until the reading is stored. `false`: the PUBACK is sent at once and proves nothing.",
    usedBy: ['gateway'],
  },
  DATA_DIR: {
    type: 'text',
    default: './data',
    doc: 'Folder for the queue, the local stream, keys and the outbox. Put it on the most durable disk.',
    usedBy: ALL_SERVICES,
  },
} as const satisfies Record<string, Setting>;

/** Settings of every process. */
export const PROCESS_SETTINGS = {
  LOG_LEVEL: {
    type: 'choice',
    default: 'info',
    choices: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
    doc: 'Lowest level that is logged. The admin API can change it at run time.',
    usedBy: [...ALL_SERVICES, 'start'],
  },
  LOG_PRETTY: {
    type: 'choice',
    default: undefined,
    choices: ['true', 'false'],
    doc: 'Readable log lines instead of JSON. Unset: only on a terminal.',
    usedBy: [...ALL_SERVICES, 'start'],
  },
  WATCHDOG_TIMEOUT_MS: {
    type: 'integer',
    default: 60_000,
    min: 0,
    max: 3_600_000,
    doc:
      'A process whose event loop hangs for this long is killed, so that its supervisor restarts it. Raise it on a very ' +
      'slow box; 0 disables it.',
    usedBy: [...ALL_SERVICES, 'start'],
  },
  WATCHDOG_HEARTBEAT_FILE: {
    type: 'text',
    default: undefined,
    doc: 'File that the event loop touches every 5 s, for an external health check (docker-compose.yml sets it).',
    usedBy: [...ALL_SERVICES, 'start'],
  },
} as const satisfies Record<string, Setting>;
