/** The interface to the stream that readings are shipped to. Its only implementation is KinesisSink. */
import type { UplinkState } from '../../contract/forwarder-status.ts';

/** An open shard. Hash keys are from 0 to 2^128 - 1; the range includes both ends. */
export interface ShardRange {
  id: string;
  startHash: bigint;
  endHash: bigint;
}

/** A record as it is sent: one reading, or an aggregate of several, and its partition key. */
export interface SinkRecord {
  partitionKey: string;
  data: Buffer;
}

/** The result of one record: stored, with its shard if the answer names it, or failed with the error code of the stream. */
export type RecordOutcome = { ok: true; shard?: string } | { ok: false; code: string };

export interface SendResult {
  /** One for each record, in the order of the request. */
  outcomes: RecordOutcome[];
  /** This box's clock minus the stream's, from the Date header of the last answer; undefined before an answer had one. */
  clockAheadMs?: number;
}

/** Why a whole request failed, and how to continue. */
export interface FailureClass {
  /** The uplink's state, and the code of the reason. */
  state: UplinkState;
  detail: string;
  hint: string;
  /** The request is refused because of its content: bisect it. */
  poison?: boolean;
  /** The stream asked to wait this long. */
  retryAfterMs?: number;
  /** Continue with a new client: its credentials may have changed. */
  rebuild?: boolean;
  /** A wrong clock of this box may be the cause: the hint if it is. */
  mayBeClock?: string;
}

/** A failure as one line of text: `credentials_expired: The security token …`. */
export const failureText = ({ state, detail }: FailureClass): string => `${state}: ${detail}`;

export class SinkError extends Error {
  readonly failure: FailureClass;
  constructor(failure: FailureClass, cause: unknown) {
    super(failureText(failure), { cause });
    this.failure = failure;
  }
}

/** Bytes that went over the wire since the start: headers, handshakes and retries included. */
export interface WireBytes {
  sent: number;
  received: number;
}

export interface SinkLimits {
  /** Open shards; null if the answer names none. */
  openShards: number | null;
  maxRecordBytes: number;
}

export interface Sink {
  /** Sends one batch, at most 500 records and 5 MiB. Throws SinkError if the whole request failed. */
  send(records: readonly SinkRecord[], signal: AbortSignal): Promise<SendResult>;
  readonly wireBytes: WireBytes;
  /** Lists the open shards (ListShards); none if the endpoint knows none. Throws SinkError. */
  shards(signal: AbortSignal): Promise<ShardRange[]>;
  /** Reads the number of shards and the limits (DescribeStreamSummary). Throws SinkError. */
  limits(signal: AbortSignal): Promise<SinkLimits>;
  /** Replaces the client: the next request reads the credentials again. */
  rebuild(): Promise<void>;
  close(): void;
}
