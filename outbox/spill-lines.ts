/**
 * Lines of spill files: `<crc32> <seq> <payload>`. Seq 0 marks a control line, which says what the file should hold:
 *
 * - header, the first line of a file, repeated when `may_have_sent` grows;
 * - block, before the readings of each write: all seqs from `from` to `to` follow;
 * - footer, the last line of a file that was closed in order;
 * - evicted, in place of the first line: the seqs that the file had, and that are evicted (eviction-marks.ts).
 *
 * `prev` in header and block is the highest seq that this run wrote before that line. Files of format 2 have headers without `prev` and
 * `first`, and neither blocks nor footers; those of version 1.0.0 have readings only. 1.0.0 ignores control lines.
 */
import { crc32 } from 'node:zlib';
import Type, { type Static } from 'typebox';
import { dropCauseSchema, gatewayNameSchema, type NumberedReading } from '../contract/delivery.ts';
import { runSchema } from '../contract/fields.ts';
import { parserOf } from '../contract/validate.ts';
import type { DroppedSpan, SeqSpan } from './dropped-seqs.ts';

const SPILL_FORMAT = 3;

const seqSchema = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const headerSchema = Type.Object({
  format: Type.Union([Type.Literal(2), Type.Literal(SPILL_FORMAT)]),
  gateway: gatewayNameSchema,
  run: runSchema,
  /** Highest seq that the process may have sent before the next header. */
  may_have_sent: seqSchema,
  prev: Type.Optional(seqSchema),
  /** Seq of the reading that follows. */
  first: Type.Optional(seqSchema),
});
export type SpillHeader = Static<typeof headerSchema>;

const blockSchema = Type.Object({
  block: Type.Tuple([seqSchema, seqSchema]),
  prev: seqSchema,
  /** Seqs right before the block that were dropped: from, to, cause. */
  gap: Type.Optional(Type.Tuple([seqSchema, seqSchema, dropCauseSchema])),
});
export interface SpillBlock {
  prev: number;
  from: number;
  to: number;
  gap?: DroppedSpan | undefined;
}

const footerSchema = Type.Object({
  footer: Type.Object({ first: seqSchema, last: seqSchema, count: seqSchema, may_have_sent: seqSchema }),
});
export type SpillFooter = Static<typeof footerSchema>['footer'];

const evictedSchema = Type.Object({ evicted: Type.Tuple([seqSchema, seqSchema]) });

const parseHeader = parserOf(headerSchema);
const parseBlock = parserOf(blockSchema);
const parseFooter = parserOf(footerSchema);
const parseEvicted = parserOf(evictedSchema);

const checksum = (text: string): string => crc32(text).toString(16).padStart(8, '0');

export function encodeLine({ seq, payload }: NumberedReading): string {
  const text = `${seq} ${payload}`;
  return `${checksum(text)} ${text}\n`;
}

const encodeControl = (payload: object): string => encodeLine({ seq: 0, payload: JSON.stringify(payload) });

export const encodeHeader = (header: Omit<SpillHeader, 'format'>): string => encodeControl({ format: SPILL_FORMAT, ...header });

export const encodeBlock = ({ prev, from, to, gap }: SpillBlock): string =>
  encodeControl({ block: [from, to], prev, ...(gap === undefined ? {} : { gap: [gap.from, gap.to, gap.cause] }) });

export const encodeFooter = (footer: SpillFooter): string => encodeControl({ footer });

export const encodeEvicted = ({ from, to }: SeqSpan): string => encodeControl({ evicted: [from, to] });

export type ControlLine =
  { kind: 'header'; header: SpillHeader } | { kind: 'block'; block: SpillBlock } | { kind: 'footer'; footer: SpillFooter };

/** The control line in the payload of a line with seq 0; undefined if this version does not know it. */
export function decodeControl(payload: string): ControlLine | undefined {
  const block = parseBlock(payload);
  if (block.ok) {
    const { block: range, prev, gap } = block.value;
    const span = gap === undefined ? undefined : { from: gap[0], to: gap[1], cause: gap[2] };
    return { kind: 'block', block: { prev, from: range[0], to: range[1], gap: span } };
  }
  const header = parseHeader(payload);
  if (header.ok) return { kind: 'header', header: header.value };
  const footer = parseFooter(payload);
  return footer.ok ? { kind: 'footer', footer: footer.value.footer } : undefined;
}

/** The evicted seqs that a file's first line names; undefined if it is another line. */
export function decodeEvicted(line: string): SeqSpan | undefined {
  const first = decodeLine(line);
  const evicted = first?.seq === 0 ? parseEvicted(first.payload) : undefined;
  return evicted?.ok === true ? { from: evicted.value.evicted[0], to: evicted.value.evicted[1] } : undefined;
}

/** A line without its line break; undefined if it is damaged. */
export function decodeLine(line: string): NumberedReading | undefined {
  const body = line.slice(9);
  if (line.length < 11 || line[8] !== ' ' || checksum(body) !== line.slice(0, 8)) return undefined;
  const space = body.indexOf(' ');
  const seq = Number(body.slice(0, space));
  return space >= 1 && Number.isSafeInteger(seq) && seq >= 0 ? { seq, payload: body.slice(space + 1) } : undefined;
}

/** The undamaged lines of a text, control lines included, and what is between them. */
export function* linesOf(text: string): Generator<NumberedReading | { damaged: string }> {
  for (const line of text.split('\n')) {
    const whole = decodeLine(line);
    if (whole !== undefined) yield whole;
    else if (line.length > 0) {
      const within = linesWithin(line);
      yield* within.length > 0 ? within : [{ damaged: line }];
    }
  }
}

/** The undamaged lines of a text, control lines included. */
export function* wholeLines(text: string): Generator<NumberedReading> {
  for (const line of linesOf(text)) if (!('damaged' in line)) yield line;
}

/**
 * Whether a text without an undamaged line may be the beginning of a file whose first write was cut short: of its header, or zeros.
 */
export const isBeginningOfFile = (text: string): boolean =>
  /^(?:[0-9a-f]{0,8}|[0-9a-f]{8} (?:0(?: (?:\{[^\n]*)?)?)?)\0*$/.test(text);

/** Two undamaged lines whose line break is damaged. */
function linesWithin(text: string): NumberedReading[] {
  for (const { index } of text.matchAll(/[0-9a-f]{8} \d/g)) {
    const second = index > 0 ? decodeLine(text.slice(index)) : undefined;
    if (second === undefined) continue;
    const first = decodeLine(text.slice(0, index - 1));
    return first === undefined ? [second] : [first, second];
  }
  return [];
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
    const control = decodeControl(payload);
    if (control?.kind === 'header' && control.header.may_have_sent >= (newest?.may_have_sent ?? 0)) newest = control.header;
  }
  return newest;
}
