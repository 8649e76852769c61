/** `.gz`, and `.zip` of one file, as watches' apps and platforms export recordings. Checksums are checked; sizes are bounded. */
import { constants, crc32, gunzipSync } from 'node:zlib';
import type { Entry } from 'yauzl';
import { systemCodeOf } from '../service/errors/errors.ts';
import { UnusableContent } from './recording.ts';

export interface Unpacked {
  bytes: Uint8Array;
  /** Name of the file inside, if the archive has one. */
  name?: string;
  note?: string;
}

const isGzip = (bytes: Uint8Array): boolean => bytes[0] === 0x1f && bytes[1] === 0x8b;
const isZip = (bytes: Uint8Array): boolean =>
  bytes[0] === 0x50 && bytes[1] === 0x4b && ((bytes[2] === 3 && bytes[3] === 4) || (bytes[2] === 5 && bytes[3] === 6));
/** What computers add to archives by themselves. */
const ADDED_BY_COMPUTERS = /^__MACOSX\/|(?:^|\/)(?:\.DS_Store|\._[^/]*|Thumbs\.db|desktop\.ini)$/i;

/** How many files of an archive are read. */
const LISTED_MAX = 100;

export const isPacked = (bytes: Uint8Array): boolean => isGzip(bytes) || isZip(bytes);

function unzipped(bytes: Uint8Array, maxBytes: number): Unpacked {
  try {
    return { bytes: gunzipSync(bytes, { maxOutputLength: maxBytes }) };
  } catch (error) {
    const code = systemCodeOf(error);
    if (code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(maxBytes);
    if (code !== 'Z_BUF_ERROR') throw new UnusableContent('gzip: the file is damaged', { cause: error });
  }
  // Cut off: what was packed before the cut.
  try {
    const part = gunzipSync(bytes, { maxOutputLength: maxBytes, finishFlush: constants.Z_SYNC_FLUSH });
    return { bytes: part, note: 'the gzip file is cut off: read as far as it goes' };
  } catch (error) {
    throw new UnusableContent('gzip: the file is cut off and damaged', { cause: error });
  }
}

const tooLarge = (maxBytes: number): UnusableContent =>
  new UnusableContent(`unpacked it is larger than ${maxBytes / 1024 / 1024} MiB`);

async function unpackedZip(bytes: Uint8Array, maxBytes: number): Promise<Unpacked> {
  const { fromBufferPromise } = await import('yauzl');
  const zip = await fromBufferPromise(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), { autoClose: false });
  const files: Entry[] = [];
  for await (const entry of zip.eachEntry()) {
    if (entry.fileName.endsWith('/') || ADDED_BY_COMPUTERS.test(entry.fileName)) continue;
    if (entry.fileName === '[Content_Types].xml')
      throw new UnusableContent('an Excel or other Office file; save the table as CSV, which would work');
    files.push(entry);
    if (files.length > LISTED_MAX) break;
  }
  const [file, second] = files;
  if (file === undefined) throw new UnusableContent('zip: the archive is empty');
  if (second !== undefined) {
    const names = files.slice(0, 3).map(({ fileName }) => fileName);
    const more = files.length > names.length ? ', …' : '';
    throw new UnusableContent(
      `zip: the archive holds several files (${names.join(', ')}${more}); unpack it and give the recordings`,
    );
  }
  if (file.isEncrypted()) throw new UnusableContent(`zip: ${file.fileName} is encrypted; unpack it`);
  if (file.uncompressedSize > maxBytes) throw tooLarge(maxBytes);
  const chunks: Buffer[] = [];
  for await (const chunk of await zip.openReadStreamPromise(file)) if (Buffer.isBuffer(chunk)) chunks.push(chunk);
  const content = Buffer.concat(chunks);
  if (crc32(content) !== file.crc32) throw new UnusableContent(`zip: ${file.fileName} is damaged: wrong checksum`);
  return { bytes: content, name: file.fileName };
}

/** Unpacks one level. Throws UnusableContent. */
export async function unpack(bytes: Uint8Array, maxBytes: number): Promise<Unpacked> {
  if (isGzip(bytes)) return unzipped(bytes, maxBytes);
  try {
    return await unpackedZip(bytes, maxBytes);
  } catch (error) {
    if (error instanceof UnusableContent) throw error;
    throw new UnusableContent(
      `zip: the archive is cut off or damaged (${error instanceof Error ? error.message : String(error)})`,
      {
        cause: error,
      },
    );
  }
}
