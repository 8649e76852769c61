/**
 * Accounts in the stream: what became of the seqs of a run, in the readings themselves or in records of their own, so that the stream
 * alone shows whether anything is missing (docs/consumers.md). The forwarder adds them; a sequencer's reading must not contain any.
 */
import Type, { type Static } from 'typebox';
import { GAP_CAUSES } from './device-status.ts';
import { countsSchema, countSchema, runSchema, timeSchema } from './fields.ts';
import { checkerOf } from './validate.ts';

/** Where accounts travel, `KINESIS_ACCOUNTS`. */
export type AccountMode = 'readings' | 'records' | 'off';

/** An account is at most this large, as JSON; a larger one is split. */
export const ACCOUNT_MAX_BYTES = 1024;
/** Gaps in one reading. */
export const GAPS_MAX = 5;

/** Fields that only the forwarder adds to a reading. */
export const ADDED_FIELDS = ['account', 'gaps'] as const;

export const accountExceptionSchema = Type.Object({
  from: countSchema,
  to: countSchema,
  /** `dead`: the box keeps it as a dead letter. `unknown`: the box does not know whether they were shipped. */
  outcome: Type.Optional(Type.Enum(['dead', 'evicted', 'missed', 'unknown'])),
  /** A code of docs/errors.md; `unknown` if there is none. */
  cause: Type.String({ minLength: 1, maxLength: 200 }),
});
export type AccountException = Static<typeof accountExceptionSchema>;

/** Seqs `from` to `to` of a run were shipped, except those listed. */
export const streamAccountSchema = Type.Object({
  run: runSchema,
  from: countSchema,
  to: countSchema,
  except: Type.Array(accountExceptionSchema),
  /** When it was made, in milliseconds since 1970; no two accounts of a box have the same. The latest one that covers a seq wins. */
  at: Type.Optional(countSchema),
  /** Only the numbers of these seqs are known, by outcome and cause (`shipped`, `evicted:queue_full`): not which is which. */
  counted: Type.Optional(countsSchema),
  /** The run has ended: `to` is its last seq. */
  final: Type.Optional(Type.Literal(true)),
});
export type StreamAccount = Static<typeof streamAccountSchema>;

/** A time without readings of the device whose reading carries it. */
export const streamGapSchema = Type.Object({ from: timeSchema, to: timeSchema, cause: Type.Enum(GAP_CAUSES) });
export type StreamGap = Static<typeof streamGapSchema>;

/**
 * A record of its own (`KINESIS_ACCOUNTS=records`). It has no `timestamp` and no `heart_rate`, which every reading has. With neither
 * account nor gaps it is a heartbeat.
 */
export const accountRecordSchema = Type.Object({
  record: Type.Literal('account'),
  gateway: Type.String({ minLength: 1, maxLength: 128 }),
  sent_at: timeSchema,
  account: Type.Optional(streamAccountSchema),
  /** With `gaps`: whose they are. */
  device: Type.Optional(Type.String({ minLength: 1 })),
  gaps: Type.Optional(Type.Array(streamGapSchema)),
});
export type AccountRecord = Static<typeof accountRecordSchema>;

export const checkStreamAccount = checkerOf(streamAccountSchema);
export const checkStreamGaps = checkerOf(Type.Array(streamGapSchema));

/** Whether a parsed record is one of those that are no readings: a consumer of readings skips it. */
export function isAccountRecord(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'record' in value && value.record === 'account';
}
