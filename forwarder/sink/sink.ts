/** The seam to where readings go. One small interface; Kinesis is its only production implementation. */
import type { UplinkState } from '../../contract/service-status.ts';

/** A record as it leaves: its data, its key, and the rows in it (several in an aggregate). */
export interface SinkRecord {
  partitionKey: string;
  data: Buffer;
}

/** What became of each record, in the order given; where known, the shard that took it. */
export type RecordOutcome = { ok: true; shard?: string } | { ok: false; code: string };

export interface SendResult {
  outcomes: RecordOutcome[];
  /** This box's clock minus the far side's, from its Date header; undefined where it has none. */
  clockAheadMs?: number;
}

/** The whole request failed. */
export interface FailureClass {
  state: UplinkState;
  /** Coded: `credentials_expired: The security token …`. */
  reason: string;
  hint: string;
  /** The request is refused for what is in it: bisect it. */
  poison?: boolean;
  /** The far side asked to wait this long. */
  retryAfterMs?: number;
  /** The client is to be made anew. */
  rebuild?: boolean;
}

export class SinkError extends Error {
  readonly failure: FailureClass;
  constructor(failure: FailureClass, cause: unknown) {
    super(failure.reason, { cause });
    this.failure = failure;
  }
}

export interface SinkLimits {
  /** Open shards; null where the capacity is not by shards (on-demand). */
  openShards: number | null;
  maxRecordBytes: number;
}

export interface Sink {
  /** Sends one batch. Throws SinkError where the whole request failed. */
  send(records: readonly SinkRecord[], signal: AbortSignal): Promise<SendResult>;
  /** Asks for shards and limits. Throws SinkError. */
  limits(signal: AbortSignal): Promise<SinkLimits>;
  /** Makes the client anew, with fresh credentials. */
  rebuild(): Promise<void>;
  close(): void;
}
