/**
 * Reads files of JSON records as Firehose writes them: plain or gzipped, one record a line or one after the other without a separator, in
 * folders of any depth and under any name. A few records are in memory at a time.
 */
import { createReadStream } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';

const GZIP_MAGIC = 0x1f8b;
/** A record of Kinesis has at most 10 MiB; a longer line is none. */
const LINE_MAX_CHARS = 16 * 1024 * 1024;
const SEPARATORS = /[\s,]/;

const isFileAt = async (file: string): Promise<boolean> =>
  await stat(file).then(
    (found) => found.isFile(),
    () => false,
  );

/** Every file below a folder, in the order of names; or the file itself. Throws an error of the file system if it does not exist. */
export async function* filesBelow(root: string): AsyncGenerator<string> {
  if ((await stat(root)).isFile()) {
    yield root;
    return;
  }
  const entries = await readdir(root, { withFileTypes: true });
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const file = path.join(root, entry.name);
    if (entry.isDirectory()) yield* filesBelow(file);
    // Links to files are followed; those to folders may lead back.
    else if (entry.isFile() || (entry.isSymbolicLink() && (await isFileAt(file)))) yield file;
  }
}

async function isGzipped(file: string): Promise<boolean> {
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(2), 0, 2, 0);
    return bytesRead === 2 && buffer.readUInt16BE(0) === GZIP_MAGIC;
  } finally {
    await handle.close();
  }
}

/** The end of the JSON object that begins at `start`, or -1 if it is not complete. */
function endOfObject(text: string, start: number): number {
  let depth = 0;
  let isInString = false;
  for (let at = start; at < text.length; at += 1) {
    const char = text[at];
    if (isInString) {
      if (char === '\\') at += 1;
      else if (char === '"') isInString = false;
    } else if (char === '"') isInString = true;
    else if (char === '{') depth += 1;
    else if (char === '}' && (depth -= 1) === 0) return at;
  }
  return -1;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Takes a line apart: one value, or several objects one after the other. What is not JSON is yielded as undefined. */
export function* recordsOfLine(line: string): Generator<unknown, void> {
  if (line.trim() === '') return;
  const whole = parsed(line);
  if (whole !== undefined) {
    yield whole;
    return;
  }
  for (let at = 0; at < line.length; at += 1) {
    if (SEPARATORS.test(line[at] ?? '')) continue;
    const end = line[at] === '{' ? endOfObject(line, at) : -1;
    if (end < 0) {
      yield undefined;
      return;
    }
    yield parsed(line.slice(at, end + 1));
    at = end;
  }
}

/** Where the text of a file is cut: after its last line, or after its last object if it has no lines. */
function* cut(text: string): Generator<unknown, string> {
  const newline = text.lastIndexOf('\n');
  if (newline >= 0) {
    for (const line of text.slice(0, newline).split('\n')) yield* recordsOfLine(line);
    return text.slice(newline + 1);
  }
  let rest = 0;
  for (let at = text.indexOf('{'); at >= 0; at = text.indexOf('{', rest)) {
    const end = endOfObject(text, at);
    if (end < 0) break;
    yield* recordsOfLine(text.slice(rest, end + 1));
    rest = end + 1;
  }
  return text.slice(rest);
}

/** Calls `take` with every record of a file; undefined: not JSON. Throws what the disk or gunzip reports: the file is damaged or cut. */
export async function readRecords(file: string, take: (record: unknown) => void): Promise<void> {
  const source: Readable = createReadStream(file);
  let rest = '';
  const read = async (chunks: AsyncIterable<Buffer>): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const chunk of chunks) {
      rest += decoder.decode(chunk, { stream: true });
      // Objects without line breaks are looked for when there are some, not with every chunk.
      if (!rest.includes('\n') && rest.length < LINE_MAX_CHARS / 4) continue;
      const records = cut(rest);
      let next = records.next();
      for (; next.done !== true; next = records.next()) take(next.value);
      rest = next.value;
      if (rest.length <= LINE_MAX_CHARS) continue;
      take(undefined);
      rest = '';
    }
    rest += decoder.decode();
  };
  if (await isGzipped(file)) await pipeline(source, createGunzip(), read);
  else await pipeline(source, read);
  for (const record of recordsOfLine(rest)) take(record);
}
