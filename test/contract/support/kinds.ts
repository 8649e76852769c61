/** Every kind of message with a valid example, its parser, and which fields may be null or missing. */
import { argsCheckerOf, parseRequest, resultCheckerOf } from '../../../contract/commands.ts';
import { parseDeviceStatus, parseGap } from '../../../contract/device-status.ts';
import { parseFaultSettings } from '../../../contract/fault-settings.ts';
import { parseMetrics } from '../../../contract/metrics.ts';
import { parseOffer, parseStored, parseSync } from '../../../contract/delivery.ts';
import { parseRefusedLine, refusalOf } from '../../../contract/publication/refusal.ts';
import { parseReading } from '../../../contract/reading.ts';
import { parseResponse, parseResponsePart } from '../../../contract/response.ts';
import { parseServiceStatus } from '../../../contract/service-status.ts';
import { parseUsersFile } from '../../../contract/users-file.ts';
import { parseJson, type Parser } from '../../../contract/validate.ts';
import * as messages from '../../support/messages.ts';
import type { Exceptions } from './mutations.ts';

export interface Kind {
  name: string;
  message: object;
  parse: Parser<unknown>;
  exceptions: Exceptions;
  /** An unknown field refuses the message: it is acted on literally. */
  strict?: boolean;
}

const none: Exceptions = { nullable: [], optional: [], maps: [] };

const status: Exceptions = {
  nullable: [
    'forwarder.clock_ahead_ms',
    'forwarder.last_shipped_at',
    'bridge.radio.adapter',
    'bridge.radio.reconnect_ms_p50',
    'bridge.radio.reconnect_ms_p95',
    'bridge.radio.straps_limit',
  ],
  optional: ['pid', 'as_of', 'checks', 'forwarder', 'bridge', 'gateway'],
  maps: [
    'forwarder.causes.evicted',
    'forwarder.causes.missed',
    'forwarder.causes.dead',
    'bridge.radio.disconnects',
    'gateway.breaches',
  ],
};

export const DEVICE_STATUS: Exceptions = {
  nullable: [
    'name',
    'address',
    'battery_percent',
    'rssi',
    'manufacturer',
    'model',
    'firmware',
    'body_sensor_location',
    'last_reading_at',
    'reconnect_ms_p50',
    'reconnect_ms_p95',
  ],
  optional: [
    'battery_low',
    'adapter_state',
    'advertisements_per_minute',
    'connects',
    'disconnects',
    'reconnect_ms_p50',
    'reconnect_ms_p95',
  ],
  maps: ['disconnects'],
};

const RUN_COUNTS = { shipped: 2, queued: 1, dead: 0, evicted: 1, missed: 1, unknown: 0 };
const RUN_ACCOUNT = {
  gateway: 'front-desk',
  run: '3f9a1c2e00b7d415',
  state: 'open',
  watermark: 5,
  counts: RUN_COUNTS,
  causes: { dead: { invalid: 1 }, evicted: { queue_full: 1 }, missed: { outbox_full: 1 } },
  counted_only: { from: 1, to: 2, counts: RUN_COUNTS },
  spans: [{ from: 3, to: 5, outcome: 'evicted', cause: 'queue_full' }],
  next_from: 6,
  complete: false,
  verdict: 'missing: 2 readings of 5',
};
const DEAD_LETTERS = {
  total: 1,
  next_before: 1,
  dead_letters: [
    {
      id: 1,
      at: new Date().toISOString(),
      reason: 'invalid',
      detail: 'heart_rate must be integer',
      device: 'strap-1',
      gateway: 'test-box',
      run: '3f9a1c2e00b7d415',
      seq: 3,
      publisher: 'my-app',
      bytes: 20,
      payload: '{}',
      whole: true,
    },
  ],
};

export const SERVICE_STATUS = status;
export const METRICS: Exceptions = { ...none, maps: ['metrics.values.labels'] };

const statusKind = (service: Parameters<typeof messages.serviceStatus>[0]): Kind => ({
  name: `status of ${service}`,
  message: messages.serviceStatus(service),
  parse: parseServiceStatus,
  exceptions: status,
});

export const KINDS: readonly Kind[] = [
  statusKind('forwarder'),
  statusKind('ble-bridge'),
  statusKind('gateway'),
  statusKind('admin-api'),
  { name: 'device status', message: messages.deviceStatus('strap-1'), parse: parseDeviceStatus, exceptions: DEVICE_STATUS },
  { name: 'gap', message: messages.gap(), parse: parseGap, exceptions: { ...none, optional: ['readings'] } },
  { name: 'metrics', message: messages.metricsMessage('forwarder'), parse: parseMetrics, exceptions: METRICS },
  {
    name: 'reading',
    message: messages.reading('strap-1'),
    parse: parseReading,
    exceptions: {
      ...none,
      nullable: ['sensor_contact', 'energy_expended_kj'],
      optional: ['device', 'gateway', 'run', 'seq', 'rr_intervals_ms', 'sensor_contact', 'energy_expended_kj', 'clock', 'source'],
    },
  },
  {
    name: 'numbered refusal',
    message: refusalOf({
      code: 'payload_not_json',
      detail: 'ends too early',
      device: 'Bike1',
      publisher: 'my-app',
      arrivedAt: new Date(),
      payload: Buffer.from('{'),
    }),
    parse: parseRefusedLine,
    exceptions: { ...none, optional: ['device', 'publisher', 'timestamp', 'payload'] },
  },
  {
    name: 'request',
    message: { id: 'a-1' },
    parse: parseRequest,
    exceptions: none,
    strict: true,
  },
  {
    name: 'arguments of list-dead-letters',
    message: { limit: 3, before: 5 },
    parse: (payload) => parseJson(payload, argsCheckerOf('list-dead-letters')),
    exceptions: { ...none, optional: ['limit', 'before'] },
    strict: true,
  },
  {
    name: 'arguments of show-run',
    message: { run: '3f9a1c2e00b7d415', gateway: 'front-desk', from: 3 },
    parse: (payload) => parseJson(payload, argsCheckerOf('show-run')),
    exceptions: { ...none, optional: ['gateway', 'from'] },
    strict: true,
  },
  {
    name: 'failed response',
    message: { id: 'a-1', ok: false, error: { code: 'command_failed', message: 'no room', hint: 'make room' } },
    parse: parseResponse,
    exceptions: none,
  },
  {
    name: 'part of a response',
    message: { id: 'a-1', part: 1, parts: 2, data: 'eyJpZCI6' },
    parse: parseResponsePart,
    exceptions: none,
  },
  {
    name: 'list of dead letters',
    message: DEAD_LETTERS,
    parse: (payload) => parseJson(payload, resultCheckerOf('list-dead-letters')),
    exceptions: {
      ...none,
      nullable: ['next_before', 'dead_letters.gateway', 'dead_letters.run', 'dead_letters.seq', 'dead_letters.publisher'],
    },
  },
  {
    name: 'account of a run',
    message: RUN_ACCOUNT,
    parse: (payload) => parseJson(payload, resultCheckerOf('show-run')),
    exceptions: {
      ...none,
      nullable: ['counted_only', 'spans.cause', 'next_from'],
      maps: ['causes.dead', 'causes.evicted', 'causes.missed'],
    },
  },
  {
    name: 'offer',
    message: { run: '3f9a1c2e00b7d415', from: 1, last: 3, dropped: { outbox_full: 2 }, sync: 1 },
    parse: parseOffer,
    exceptions: { ...none, optional: ['dropped.outbox_full'] },
    strict: true,
  },
  {
    name: 'stored',
    message: { queue: '00b7d4153f9a1c2e', stored: 3, sync: 1, missed: [{ from: 1, to: 2, cause: 'outbox_full' }] },
    parse: parseStored,
    exceptions: { ...none, optional: ['sync', 'missed'] },
    strict: true,
  },
  {
    name: 'sync',
    message: { queue: '00b7d4153f9a1c2e', gateways: ['*'] },
    parse: parseSync,
    exceptions: none,
    strict: true,
  },
  {
    name: 'users file',
    message: { coach: { salt: 'c2FsdA==', hash: 'aGFzaA==', publish: ['hr/+/bpm'], subscribe: ['hr/#'] } },
    parse: parseUsersFile,
    exceptions: { ...none, optional: ['coach'] },
  },
  {
    name: 'fault settings',
    message: { latencyMs: 10, throttleRate: 0.5, request: 'status500', count: 3, seed: 1 },
    parse: parseFaultSettings,
    exceptions: { ...none, optional: ['latencyMs', 'throttleRate', 'request', 'count', 'seed'] },
    strict: true,
  },
];
