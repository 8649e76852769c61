/** Faults that the local stream injects, set by a request of a test or a drill (`LOCAL_KINESIS_FAULTS=true`). */
import Type, { type Static } from 'typebox';
import { parserOf } from './validate.ts';

export const REQUEST_FAULTS = [
  'status500',
  'status503',
  'connectionReset',
  'halfBody',
  'stalledBody',
  'expiredToken',
  'accessDenied',
  'unrecognizedClient',
  'throttled',
  'kmsDisabled',
  'streamMissing',
  'clockSkew',
  'rejectPoison',
  'retryAfter',
  'notActive',
] as const;
export type RequestFault = (typeof REQUEST_FAULTS)[number];

const share = Type.Number({ minimum: 0, maximum: 1 });

export const faultSettingsSchema = Type.Partial(
  Type.Object({
    /** Every answer is delayed by this. */
    latencyMs: Type.Number({ minimum: 0, maximum: 600_000 }),
    /** Share of records that fail with ProvisionedThroughputExceededException, 0-1. */
    throttleRate: share,
    /** Share of records that fail with InternalFailure, 0-1. */
    recordFailureRate: share,
    /** `throttleRate` and `recordFailureRate` hit only records with one of these partition keys. */
    keys: Type.Array(Type.String()),
    /** `throttleRate` and `recordFailureRate` hit only records of the shard with this number. */
    shard: Type.Integer({ minimum: 0 }),
    /** Whole requests fail in this way. */
    request: Type.Enum(REQUEST_FAULTS),
    /** Share of requests that `request` hits, 0-1 (default 1). */
    requestRate: share,
    /** How many requests `request` hits before it ends (default: no limit). */
    count: Type.Integer({ minimum: 1 }),
    /** Connections are refused for this long, from the answer to this request. */
    refuseConnectionsMs: Type.Integer({ minimum: 1, maximum: 600_000 }),
    /** Answers carry a Date header this far from the box's clock. */
    clockOffsetMs: Type.Number(),
    seed: Type.Integer(),
  }),
  { additionalProperties: false },
);
export type FaultSettings = Static<typeof faultSettingsSchema>;

/** Parses fault settings; never throws. */
export const parseFaultSettings = parserOf(faultSettingsSchema);
