/**
 * Heart rates and RR intervals of a FIT activity, in file order. A `record` message (global number 20) becomes a row; the intervals of
 * `hrv` messages (78) belong to the next row, because recorders write them before it. Beats after the last record are dropped.
 */
import type { FitRawMessage } from 'fit-file-parser';
import { messageOf } from '../../../service/errors/errors.ts';
import { unreadable, type RecordedRow } from './recording.ts';

const RECORD = 20;
const HRV = 78;
const RECORD_HEART_RATE = 3;
const HRV_TIME = 0;
/** FIT's "no value" of uint8 and uint16. */
const NO_UINT8 = 0xff;
const NO_UINT16 = 0xffff;

/** Messages of fit-file-parser, which have no codes of their own, in plain words. */
const DETAILS: Record<string, string> = {
  invalid_header: 'not a FIT file, or truncated',
  invalid_crc: 'wrong checksum: the file is damaged',
  invalid_structure: 'inconsistent messages: the file is damaged',
  input_limit: 'the file is too large',
};

function heartRateOf({ fields }: FitRawMessage): number | null {
  const value = fields.find(({ fieldNumber }) => fieldNumber === RECORD_HEART_RATE)?.bytes[0];
  return value === undefined || value === NO_UINT8 ? null : value;
}

/** Intervals in ms; the field is an array of 1/1000 s, padded with "no value". */
function intervalsOf({ fields, littleEndian }: FitRawMessage): number[] {
  const bytes = fields.find(({ fieldNumber }) => fieldNumber === HRV_TIME)?.bytes ?? new Uint8Array();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const intervals: number[] = [];
  for (let offset = 0; offset + 1 < bytes.byteLength; offset += 2) {
    const value = view.getUint16(offset, littleEndian);
    if (value !== NO_UINT16) intervals.push(value);
  }
  return intervals;
}

/** Reads a FIT file strictly: header, checksums, structure. Throws HrError `recording_unreadable`. */
export async function parseFitRecording(bytes: Uint8Array, file: string): Promise<RecordedRow[]> {
  const { readFitMessages } = await import('fit-file-parser');
  let messages: FitRawMessage[];
  try {
    ({ messages } = readFitMessages(bytes, { messageNumbers: [RECORD, HRV] }));
  } catch (error) {
    throw unreadable(file, DETAILS[messageOf(error)] ?? messageOf(error), error);
  }
  const rows: RecordedRow[] = [];
  let start: number | undefined;
  let rrMs: number[] = [];
  for (const message of messages) {
    if (message.globalMessageNumber === HRV) {
      rrMs.push(...intervalsOf(message));
      continue;
    }
    const timestamp = message.timestamp ?? message.compressedTimestamp;
    if (timestamp === undefined) continue;
    start ??= timestamp;
    rows.push({ offsetSeconds: timestamp - start, bpm: heartRateOf(message), rrMs });
    rrMs = [];
  }
  if (rows.length === 0) throw unreadable(file, 'the file has no records: it is not an activity');
  return rows;
}
