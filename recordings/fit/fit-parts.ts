/**
 * The structure of a FIT file: one or more parts, each with header, definition messages, data messages and checksum (FIT protocol 2.0).
 * Straps that store beats themselves (HRM-Tri, HRM-Swim, HRM-Pro) are appended to the watch's part as parts of their own ("chained files").
 *
 * A part whose checksum is right is read to its end. A part that is cut off, was never closed (data size 0: switched off while recording)
 * or has no checksum is read as far as its messages are whole, with a note. A part whose checksum is wrong is refused: nobody can tell
 * which of its values are. Any header size and protocol version is taken, since neither changes how messages are built.
 */
import { counted, UnusableContent } from '../recording.ts';
import { fitChecksum } from './fit-checksum.ts';
import { FitMessage, type FieldDefinition, type MessageDefinition } from './fit-message.ts';

export interface FitVisitor {
  /** A part begins: local types and developer fields of the former one are void. */
  part(): void;
  message(message: FitMessage): void;
  note(text: string): void;
}

const HEADER_MIN = 12;
const CHECKSUM = 2;
const SIGNATURE = [0x2e, 0x46, 0x49, 0x54];
const COMPRESSED = 0x80;
const DEFINITION = 0x40;
const WITH_DEVELOPER_FIELDS = 0x20;
const CUT_DEFINITION = 'a definition is cut off';
const CUT_DATA = 'a message is cut off';
/** Global number of `record`. */
const RECORD = 20;
const SANE_STEP_SECONDS = 86_400;
/** So many records with sane times in a row are no coincidence. */
const RECORDS_THAT_PROVE = 100;

/** True if a FIT header begins there. */
export function isFitHeader(bytes: Uint8Array, at: number): boolean {
  return (bytes[at] ?? 0) >= HEADER_MIN && SIGNATURE.every((byte, index) => bytes[at + 8 + index] === byte);
}

interface Bounds {
  /** First byte after the header. */
  from: number;
  /** First byte after the messages. */
  to: number;
  /** First byte after the part. */
  next: number;
  /** Whether the checksum proves that these bytes are what was written. */
  proved: boolean;
  note?: string;
}

const storedAt = (bytes: Uint8Array, at: number): number => (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);

/** Where the run of one byte value at the end of [from, to) begins: recorders fill what they have not written yet. */
function fillBegins(bytes: Uint8Array, from: number, to: number, value: number): number {
  let at = to;
  while (at > from && bytes[at - 1] === value) at -= 1;
  return at;
}

class PartReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #visitor: FitVisitor;
  readonly #definitions: (MessageDefinition | undefined)[] = [];
  /** The last timestamp, to which compressed ones are relative; 0 until there is one. */
  #lastTimestamp = 0;

  constructor(bytes: Uint8Array, view: DataView, visitor: FitVisitor) {
    this.#bytes = bytes;
    this.#view = view;
    this.#visitor = visitor;
  }

  /** Reads whole messages of [from, to); returns where they end, and why if that is before `to`. */
  read({ from, to, proved }: Bounds): { end: number; reason: string | undefined } {
    const limit = proved ? to : Math.min(fillBegins(this.#bytes, from, to, 0), fillBegins(this.#bytes, from, to, 0xff));
    let at = from;
    while (at < to) {
      if (at >= limit) return { end: at, reason: 'nothing was written after' };
      const header = this.#bytes[at] ?? 0;
      const isDefinition = (header & COMPRESSED) === 0 && (header & DEFINITION) !== 0;
      const size = isDefinition ? this.#define(header, at + 1, to) : this.#data(header, at + 1, to);
      if (typeof size === 'string') return { end: at, reason: size };
      at += 1 + size;
    }
    return { end: at, reason: undefined };
  }

  /** Takes a definition message; returns its size, or why it is not whole. */
  #define(header: number, at: number, to: number): number | string {
    if (at + 5 > to) return CUT_DEFINITION;
    const littleEndian = this.#bytes[at + 1] === 0;
    const count = this.#bytes[at + 4] ?? 0;
    const developerAt = at + 5 + 3 * count;
    if (developerAt > to) return CUT_DEFINITION;
    const triples = (first: number, many: number): [number, number, number][] =>
      Array.from({ length: many }, (_, index) => {
        const field = first + 3 * index;
        return [this.#bytes[field] ?? 0, this.#bytes[field + 1] ?? 0, this.#bytes[field + 2] ?? 0];
      });
    const fields: FieldDefinition[] = triples(at + 5, count).map(([number, size, baseType]) => ({ number, size, baseType }));
    const hasDeveloperFields = (header & WITH_DEVELOPER_FIELDS) !== 0;
    if (hasDeveloperFields && developerAt + 1 > to) return CUT_DEFINITION;
    const developerCount = hasDeveloperFields ? (this.#bytes[developerAt] ?? 0) : 0;
    const end = hasDeveloperFields ? developerAt + 1 + 3 * developerCount : developerAt;
    if (end > to) return CUT_DEFINITION;
    const developerFields = triples(developerAt + 1, developerCount).map(([number, size, developerIndex]) => ({
      number,
      size,
      developerIndex,
    }));
    this.#definitions[header & 0x0f] = {
      globalNumber: this.#view.getUint16(at + 2, littleEndian),
      littleEndian,
      fields,
      developerFields,
      size: [...fields, ...developerFields].reduce((sum, { size }) => sum + size, 0),
    };
    return end - at;
  }

  /** Takes a data message; returns its size, or why it is not whole. */
  #data(header: number, at: number, to: number): number | string {
    const isCompressed = (header & COMPRESSED) !== 0;
    const definition = this.#definitions[isCompressed ? (header >> 5) & 0x03 : header & 0x0f];
    if (definition === undefined) return 'a message of a type that was not defined follows';
    if (at + definition.size > to) return CUT_DATA;
    const last = this.#lastTimestamp;
    const compressed = isCompressed ? last + (((header & 0x1f) - last) & 0x1f) : undefined;
    const message = new FitMessage(this.#view, at, definition, compressed);
    this.#lastTimestamp = message.timestamp ?? last;
    this.#visitor.message(message);
    return definition.size;
  }
}

/** Records of a file that is not damaged are close to each other in time. */
class TimesOfRecords implements FitVisitor {
  areSane = true;
  records = 0;
  #last: number | undefined;

  part(): void {}
  note(): void {}

  message({ globalNumber, timestamp }: FitMessage): void {
    if (globalNumber !== RECORD) return;
    const last = this.#last ?? timestamp;
    this.records += 1;
    this.#last = timestamp;
    if (timestamp === undefined || last === undefined || Math.abs(timestamp - last) > SANE_STEP_SECONDS) this.areSane = false;
  }
}

/**
 * True if messages run through the place of the checksum to the end of the file: it was cut off, and something (a repair program, the
 * recorder at its next start) adapted the size in the header. What stands there is then no checksum. Damage looks different: changed
 * values leave the messages where they were, and changed definitions give times that make no sense.
 */
function isCutWithoutChecksum(bytes: Uint8Array, view: DataView, from: number, end: number): boolean {
  const length = bytes.length;
  if (end + CHECKSUM !== length) return false;
  const times = new TimesOfRecords();
  const { reason, end: stop } = new PartReader(bytes, view, times).read({ from, to: length, next: length, proved: true });
  const crossesEnd = new PartReader(bytes, view, new TimesOfRecords()).read({ from, to: end, next: end, proved: true }).end < end;
  return crossesEnd && (stop === length || reason === CUT_DATA) && times.areSane && times.records >= RECORDS_THAT_PROVE;
}

/** Where the messages of the part at `start` are. Throws UnusableContent if its checksum is wrong. */
function boundsOf(bytes: Uint8Array, view: DataView, start: number): Bounds {
  const length = bytes.length;
  const from = Math.min(length, start + (bytes[start] ?? 0));
  const size = view.getUint32(start + 4, true);
  const end = from + size;
  // Whatever the header says: if the file's last two bytes are the checksum of all before them, it is whole.
  const closedAtEnd = (): boolean =>
    length - from > CHECKSUM && fitChecksum(bytes, start, length - CHECKSUM) === storedAt(bytes, length - CHECKSUM);
  const wrongSize: Bounds = {
    from,
    to: length - CHECKSUM,
    next: length,
    proved: true,
    note: 'the size in the header is wrong; the checksum is right',
  };
  if (size === 0) {
    const isEmpty = length - from <= CHECKSUM || isFitHeader(bytes, from + CHECKSUM);
    if (isEmpty) return { from, to: from, next: Math.min(length, from + CHECKSUM), proved: true };
    if (closedAtEnd()) return { from, to: length - CHECKSUM, next: length, proved: true };
    return {
      from,
      to: length,
      next: length,
      proved: false,
      note: 'the file was not closed by its recorder: read as far as it goes',
    };
  }
  if (end > length) {
    if (closedAtEnd()) return wrongSize;
    const note = `the file is cut off: ${counted(length - from, 'byte')} of ${size.toLocaleString('en-US')} are there`;
    return { from, to: length, next: length, proved: false, note };
  }
  if (end + CHECKSUM > length)
    return {
      from,
      to: end,
      next: length,
      proved: false,
      note: 'the checksum at the end is missing: nothing proves that the file is undamaged',
    };
  const stored = storedAt(bytes, end);
  if (stored === fitChecksum(bytes, start, end)) return { from, to: end, next: end + CHECKSUM, proved: true };
  if (closedAtEnd()) return wrongSize;
  // Some writers leave it 0.
  if (stored === 0)
    return {
      from,
      to: end,
      next: end + CHECKSUM,
      proved: false,
      note: 'the file has no checksum: nothing proves that it is undamaged',
    };
  if (isCutWithoutChecksum(bytes, view, from, end))
    return {
      from,
      to: length,
      next: length,
      proved: false,
      note: 'the file is cut off: it ends within a message, without a checksum',
    };
  throw new UnusableContent('a FIT file with a wrong checksum: it is damaged; copy it from the device again');
}

/** Where the next part begins at or after `at`, zero bytes between parts skipped; undefined if there is none. */
function nextPart(bytes: Uint8Array, at: number): number | undefined {
  let start = at;
  while (start < bytes.length && bytes[start] === 0) start += 1;
  return isFitHeader(bytes, start) ? start : undefined;
}

/**
 * Hands all whole messages of a FIT file to the visitor, in file order. Throws UnusableContent if the first part is damaged; later ones
 * that are become a note, and what precedes them counts.
 */
export function readFitParts(bytes: Uint8Array, visitor: FitVisitor): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!isFitHeader(bytes, 0)) throw new UnusableContent('not a FIT file: it has no FIT header');
  let start = 0;
  for (let part = 1; ; part += 1) {
    const where = part === 1 ? '' : `part ${part}: `;
    let bounds: Bounds;
    try {
      bounds = boundsOf(bytes, view, start);
    } catch (error) {
      if (part === 1 || !(error instanceof UnusableContent)) throw error;
      visitor.note(`${where}${error.message}; what precedes it was read`);
      return;
    }
    visitor.part();
    if (bounds.note !== undefined) visitor.note(`${where}${bounds.note}`);
    const { end, reason } = new PartReader(bytes, view, visitor).read(bounds);
    if (reason !== undefined && bounds.to - end > CHECKSUM)
      visitor.note(
        `${where}read up to byte ${end.toLocaleString('en-US')}: ${reason}, ${counted(bounds.to - end, 'byte')} not read`,
      );
    if (bounds.next >= bytes.length) return;
    const next = nextPart(bytes, bounds.next);
    if (next === undefined) {
      visitor.note(`${counted(bytes.length - bounds.next, 'byte')} after the end of the FIT file ignored`);
      return;
    }
    start = next;
  }
}
