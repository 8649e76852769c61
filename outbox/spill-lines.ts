/**
 * Lines of spill files: `<crc32> <seq> <payload>`. Seq 0 marks a header: the first line of a file, repeated when `may_have_sent` grows.
 * Version 1.0.0 wrote no headers, and ignores them.
 */
import { crc32 } from 'node:zlib';
import Type, { type Static } from 'typebox';
import { gatewayNameSchema, runSchema, type NumberedReading } from '../contract/delivery.ts';
import { parserOf } from '../contract/validate.ts';

const SPILL_FORMAT = 2;

const headerSchema = Type.Object({
  format: Type.Literal(SPILL_FORMAT),
  gateway: gatewayNameSchema,
  run: runSchema,
  /** Highest seq that the process may have sent before the next header. */
  may_have_sent: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
});
export type SpillHeader = Static<typeof headerSchema>;
const parseHeader = parserOf(headerSchema);

const checksum = (text: string): string => crc32(text).toString(16).padStart(8, '0');

export function encodeLine({ seq, payload }: NumberedReading): string {
  const text = `${seq} ${payload}`;
  return `${checksum(text)} ${text}\n`;
}

export const encodeHeader = (header: Omit<SpillHeader, 'format'>): string =>
  encodeLine({ seq: 0, payload: JSON.stringify({ format: SPILL_FORMAT, ...header }) });

/** The undamaged lines of a text. */
function* wholeLines(text: string): Generator<NumberedReading> {
  for (const line of text.split('\n')) {
    const body = line.slice(9);
    if (line.length < 11 || line[8] !== ' ' || checksum(body) !== line.slice(0, 8)) continue;
    const space = body.indexOf(' ');
    const seq = Number(body.slice(0, space));
    if (space >= 1 && Number.isSafeInteger(seq)) yield { seq, payload: body.slice(space + 1) };
  }
}

/** The readings of a file's text, ascending; damaged lines are left out. */
export function decodeLines(text: string): NumberedReading[] {
  const readings: NumberedReading[] = [];
  let last = 0;
  for (const reading of wholeLines(text)) {
    if (reading.seq <= last) continue;
    last = reading.seq;
    readings.push(reading);
  }
  return readings;
}

/** The newest header of a file's text, or undefined: version 1.0.0 wrote none. */
export function decodeHeader(text: string): SpillHeader | undefined {
  let newest: SpillHeader | undefined;
  for (const { seq, payload } of wholeLines(text)) {
    if (seq !== 0) continue;
    const header = parseHeader(payload);
    if (header.ok && header.value.may_have_sent >= (newest?.may_have_sent ?? 0)) newest = header.value;
  }
  return newest;
}
