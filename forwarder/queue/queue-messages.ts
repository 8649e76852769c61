/** Messages between the main thread and the queue thread. Rows travel as columns: few large messages, no object graphs. */
import type { Ledger } from '../../contract/forwarder-status.ts';
import type { AccountMode, StreamGap } from '../../contract/stream-account.ts';
import type { TakeLimits } from './drain-queue.ts';
import type { QueueMode, QueueReason } from './queue-mode.ts';

/** Rows to queue, as columns of equal length. */
export interface RowColumns {
  data: string[];
  devices: string[];
  /** Index into ROW_SOURCES. */
  sources: number[];
}

export interface DeadLetterInput {
  reason: string;
  detail: string;
  device: string;
  /** Whose sequencer numbered it; absent in letters of an older version. */
  gateway?: string;
  run: string | null;
  seq: number | null;
  /** Size of the payload as it arrived. */
  bytes: number;
  /** All of it if `whole`, else its beginning. */
  payload: string;
  whole: boolean;
  /** What another client published, not what a sequencer made of it. */
  publication?: Publication;
}

export interface Publication {
  /** When it arrived, UTC. */
  arrivedAt: string;
  /** The authenticated user; absent where the broker does not tell. */
  publisher?: string;
  /** `payload` is in base64, because the bytes are no text. */
  isBase64: boolean;
}

/** The watermark of a run: every reading up to `stored` is stored or accounted for. (gateway, run) identifies it. */
export interface RunWatermark {
  gateway: string;
  run: string;
  stored: number;
  /** Readings of this run that were never accepted, by cause. */
  missed: Record<string, number>;
}

/** A sequencer's process: (gateway, run). */
export type RunIdentity = Pick<RunWatermark, 'gateway' | 'run'>;

/** Rows with consecutive seqs of a run. */
export interface NumberedRows extends RunIdentity {
  first: number;
  count: number;
}

/** Seqs of a run that will never be accepted. */
export interface MissedSeqs extends RunIdentity {
  from: number;
  to: number;
  cause: string;
}

/** A part of a transaction: rows, dead letters, and the watermarks that they move. */
export interface Append {
  rows: RowColumns;
  /** Whose rows these are, in their order. Rows that it does not name have the identity that their JSON says. */
  numbered?: NumberedRows[];
  dead: DeadLetterInput[];
  watermarks: RunWatermark[];
  /** What the watermarks skip. */
  missed?: MissedSeqs[];
  /** Runs that have ended: nothing comes above their watermark. */
  ended?: RunIdentity[];
}

/** Names the next row of an append. */
export function addNumber(numbered: NumberedRows[], { gateway, run, seq }: RunIdentity & { seq: number }): void {
  const last = numbered.at(-1);
  if (last?.run === run && last.gateway === gateway && last.first + last.count === seq) last.count += 1;
  else numbered.push({ gateway, run, first: seq, count: 1 });
}

/** Without `numbered`, rows have the identity of their JSON: such appends stay apart from the others. */
const isNumbered = ({ numbered }: Append): boolean => numbered !== undefined;

function joinNumbered(into: Append, append: Append): void {
  for (const part of append.numbered ?? []) {
    const last = into.numbered?.at(-1);
    if (last?.run === part.run && last.gateway === part.gateway && last.first + last.count === part.first)
      last.count += part.count;
    else into.numbered?.push(part);
  }
}

/** Un-numbered readings, those of appends without watermarks: how many of them are rows, and why the others are dead letters. */
export interface UnnumberedOutcomes {
  accepted: number;
  refused: string[];
}

export function unnumberedOf(appends: readonly Append[]): UnnumberedOutcomes {
  const unnumbered = appends.filter(({ watermarks }) => watermarks.length === 0);
  return {
    accepted: unnumbered.reduce((sum, { rows }) => sum + rows.data.length, 0),
    refused: unnumbered.flatMap(({ dead }) => dead.map(({ reason }) => reason)),
  };
}

/**
 * Joins an append to the one before it, in order. False if they must stay apart: a refusal counts un-numbered readings (an append
 * without watermarks) one append at a time. Of a run's watermarks the later one is kept, since `stored` and `missed` only grow.
 */
export function joinAppends(into: Append, append: Append): boolean {
  if (into.watermarks.length === 0 || append.watermarks.length === 0 || isNumbered(into) !== isNumbered(append)) return false;
  into.rows.data.push(...append.rows.data);
  into.rows.devices.push(...append.rows.devices);
  into.rows.sources.push(...append.rows.sources);
  into.dead.push(...append.dead);
  joinNumbered(into, append);
  if (append.missed !== undefined) into.missed = [...(into.missed ?? []), ...append.missed];
  if (append.ended !== undefined) into.ended = [...(into.ended ?? []), ...append.ended];
  for (const watermark of append.watermarks) {
    const index = into.watermarks.findIndex(({ gateway, run }) => gateway === watermark.gateway && run === watermark.run);
    if (index < 0) into.watermarks.push(watermark);
    else into.watermarks[index] = watermark;
  }
  return true;
}

export interface TakenColumns {
  /** The first of the rows, those that are not part of a backlog. */
  liveRows: number;
  ids: Float64Array;
  acceptedAtMs: Float64Array;
  sources: number[];
  devices: string[];
  data: string[];
}

export const nothingTaken = (): TakenColumns => ({
  liveRows: 0,
  ids: new Float64Array(),
  acceptedAtMs: new Float64Array(),
  sources: [],
  devices: [],
  data: [],
});

/** What is moved to the main thread instead of copied. */
export const buffersOf = ({ ids, acceptedAtMs }: TakenColumns): ArrayBuffer[] => [
  ids.buffer as ArrayBuffer,
  acceptedAtMs.buffer as ArrayBuffer,
];

export interface Causes {
  evicted: Record<string, number>;
  missed: Record<string, number>;
  dead: Record<string, number>;
}

/** Readings of one device that were evicted. */
export interface EvictedSpan {
  device: string;
  /** Timestamps of the first and the last of them. */
  from: string;
  to: string;
  count: number;
}

/** What the queue's file holds. */
export interface QueueContents {
  ledger: Ledger;
  causes: Causes;
  bytes: number;
  oldestAcceptedAtMs: number | null;
  deadLetters: number;
  /** The damage that was found in the file, until it is acknowledged. */
  damage: QueueReason | null;
  /** At most so many commits were lost with damaged files: what they changed is in none of the counts. Null: any number. */
  commitsLost: number | null;
  /** Another process keeps the log from being written back. */
  pinned: QueueReason | null;
  commits: number;
}

export interface QueueState extends QueueContents {
  mode: QueueMode;
  /** Why the mode is not `open`; null while it is. */
  reason: QueueReason | null;
}

/** The contents as far as they are known before the file is open. */
export const NO_CONTENTS: Readonly<QueueContents> = {
  ledger: { accepted: 0, shipped: 0, queued: 0, dead: 0, evicted: 0, missed: 0 },
  causes: { evicted: {}, missed: {}, dead: {} },
  bytes: 0,
  oldestAcceptedAtMs: null,
  deadLetters: 0,
  damage: null,
  commitsLost: 0,
  pinned: null,
  commits: 0,
};

export interface QueueWorkerData {
  file: string;
  /** Name of this box. */
  gateway: string;
  commitIntervalMs: number;
  maxBytes: number;
  minFreeDiskBytes: number;
  /** AUDIT_DAYS. */
  auditDays: number;
  whenFull: 'evict-oldest' | 'refuse';
  /** KINESIS_ACCOUNTS; left out: off. */
  accounts?: AccountMode;
  /** Whether simulated and replayed readings are shipped. */
  shipsTestReadings?: boolean;
  /** One Int32 of `OPENING`: who decides whether the file is opened, or the thread may be terminated. */
  opening: SharedArrayBuffer;
}

/**
 * States of `opening`. A thread with an open file must not be terminated: that closes the file without its last steps, and it counts as
 * damaged at the next start. So the queue thread changes `idle` to `opening` before it opens the file, and the main thread changes `idle`
 * to `given_up` before it terminates the thread; both by compare-and-exchange, so only one of them succeeds.
 */
export const OPENING = { idle: 0, opening: 1, given_up: 2 } as const;

/** About accounts in the stream (stream-accounts.ts). `sent`: what became of the records that the last `take` returned. */
export type AccountsRequest =
  { act: 'gap'; device: string; gap: StreamGap } | { act: 'take' } | { act: 'sent'; records: 'stored' | 'lost' };

export type TakeRequest = { kind: 'take'; id: number } & TakeLimits;

export type QueueRequest =
  /** `epoch`: that of the last `refused` reply. Appends that were sent before a refusal was known must not be committed after it. */
  | { kind: 'append'; appends: Append[]; epoch: number }
  | TakeRequest
  | { kind: 'goLive'; sinceMs: number }
  | { kind: 'acknowledge'; ids: Float64Array }
  | { kind: 'evict'; ids: Float64Array; cause: string }
  | { kind: 'putBack'; device: string; ids: Float64Array }
  | { kind: 'release'; device: string }
  | { kind: 'bury'; rowId: number; reason: string; detail: string }
  | { kind: 'deadLetters'; id: number; limit: number; before: number | null }
  | { kind: 'retryDead'; id: number; ids: number[] | null }
  | { kind: 'discardDead'; id: number; ids: number[] | null }
  | { kind: 'showRun'; id: number; run: string; gateway: string | null; from: number | null }
  | { kind: 'runSpans'; id: number; run: RunIdentity; since: number; upTo: number }
  | { kind: 'accounts'; id: number; request: AccountsRequest }
  | { kind: 'acknowledgeDamage'; id: number }
  | { kind: 'backup'; id: number; file: string }
  | { kind: 'stop' };

export type QueueReply =
  /** The file is not open yet: it is large and is being checked, or the disk is full. `opened` follows. */
  | { kind: 'waiting'; state: QueueState }
  /** `queue`: identity of the file. */
  | { kind: 'opened'; queue: string; watermarks: RunWatermark[]; state: QueueState }
  | { kind: 'failed'; code: string; message: string }
  | {
      kind: 'committed';
      watermarks: RunWatermark[];
      unnumbered: UnnumberedOutcomes;
      state: QueueState;
      rows: number;
      commitMs: number;
      evicted: EvictedSpan[];
    }
  | { kind: 'refused'; queue: string; state: QueueState; watermarks: RunWatermark[]; lostUnnumbered: number; epoch: number }
  | { kind: 'state'; state: QueueState }
  /** As `state`, but there is nothing new to take. */
  | { kind: 'progress'; state: QueueState }
  /** Rows that `take` passed over may be read now. */
  | { kind: 'readable' }
  | { kind: 'taken'; id: number; rows: TakenColumns }
  | { kind: 'answer'; id: number; value: unknown }
  | { kind: 'error'; id: number; message: string }
  | { kind: 'stopped' };

/** After this reply there may be rows to take that were not there before. After a failed write or read: not for each report of it. */
export function mayBeReadable(reply: QueueReply): boolean {
  if (reply.kind === 'committed') return reply.rows > 0;
  return reply.kind === 'readable' || reply.kind === 'waiting' || (reply.kind === 'state' && reply.state.mode !== 'write_failed');
}

/** The thread's line to the main thread: `parentPort`. */
export interface ReplyPort {
  postMessage(reply: QueueReply, transfer?: readonly ArrayBuffer[]): void;
  close(): void;
}
