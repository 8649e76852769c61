/**
 * Reads the answer to PutRecords. A record counts as stored only if the whole answer is consistent: as many results as records, each with
 * either a SequenceNumber or an ErrorCode, and FailedRecordCount in agreement. Any other answer confirms nothing: some server between this
 * box and the stream may have changed it, or it belongs to another request.
 */
import type { PutRecordsCommandOutput } from '@aws-sdk/client-kinesis';
import type { RecordOutcome } from './sink.ts';

/** A 200 that contradicts itself or the request. The name is classified in failure-classes.ts. */
export class InconsistentAnswerError extends Error {
  override readonly name = 'InconsistentAnswer';
}

/** As the API reference of PutRecords defines it. */
const SEQUENCE_NUMBER = /^(0|[1-9]\d{0,128})$/;

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';

function outcomeOf(result: unknown, at: number): RecordOutcome {
  if (typeof result !== 'object' || result === null) throw new InconsistentAnswerError(`result ${at} is not an object`);
  const { SequenceNumber, ErrorCode, ShardId }: { SequenceNumber?: unknown; ErrorCode?: unknown; ShardId?: unknown } = result;
  const failed = isText(ErrorCode);
  if (failed && isText(SequenceNumber))
    throw new InconsistentAnswerError(`result ${at} has both a SequenceNumber and an ErrorCode`);
  if (failed) return { ok: false, code: ErrorCode };
  if (!isText(SequenceNumber) || !SEQUENCE_NUMBER.test(SequenceNumber))
    throw new InconsistentAnswerError(`result ${at} has no valid SequenceNumber`);
  return isText(ShardId) ? { ok: true, shard: ShardId } : { ok: true };
}

/**
 * One outcome per record, in the order of the request. Throws InconsistentAnswerError.
 * The SDK does not check what it parsed, so the declared type of `answer` proves nothing.
 */
export function outcomesOf(
  answer: Pick<PutRecordsCommandOutput, 'Records' | 'FailedRecordCount'>,
  records: number,
): RecordOutcome[] {
  const { Records, FailedRecordCount }: { Records?: unknown; FailedRecordCount?: unknown } = answer;
  if (!Array.isArray(Records)) throw new InconsistentAnswerError(`no results for ${records} records`);
  if (Records.length !== records) throw new InconsistentAnswerError(`${Records.length} results for ${records} records`);
  const outcomes = Records.map(outcomeOf);
  const failed = outcomes.filter(({ ok }) => !ok).length;
  if (typeof FailedRecordCount !== 'number') throw new InconsistentAnswerError('FailedRecordCount is missing');
  if (FailedRecordCount !== failed)
    throw new InconsistentAnswerError(`FailedRecordCount ${FailedRecordCount}, but ${failed} results have an ErrorCode`);
  return outcomes;
}
