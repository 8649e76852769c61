/** Names are bytes that a stranger chose: they are cleaned before anything is decided, shown or logged by them. */

/** In code points. A name in an advertisement has at most 29 bytes, one from a scan response as well. */
const NAME_MAX = 64;

/**
 * Without control, format, private and unassigned characters and what was not UTF-8; white space becomes single spaces. Undefined if
 * nothing is left.
 */
export function cleanName(text: string): string | undefined {
  const clean = text
    .normalize('NFC')
    .replace(/\s+/gu, ' ')
    .replace(/[\p{C}\u{fffd}]/gu, '')
    .replace(/ +/g, ' ')
    .trim();
  const cut = Array.from(clean).slice(0, NAME_MAX).join('').trim();
  return cut === '' ? undefined : cut;
}
