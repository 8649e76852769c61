/** What a file is, told by its bytes and never by its name, and the reader for it. A file that cannot be used gets one line. */
import { UnusableContent, type Series } from './recording.ts';
import { decodeText, looksLikeText } from './text/decode-text.ts';

/** What would work, as the end of a sentence. */
export const WHAT_WORKS =
  'FIT, TCX, GPX, Polar HRM, CSV with times and heart rates, lists of RR intervals, and JSON Lines of the stream work';

/** First bytes of files that people mistake for recordings. */
const OTHERS: readonly (readonly [number[], string])[] = [
  [[0x25, 0x50, 0x44, 0x46], 'a PDF file'],
  [[0x89, 0x50, 0x4e, 0x47], 'a PNG image'],
  [[0xff, 0xd8, 0xff], 'a JPEG image'],
  [[0x53, 0x51, 0x4c, 0x69, 0x74, 0x65], 'an SQLite database'],
  [[0xd0, 0xcf, 0x11, 0xe0], 'an old Excel or other Office file; save the table as CSV'],
  [[0x42, 0x5a, 0x68], 'a bzip2 file; unpack it'],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a], 'an xz file; unpack it'],
  [[0x37, 0x7a, 0xbc, 0xaf], 'a 7z archive; unpack it'],
  [[0x52, 0x61, 0x72, 0x21], 'a RAR archive; unpack it'],
];

const startsWith = (bytes: Uint8Array, start: readonly number[]): boolean => start.every((byte, index) => bytes[index] === byte);
const FIT_SIGNATURE = [0x2e, 0x46, 0x49, 0x54];
const hasFitSignature = (bytes: Uint8Array): boolean => startsWith(bytes.subarray(8), FIT_SIGNATURE);

/** Reads what the bytes hold: one series, or one for each strap. Throws UnusableContent with one line for the user. */
export async function readContent(bytes: Uint8Array): Promise<Series[]> {
  if (bytes.length === 0) throw new UnusableContent('the file is empty');
  if (hasFitSignature(bytes)) return [(await import('./fit/fit-recording.ts')).readFit(bytes)];
  const other = OTHERS.find(([start]) => startsWith(bytes, start));
  if (other !== undefined) throw new UnusableContent(`${other[1]}; ${WHAT_WORKS}`);
  const text = decodeText(bytes);
  if (!looksLikeText(text)) throw new UnusableContent(`binary data, and not a FIT file; ${WHAT_WORKS}`);
  return await readTextContent(text);
}

async function readTextContent(text: string): Promise<Series[]> {
  const content = text.trimStart();
  if (content === '') throw new UnusableContent('the file has no content but blanks');
  if (content.startsWith('<')) return [(await import('./xml/xml-recording.ts')).readXml(content)];
  if (/^\{|^\[\s*(?:\{|\]|$)/.test(content)) return (await import('./text/json-recording.ts')).readJson(content);
  if (/^\[params\]/i.test(content)) return [(await import('./text/polar-hrm.ts')).readPolarHrm(content)];
  const { findTable, readTable } = await import('./text/table-recording.ts');
  const table = findTable(text);
  if (table !== undefined) return readTable(text, table);
  const { readPlainNumbers } = await import('./text/plain-numbers.ts');
  const plain = readPlainNumbers(text);
  if (plain !== undefined) return [plain];
  throw new UnusableContent(unknownText(content));
}

/** The first line says most about a text that is not understood. */
function unknownText(content: string): string {
  const [line = ''] = content.split('\n');
  const shown = line.length > 60 ? `${line.slice(0, 60)}…` : line;
  return `text that begins with “${shown.trim()}”, without columns of times and heart rates; ${WHAT_WORKS}`;
}
