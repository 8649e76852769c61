/** What the forwarder reports of itself beside its checks: queue, ledger, uplink. Part of its service status and of `GET /queue`. */
import Type, { type Static } from 'typebox';
import { countsSchema, countSchema, durationSchema, nullable, textSchema, timeSchema } from './fields.ts';

/** `ok`, or the reason code of why readings are not shipped (docs/errors.md). */
export const UPLINK_STATES = [
  'ok',
  'key_refused',
  'throttled',
  'unreachable',
  'unauthorized',
  'credentials_expired',
  'stream_missing',
  'stream_not_active',
  'kms_error',
  'clock_skew',
  'misconfigured',
  'local_stream_file',
  'rejected',
  'error',
] as const;
export type UplinkState = (typeof UPLINK_STATES)[number];

/** So many refused keys are listed, and are labels of metrics. */
export const REFUSED_KEYS_SHOWN = 20;

export const uplinkSchema = Type.Object({
  state: Type.Enum(UPLINK_STATES),
  /** What was found, for a person, without the code; empty if ok. */
  reason: Type.String(),
  hint: textSchema,
  since: timeSchema,
  /** What is exchanged with the stream, measured on the wire in both directions, over the last minute. Absent: older version. */
  bytes_per_second: Type.Optional(countSchema),
  /** UPLINK_MAX_BYTES_PER_SECOND; absent: no limit. */
  max_bytes_per_second: Type.Optional(countSchema),
  /** The partition keys that the stream refuses while it takes others; those that are refused for the longest time. */
  refused_keys: Type.Optional(
    Type.Array(Type.Object({ key: textSchema, code: textSchema, since: timeSchema }), { maxItems: REFUSED_KEYS_SHOWN }),
  ),
});
export type Uplink = Static<typeof uplinkSchema>;

/** accepted = shipped + queued + dead + evicted, always. `missed` readings were never accepted and are counted separately. */
export const ledgerSchema = Type.Object({
  accepted: countSchema,
  shipped: countSchema,
  queued: countSchema,
  dead: countSchema,
  evicted: countSchema,
  missed: countSchema,
});
export type Ledger = Static<typeof ledgerSchema>;

/** Outcomes of the readings that arrived, counted for each gateway whose sequencer sent them. */
export const arrivalsSchema = Type.Object({
  accepted: countSchema,
  duplicate: countSchema,
  put_back: countSchema,
  copy: countSchema,
  /** By code (docs/errors.md, reasons of dead letters). */
  refused: countsSchema,
});
export type ArrivalCounts = Static<typeof arrivalsSchema>;

export const forwarderStatusSchema = Type.Object({
  /** Whose readings it takes: names of gateways, or `*` for every gateway's. Absent: only those of its own gateway. */
  gateways: Type.Optional(Type.Array(Type.String({ maxLength: 64 }), { maxItems: 1000 })),
  /**
   * What a PUBACK for another client's reading proves on this broker: `stored` if our gateway adopts readings, `received` on an external
   * broker, which acknowledges before the reading is stored. Absent: not known (older version).
   */
  puback_means: Type.Optional(Type.Enum(['stored', 'received'])),
  target: Type.Enum(['local', 'aws', 'endpoint']),
  /** The endpoint for display: "local stream on 127.0.0.1:4567", "AWS eu-west-1", the URL. */
  target_name: textSchema,
  stream: textSchema,
  mode: Type.Enum(['records', 'aggregated']),
  depth: countSchema,
  bytes: countSchema,
  oldest_age_seconds: durationSchema,
  dead_letters: countSchema,
  ledger: ledgerSchema,
  /** Causes beside the ledger's numbers: evicted and missed by cause, dead by reason. */
  causes: Type.Object({ evicted: countsSchema, missed: countsSchema, dead: countsSchema }),
  /**
   * At most so many commits were lost with damaged files: what they changed is in none of the counts. Null: any number, because the counts
   * themselves were lost. Absent: none, or not known (older version).
   */
  lost_commits: Type.Optional(nullable(countSchema)),
  /** Readings that arrived again and were not stored twice. */
  duplicates: countSchema,
  /** By name of the gateway. */
  arrivals: Type.Optional(Type.Record(Type.String({ pattern: '^[a-z0-9-]{1,64}$' }), arrivalsSchema)),
  uplink: uplinkSchema,
  /** How long readings wait for a commit under load; bridges wait at least this long for an acknowledgement. */
  commit_interval_ms: Type.Integer({ minimum: 0, maximum: 3_600_000 }),
  /**
   * This box's clock minus the stream's, as far as a Date header of whole seconds tells: 0 if they may agree; null before the first answer.
   */
  clock_ahead_ms: nullable(Type.Number()),
  last_shipped_at: nullable(timeSchema),
});
export type ForwarderStatus = Static<typeof forwarderStatusSchema>;
