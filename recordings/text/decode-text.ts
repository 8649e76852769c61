/** Text of a file in whatever encoding people's programs write: UTF-8, UTF-16 with or without a byte order mark, else Windows-1252. */

const LOOKED_AT = 512;

/** Excel's "Unicode text", and Windows tools; without a mark, every second byte of Latin text is 0. */
function utf16Of(bytes: Uint8Array): 'utf-16le' | 'utf-16be' | undefined {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return 'utf-16le';
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return 'utf-16be';
  const start = bytes.subarray(0, LOOKED_AT);
  const zeros = [0, 0];
  start.forEach((byte, index) => {
    if (byte === 0) zeros[index % 2] = (zeros[index % 2] ?? 0) + 1;
  });
  const [even = 0, odd = 0] = zeros;
  const many = start.length / 4;
  if (odd > many && even <= odd / 8) return 'utf-16le';
  if (even > many && odd <= even / 8) return 'utf-16be';
  return undefined;
}

/** UTF-16BE, which Node's TextDecoder has only with full ICU. */
function swapped(bytes: Uint8Array): Uint8Array {
  return Buffer.from(bytes.subarray(0, bytes.length - (bytes.length % 2))).swap16();
}

/** The text, its line ends made `\n`, without a byte order mark and without zero bytes at its end. */
export function decodeText(bytes: Uint8Array): string {
  const utf16 = utf16Of(bytes);
  let text: string;
  if (utf16 !== undefined) text = new TextDecoder('utf-16le').decode(utf16 === 'utf-16be' ? swapped(bytes) : bytes);
  else
    try {
      text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    } catch {
      text = new TextDecoder('windows-1252').decode(bytes);
    }
  // Not by a pattern: its time would be quadratic in a run of zeros elsewhere.
  let end = text.length;
  while (text.charCodeAt(end - 1) === 0) end -= 1;
  return text
    .slice(0, end)
    .replace(/^\uFEFF/, '')
    .replace(/\r\n?/g, '\n');
}

/** Tab, line feed, form feed, and Ctrl-Z, an old end of file. */
const CONTROLS_IN_TEXT = new Set('\t\n\f\u001A');

/** False for binary data, which has other control characters. */
export function looksLikeText(text: string): boolean {
  const start = text.slice(0, 4096);
  const odd = Array.from(start).filter(
    (character) => character === '\uFFFD' || (character < ' ' && !CONTROLS_IN_TEXT.has(character)),
  );
  return odd.length <= start.length / 100;
}
