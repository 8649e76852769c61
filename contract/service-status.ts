/**
 * Service status, retained on `edge/<service>/status` (last will: offline), and metrics on `edge/<service>/metrics`.
 * The admin API knows the other services only through these.
 */
import type { FromSchema } from 'json-schema-to-ts';
import { parseJson, validatorOf, type Validated } from './validate.ts';

/** One line of health: what, how it is, since when, why, and what to do. */
export const checkSchema = {
  type: 'object',
  properties: {
    name: { type: 'string' },
    status: { enum: ['ok', 'warn', 'fail'] },
    since: { type: 'string' },
    /** Empty where all is well; else begins with a coded reason: `credentials_expired: …`. */
    reason: { type: 'string' },
    hint: { type: 'string' },
  },
  required: ['name', 'status', 'since', 'reason', 'hint'],
  additionalProperties: false,
} as const;
export type Check = FromSchema<typeof checkSchema>;
export type CheckStatus = Check['status'];

export const UPLINK_STATES = [
  'ok',
  'throttled',
  'unreachable',
  'unauthorized',
  'credentials_expired',
  'stream_missing',
  'stream_not_active',
  'kms_error',
  'clock_skew',
  'rejected',
  'error',
] as const;
export type UplinkState = (typeof UPLINK_STATES)[number];

export interface Uplink {
  state: UplinkState;
  reason: string;
  hint: string;
  since: string;
}

/** accepted = shipped + queued + dead + evicted, at every moment. `missed` was never accepted and stands outside. */
export interface Ledger {
  accepted: number;
  shipped: number;
  queued: number;
  dead: number;
  evicted: number;
  missed: number;
}

/** What the forwarder says about itself beside `checks`. */
export interface ForwarderStatus {
  target: 'local' | 'aws' | 'endpoint';
  /** The endpoint as a person would name it: "local stream on 127.0.0.1:4567", "AWS eu-west-1", the URL. */
  target_name: string;
  stream: string;
  mode: 'records' | 'aggregated';
  depth: number;
  bytes: number;
  oldest_age_seconds: number;
  dead_letters: number;
  ledger: Ledger;
  /** Causes stand beside the ledger's numbers: evicted and missed by cause, dead by reason. */
  causes: { evicted: Record<string, number>; missed: Record<string, number>; dead: Record<string, number> };
  duplicates: number;
  uplink: Uplink;
  commit_interval_ms: number;
  /** Box clock minus the clock of the far side's Date header; null before the first answer. */
  clock_ahead_ms: number | null;
  last_shipped_at: string | null;
}

/** What the bridge says about itself beside `checks`. */
export interface BridgeStatus {
  source: 'noble' | 'simulated' | 'replay' | 'none';
  run: string;
  radio: {
    adapter: string | null;
    state: string;
    advertisements_per_minute: number;
    connects: number;
    disconnects: Record<string, number>;
    reconnect_ms_p50: number | null;
    reconnect_ms_p95: number | null;
    straps_limit: number | null;
  };
  outbox: { held: number; spilled: number; spill_bytes: number; dropped: number; last_seq: number; stored_seq: number };
}

/** What the gateway says about itself beside `checks`. */
export interface GatewayStatus {
  clients: number;
  listeners: string[];
  /** Breaches of limits since the start, by name of the limit. */
  breaches: Record<string, number>;
  messages_in: number;
  messages_out: number;
}

export const serviceStatusSchema = {
  $id: 'service-status',
  type: 'object',
  properties: {
    service: { type: 'string' },
    state: { enum: ['online', 'offline'] },
    since: { type: 'string' },
    version: { type: 'string' },
    pid: { type: 'integer' },
    /** When this status was written. */
    as_of: { type: 'string' },
    checks: { type: 'array', items: checkSchema },
    forwarder: { type: 'object', additionalProperties: true },
    bridge: { type: 'object', additionalProperties: true },
    gateway: { type: 'object', additionalProperties: true },
  },
  required: ['service', 'state', 'since', 'version'],
  additionalProperties: true,
} as const;

/** The details stand under the service's own name, so that a reader never mistakes one for another. */
export interface ServiceDetails {
  forwarder?: ForwarderStatus;
  bridge?: BridgeStatus;
  gateway?: GatewayStatus;
}
export type ServiceStatus = {
  service: string;
  state: 'online' | 'offline';
  since: string;
  version: string;
  pid?: number;
  as_of?: string;
  checks?: Check[];
} & ServiceDetails;

const checkServiceStatus = validatorOf(serviceStatusSchema);
export const parseServiceStatus = (payload: Buffer | string): Validated<ServiceStatus> =>
  parseJson(payload, checkServiceStatus) as Validated<ServiceStatus>;

/** One metric as it crosses MQTT: name by Prometheus' conventions, without labels of its own for the service. */
export const metricSchema = {
  type: 'object',
  properties: {
    name: { type: 'string', pattern: '^hr_gateway_[a-z0-9_]+$' },
    help: { type: 'string' },
    type: { enum: ['counter', 'gauge', 'histogram'] },
    /** Counters and gauges: a value for each set of labels. */
    values: {
      type: 'array',
      items: {
        type: 'object',
        properties: { labels: { type: 'object', additionalProperties: { type: 'string' } }, value: { type: 'number' } },
        required: ['labels', 'value'],
        additionalProperties: false,
      },
    },
    /** Histograms: upper bounds, cumulative counts (the last is +Inf), sum. */
    bounds: { type: 'array', items: { type: 'number' } },
    counts: { type: 'array', items: { type: 'number' } },
    sum: { type: 'number' },
  },
  required: ['name', 'help', 'type'],
  additionalProperties: false,
} as const;
export type Metric = FromSchema<typeof metricSchema>;
export const metricsSchema = {
  $id: 'metrics',
  type: 'object',
  properties: { service: { type: 'string' }, as_of: { type: 'string' }, metrics: { type: 'array', items: metricSchema } },
  required: ['service', 'as_of', 'metrics'],
  additionalProperties: false,
} as const;
export type MetricsMessage = FromSchema<typeof metricsSchema>;
const checkMetrics = validatorOf(metricsSchema);
export const parseMetrics = (payload: Buffer | string): Validated<MetricsMessage> => parseJson(payload, checkMetrics);
